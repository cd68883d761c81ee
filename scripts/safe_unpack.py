"""Unpack a stranger's zip or tar: nothing outside the folder, no links, no surprise in size."""

import contextlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

MAX_MEMBERS = 2_000_000
MAX_GROWTH = 20
SPARE_BYTES = 64 << 20
"""An archive may grow to `MAX_GROWTH` times its size and this much more."""
_CHUNK = 1 << 20


class UnpackError(Exception):
    """The archive is damaged or hostile, or there is no room for it."""


Member = tuple[str, int, bool, IO[bytes] | None]
"""Name, declared bytes, whether it is a folder, and how to read it."""


def unpack(archive: Path, folder: Path) -> int:
    """Unpack into a folder that does not exist yet; it appears when everything is in it.

    An archive of one folder of the same name becomes that folder.

    Returns:
        Bytes written.

    Raises:
        UnpackError: Not a zip or tar, damaged, a path or link that leads out, files of unusual
            kinds, a name given twice, more bytes than `MAX_GROWTH` allows, or no room.
    """
    if folder.exists():
        raise UnpackError(f"{folder} exists. Remove it to unpack {archive.name} again.")
    limit = archive.stat().st_size * MAX_GROWTH + SPARE_BYTES
    part = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        written = _fill(archive, part, limit)
        top = list(part.iterdir())
        alone = len(top) == 1 and top[0].is_dir() and top[0].name == folder.name
        os.replace(top[0] if alone else part, folder)
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile,
            tarfile.TarError, ValueError) as error:  # fmt: skip
        raise UnpackError(f"{archive} cannot be unpacked: {error}. Fetch it again.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return written


def _fill(archive: Path, part: Path, limit: int) -> int:
    written = 0
    with _opened(archive) as members:
        for count, (name, size, is_folder, content) in enumerate(members):
            target = part / safe_name(archive, name)
            if count >= MAX_MEMBERS or written + size > limit:
                raise UnpackError(
                    f"{archive} holds more than {MAX_MEMBERS:,} files or {limit:,} bytes, which is "
                    "unusual for its size. It was not unpacked; look at it by hand."
                )
            if shutil.disk_usage(part).free < size + _CHUNK:
                raise UnpackError(f"No room to unpack {archive}: {size:,} bytes for {name[:80]!r}.")
            if is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            assert content is not None
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("xb") as file:
                written += _copied(content, file, limit - written, archive)
    return written


def _copied(content: IO[bytes], file: IO[bytes], limit: int, archive: Path) -> int:
    """Copy, whatever size was declared."""
    total = 0
    while chunk := content.read(_CHUNK):
        total += len(chunk)
        if total > limit:
            raise UnpackError(f"{archive} holds more bytes than it declares. Do not use it.")
        file.write(chunk)
    return total


def safe_name(archive: Path, name: str) -> str:
    """The name of a member, if it stays in its folder on every system.

    Raises:
        UnpackError: It is absolute, has a drive, climbs with '..', or cannot be written.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    windows = PureWindowsPath(name)
    bad = not path.parts or path.is_absolute() or windows.drive or ".." in path.parts
    if (
        bad
        or "\0" in name
        or any(len(part.encode("utf-8", "replace")) > 255 for part in path.parts)
    ):
        if path == PurePosixPath("."):
            return "."
        raise UnpackError(
            f"{archive} names {name[:200]!r}, which leads out of the folder or cannot be written. "
            "Nothing was unpacked; do not use it."
        )
    return str(path)


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Iterator[Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield _zip_members(archive, file)
    else:
        with tarfile.open(archive, "r:*") as file:
            yield _tar_members(archive, file)


def _zip_members(archive: Path, file: zipfile.ZipFile) -> Iterator[Member]:
    for info in file.infolist():
        kind = (info.external_attr >> 16) & 0o170000
        if kind not in (0, 0o100000, 0o040000):
            _refuse(archive, info.filename)
        is_folder = info.is_dir()
        yield info.filename, info.file_size, is_folder, None if is_folder else file.open(info)


def _tar_members(archive: Path, file: tarfile.TarFile) -> Iterator[Member]:
    for info in file:
        if not (info.isreg() or info.isdir()):
            _refuse(archive, info.name)
        yield info.name, info.size, info.isdir(), file.extractfile(info)


def _refuse(archive: Path, name: str) -> None:
    raise UnpackError(
        f"{archive} holds {name[:200]!r}, a link or another unusual kind of file. Nothing was "
        "unpacked; do not use it, or unpack it by hand."
    )
