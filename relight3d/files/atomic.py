"""Write whole files and folders or nothing at all.

The work goes into a hidden sibling of the target; only when it is complete and on the disk does a
rename put it in place. A crash, a full disk or kill -9 therefore leaves the old content as it was.
What a killed process left behind is removed by the next write to the same target.
"""

import contextlib
import errno
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from relight3d.core.errors import OutputError

_COUNTER = itertools.count()
_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space or choose another place.",
    errno.EDQUOT: "The disk quota is used up: free some space or choose another place.",
    errno.EFBIG: "The file is larger than this system allows: choose another place.",
    errno.EACCES: "Choose a folder you may write to, or change its permissions.",
    errno.EPERM: "Choose a folder you may write to, or change its permissions.",
    errno.EROFS: "The disk is read-only: choose another place.",
    errno.ENOTDIR: "A part of that path is a file: choose another place.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
_ONLY_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path of the same suffix to write to; it becomes `path` on success.

    Missing parent folders are made. Whatever fails, `path` keeps its old content, or its absence.

    Raises:
        OutputError: The file cannot be written (disk full, no permission, not a plain file), or
            the body wrote nothing.
    """
    target = Path(os.path.realpath(path))  # write through a link, do not replace it
    if target.exists() and not target.is_file():
        raise OutputError(f"Cannot write {path}: it exists and is not a plain file. Choose a name.")
    with _reported(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        temporary = _temporary_sibling(target)
        try:
            yield temporary
            if not temporary.exists():
                raise OutputError(
                    f"Could not write {path}: the encoder produced nothing. "
                    "The disk may be full: free some space or choose another place."
                )
            _flush(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _flush(target.parent)


@contextlib.contextmanager
def atomic_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder to fill; it becomes `path` on success.

    Args:
        path: The folder to make. An empty one is replaced.
        overwrite: Replace a folder that has something in it, whole. Without, it is refused.

    Raises:
        OutputError: The folder cannot be written, exists and is not empty, or is not a folder.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise OutputError(f"Cannot write the folder {path}: a file has that name. Choose another.")
    with _reported(path):
        if not overwrite and target.exists() and any(target.iterdir()):
            raise OutputError(
                f"The folder {path} exists and is not empty; it is left as it is. "
                "Choose another name or remove it."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        temporary = _temporary_sibling(target)
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                _flush(file)
            _swap_folders(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _flush(target.parent)


def _swap_folders(temporary: Path, target: Path) -> None:
    """Put `temporary` at `target`, whose old content is removed afterwards."""
    if not target.exists():
        os.replace(temporary, target)
        return
    old = _temporary_sibling(target)
    os.replace(target, old)
    try:
        os.replace(temporary, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _temporary_sibling(target: Path) -> Path:
    """A name beside `target`, unique to this process and call; short enough for any disk."""
    token = f"{os.getpid()}-{next(_COUNTER)}"
    return target.with_name(f".{target.stem[:100]}.{token}.partial{target.suffix}")


def _remove_abandoned(target: Path) -> None:
    """Remove what writers to this target left behind that are no longer running."""
    if os.name != "posix":  # elsewhere a process cannot be asked whether it lives
        return
    name = re.compile(
        rf"\.{re.escape(target.stem[:100])}\.(\d+)-\d+\.partial{re.escape(target.suffix)}"
    )
    for sibling in target.parent.glob(".*.partial*"):
        match = name.fullmatch(sibling.name)
        if match and not _is_running(int(match[1])):
            if sibling.is_dir() and not sibling.is_symlink():
                shutil.rmtree(sibling, ignore_errors=True)
            else:
                sibling.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _flush(path: Path) -> None:
    """Push a file's or folder's content to the disk; a late 'disk full' shows here."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_about(error: OSError, path: Path) -> bool:
    """Whether the target was refused, and not a source that was read to fill it."""
    if error.filename is None or error.errno in _ONLY_OF_WRITING:
        return True
    target, name = Path(os.path.realpath(path)), Path(os.fsdecode(error.filename))
    own = f".{target.stem[:100]}."
    return (
        name in (path, target, *target.parents)
        or target in name.parents
        or any(part.startswith(own) and ".partial" in part for part in name.parts)
    )


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal into a message with what to do."""
    try:
        yield
    except OSError as error:
        if not _is_about(error, path):
            raise
        reason = error.strerror or str(error)
        advice = _ADVICE.get(error.errno or 0, "Check the path and the disk.")
        raise OutputError(
            f"Could not write {path}: {reason}. Nothing half written was left. {advice}"
        ) from error
