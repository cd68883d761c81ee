"""Read what a stranger's folder says without being led out of it, or out of memory."""

import json
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from relight3d.core.errors import FileFormatError
from relight3d.files.reading import read_whole

MAX_JSON_BYTES = 256 << 20


def resolve_inside(root: Path, relative: str, named_by: str) -> Path:
    """The file `relative` names under `root`, after following links.

    Args:
        root: The folder that must not be left.
        relative: What the untrusted file says.
        named_by: Who says so, for the message: "transforms.json, frame 3, file_path".

    Returns:
        The absolute path, under the resolved root. It need not exist.

    Raises:
        FileFormatError: An absolute path, or one that leads out by '..' or by a link.
    """
    problem = None
    if not _is_usable(relative):
        problem = "is not a usable path"
    elif PurePosixPath(relative).is_absolute() or PureWindowsPath(relative).drive:
        problem = "is absolute"
    else:
        base = Path(os.path.realpath(root))
        try:
            target = Path(os.path.realpath(base / relative.replace("\\", "/")))
        except OSError:
            problem = "leads in a circle"
        else:
            if target == base or base in target.parents:
                return target
            problem = "leads out of the folder"
    raise FileFormatError(
        f"{named_by} names {relative[:200]!r}, which {problem} ({root}). "
        "For safety only files inside the capture are read: copy the file there and name it "
        "relative to the folder."
    )


def _is_usable(relative: str) -> bool:
    """Whether a file system could take it: no name over 255 bytes, no half characters."""
    try:
        names = relative.replace("\\", "/").encode().split(b"/")
    except UnicodeEncodeError:
        return False
    return 0 < len(relative) <= 1024 and "\0" not in relative and max(map(len, names)) <= 255


def read_json(path: Path) -> dict:
    """Parse a JSON object strictly: no repeated keys, bounded size and depth.

    NaN and Infinity parse as floats; who uses a number checks it.

    Raises:
        FileFormatError: Missing, empty, too large, not JSON, nested absurdly deep, a key given
            twice, or not an object.
    """
    what = "The JSON file"
    data = read_whole(path, what)
    if len(data) > MAX_JSON_BYTES:
        raise FileFormatError(
            f"{what} {path} has {len(data):,} bytes, more than the {MAX_JSON_BYTES:,} that are "
            "read. Is it the right file?"
        )
    try:
        content = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{what} {path} is not UTF-8 text. Export it again.") from error
    except RecursionError as error:
        raise FileFormatError(f"{what} {path} is nested too deep. Is it the right file?") from error
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"{what} {path} is broken at line {error.lineno}, column {error.colno}: {error.msg}. "
            "It may be cut off; export it again."
        ) from error
    except ValueError as error:  # a repeated key, or a number of absurd length
        raise FileFormatError(f"{what} {path}: {error}. Export it again.") from error
    if not isinstance(content, dict):
        raise FileFormatError(
            f"{what} {path} holds a {type(content).__name__} where an object {{...}} is expected. "
            "Is it the right file?"
        )
    return content


def _unique(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice!r} is given twice in one object")
    return content
