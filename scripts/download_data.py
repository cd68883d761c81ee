"""Fetch public benchmarks: licence and size first, resumed, verified, safely unpacked.

    python scripts/download_data.py --list
    python scripts/download_data.py stanford-orb --out data/benchmarks
    python scripts/download_data.py nrhints-real --only 'Cat*' --out data/benchmarks

What there is stands in datasets.toml beside this script. A partial download (NAME.part) is
continued with HTTP Range if the server still has the same file. A file gets its name when it is
whole and its SHA-256 is right: the published one, or, where none is, the one recorded beside it
(NAME.sha256) when it was first downloaded. Only Python's standard library is needed.
"""

import argparse
import dataclasses
import fnmatch
import hashlib
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from safe_unpack import UnpackError, unpack

if sys.version_info >= (3, 11):
    import tomllib
else:  # comes with pytest there
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

CATALOGUE = Path(__file__).resolve().with_name("datasets.toml")
ATTEMPTS = 8
_CHUNK = 1 << 18
_TIMEOUT_S = 60
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


class DownloadError(Exception):
    """Said to the user as it is."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """One file to fetch."""

    url: str
    bytes: int = 0
    """0: unknown."""
    sha256: str = ""

    @property
    def name(self) -> str:
        """What it is called on disk."""
        return Path(urllib.parse.unquote(urllib.parse.urlsplit(self.url).path)).name


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One entry of the catalogue."""

    title: str
    paper: str
    page: str
    licence: str
    files: tuple[Remote, ...] = ()
    by_hand: str = ""


def read_catalogue(path: Path = CATALOGUE) -> dict[str, Dataset]:
    """Every data set by name."""
    entries: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: Dataset(**{**entry, "files": tuple(Remote(**f) for f in entry.get("files", ()))})
        for name, entry in entries.items()
    }


def fetch(
    remote: Remote,
    folder: Path,
    say: Callable[[str], None] = print,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Download one file, or what is missing of it.

    Args:
        remote: What and from where; http or https.
        folder: Where it goes; made if need be.
        say: Told what happens.
        wait: Sleeps between attempts.

    Returns:
        The whole, verified file.

    Raises:
        DownloadError: No connection, a server that refuses, a wrong checksum.
    """
    if urllib.parse.urlsplit(remote.url).scheme not in ("http", "https"):
        raise DownloadError(f"{remote.url} is neither http nor https. Mend the catalogue.")
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / remote.name
    if final.exists():
        verified(final, final, remote, say)
        say(f"{final} is here already, whole")
        return final
    part = folder / (remote.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            _continued(remote, part, say)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise DownloadError(
                    f"{remote.url}: the server says {error.code} {error.reason}. The file may have "
                    "moved: see the data set's page."
                ) from error
            problem: Exception = error
        except (OSError, http.client.HTTPException) as error:
            problem = error
        if attempt == ATTEMPTS - 1:
            raise DownloadError(
                f"{remote.url}: {problem}. What came so far is in {part}; run the same command "
                "again to continue."
            ) from problem
        say(f"cut off ({problem}); trying again")
        wait(min(60.0, 2.0**attempt))
    digest = verified(part, final, remote, say)
    recorded_at(final).write_text(f"{digest}  {final.name}\n")
    os.replace(part, final)
    state_of(part).unlink(missing_ok=True)
    return final


def _continued(remote: Remote, part: Path, say: Callable[[str], None]) -> None:
    """One connection: everything that is missing, or an exception."""
    state = _state(part, remote.url)
    here = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "relight3d-download", "Accept-Encoding": "identity"}
    if here and state.get("validator"):
        headers |= {"Range": f"bytes={here}-", "If-Range": state["validator"]}
    elif here:
        say("the server gave nothing to recognise the file by: starting again")
        here = 0
    if here and here == state.get("total"):
        return
    request = urllib.request.Request(remote.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink(missing_ok=True)  # the file on the server is shorter than what is here
        raise ConnectionError("the file on the server is another one; starting again") from error
    with response:
        start, total = _extent(response, here)
        if here and start == 0:
            say("the server sends the whole file (changed, or it cannot continue): starting again")
        if remote.bytes and total and total != remote.bytes:
            say(f"note: the file has {total:,} bytes, the catalogue says {remote.bytes:,}")
        told = {"url": remote.url, "validator": _validator(response.headers), "total": total}
        progress = Progress(remote.name, start, total or remote.bytes, say)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            state_of(part).write_text(json.dumps(told))  # never beside another file's bytes
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                progress.add(len(chunk))
    size = part.stat().st_size
    if total is not None and size != total:
        if size > total:
            part.unlink()
        raise ConnectionError(f"{size:,} of {total:,} bytes came")
    progress.finish()


def _extent(response: Any, here: int) -> tuple[int, int | None]:
    """Where the content begins and how long the whole file is."""
    length = response.headers.get("Content-Length")
    if response.status != 206:
        return 0, int(length) if length and length.isdecimal() else None
    words = response.headers.get("Content-Range", "").removeprefix("bytes ").split("/")
    start, total = words[0].split("-")[0], words[-1]
    if start != str(here) or not total.isdecimal():
        raise ConnectionError(f"the server sent another part than asked for ({words})")
    return here, int(total)


def _validator(headers: Any) -> str:
    """What If-Range takes: a strong ETag, else the date of the last change, else nothing."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def state_of(part: Path) -> Path:
    """Beside a partial download: which file it is a part of."""
    return part.with_name(part.name + ".json")


def _state(part: Path, url: str) -> dict[str, Any]:
    try:
        state = json.loads(state_of(part).read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) and state.get("url") == url else {}


def recorded_at(final: Path) -> Path:
    """Where the checksum of the first download is kept."""
    return final.with_name(final.name + ".sha256")


def verified(path: Path, final: Path, remote: Remote, say: Callable[[str], None]) -> str:
    """The SHA-256 of a file that is what it should be; a partial download that is not is removed.

    Raises:
        DownloadError: It is another one.
    """
    kept = recorded_at(final)
    expected, known_by = remote.sha256.lower(), "published"
    if not expected and kept.exists():
        expected, known_by = kept.read_text().split()[0].lower(), f"recorded in {kept.name}"
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    found = digest.hexdigest()
    if not expected:
        say(f"no checksum is published; {found} is recorded and checked from now on")
    elif found != expected:
        if path != final:
            path.unlink()
            state_of(path).unlink(missing_ok=True)
        raise DownloadError(
            f"{final}: the SHA-256 is {found}, {known_by} is {expected}. "
            + (f"Remove it and run the same command again, or {kept.name} too if the makers have "
               "changed the file." if path == final else "What came was removed: it was damaged on "
               f"the way or changed by its makers (then remove {kept.name}).")
        )  # fmt: skip
    else:
        say(f"SHA-256 is right ({known_by})")
    return found


class Progress:
    """Says how far it is, about once a second on a terminal, else every twentieth."""

    def __init__(self, name: str, start: int, total: int, say: Callable[[str], None]):
        """Begin at `start` of `total` bytes (0: unknown)."""
        self.name, self.start, self.total, self.say = name, start, total, say
        self.done, self.began, self.shown = start, time.monotonic(), time.monotonic()
        self.live = sys.stderr.isatty()
        self.step = 0

    def add(self, count: int) -> None:
        """Some bytes more."""
        self.done += count
        now = time.monotonic()
        twentieth = 20 * self.done // self.total if self.total else 0
        if self.live and now - self.shown > 1:
            self.shown = now
            print(f"\r{self.line(now)}", end="\033[K", file=sys.stderr, flush=True)
        elif not self.live and twentieth > self.step:
            self.step = twentieth
            self.say(self.line(now))

    def line(self, now: float) -> str:
        """Bytes, share, speed and the time that is left."""
        speed = (self.done - self.start) / max(now - self.began, 1e-3)
        text = f"{self.name}: {size_words(self.done)}"
        if self.total:
            left_s = (self.total - self.done) / max(speed, 1.0)
            share = f"{100 * self.done / self.total:.0f} %"
            text += f" of {size_words(self.total)} ({share}, {left_s / 60:.0f} min left)"
        return f"{text}, {size_words(speed)}/s"

    def finish(self) -> None:
        """End the line."""
        if self.live:
            print(f"\r{self.line(time.monotonic())}\033[K", file=sys.stderr)


def size_words(count: float) -> str:
    """4.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.{0 if unit == 'B' else 1}f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def stem_of(name: str) -> str | None:
    """The name of an archive without its ending; None if it is no archive."""
    endings = [end for end in _ARCHIVES if name.lower().endswith(end)]
    return name[: -len(max(endings, key=len))] if endings else None


def described(name: str, dataset: Dataset) -> str:
    """A paragraph for `--list` and before a download."""
    known = sum(file.bytes for file in dataset.files)
    unknown = sum(not file.bytes for file in dataset.files)
    size = "by hand" if dataset.by_hand else size_words(known) if known else "size unknown"
    if known and unknown:
        size += f" and {unknown} files of unknown size"
    return (
        f"{name}  ({size})\n  {dataset.title}\n  licence: {dataset.licence}\n"
        f"  {dataset.page}  {dataset.paper}"
    )


def download(name: str, dataset: Dataset, out: Path, only: str, keep_packed: bool) -> None:
    """Fetch and unpack the files of a data set."""
    print(described(name, dataset))
    if dataset.by_hand:
        print(f"\nThis one is fetched by hand.\n{dataset.by_hand}")
        return
    chosen = [file for file in dataset.files if fnmatch.fnmatch(file.name, only)]
    if not chosen:
        names = ", ".join(file.name for file in dataset.files)
        raise DownloadError(f"No file of {name} matches {only!r}. There are: {names}.")
    for remote in chosen:
        print(f"\n{remote.url}")
        path = fetch(remote, out / name)
        stem = stem_of(path.name)
        if keep_packed or stem is None:
            continue
        folder = path.with_name(stem)
        if folder.exists():
            print(f"{folder} is unpacked already")
        else:
            print(f"unpacked into {folder}: {size_words(unpack(path, folder))}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fetch public benchmarks that relight3d reads.")
    parser.add_argument("name", nargs="?", help="as --list tells")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--out", type=Path, default=Path("data/benchmarks"))
    parser.add_argument("--only", default="*", help="files that match, such as 'Cat*'")
    parser.add_argument("--keep-packed", action="store_true", help="do not unpack")
    options = parser.parse_args(arguments)
    catalogue = read_catalogue()
    if options.list or options.name is None:
        print("\n\n".join(described(name, dataset) for name, dataset in catalogue.items()))
        return 0
    if options.name not in catalogue:
        print(f"There is no {options.name!r}. There are: {', '.join(catalogue)}.", file=sys.stderr)
        return 2
    try:
        download(options.name, catalogue[options.name], options.out, options.only,
                 options.keep_packed)  # fmt: skip
    except (DownloadError, UnpackError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
