"""Which suffix is written by what. A new format is one file here and one line in the table."""

from collections.abc import Callable
from pathlib import Path

from relight3d.core.errors import ConfigurationError
from relight3d.core.types import Asset
from relight3d.core.views import Similarity
from relight3d.export.glb import write_glb
from relight3d.export.ply import write_ply

Writer = Callable[[Path, Asset, Similarity], None]

WRITERS: dict[str, Writer] = {".ply": write_ply, ".glb": write_glb}
"""By lower-case suffix. Every writer undoes the given normalisation (glTF's keeps its up)."""


def writer_for(path: Path, format_name: str | None = None) -> Writer:
    """The writer for a format asked for by name ('ply'), or else by the path's suffix.

    Raises:
        ConfigurationError: Unknown; lists what can be written.
    """
    suffix = path.suffix.lower() if format_name is None else "." + format_name.lower().lstrip(".")
    if suffix not in WRITERS:
        known = ", ".join(name.lstrip(".") for name in WRITERS)
        raise ConfigurationError(
            f"Cannot export {path}: the format {suffix.lstrip('.') or 'without a suffix'!r} is not "
            f"known. Formats: {known}. Name one with --format, or by the file's suffix."
        )
    return WRITERS[suffix]


def write_asset(
    path: Path, asset: Asset, capture_from_source: Similarity, format_name: str | None = None
) -> None:
    """Write an asset in the source's own frame.

    Raises:
        ConfigurationError: Unknown format, or one that needs more than the asset has.
        OutputError: The file cannot be written.
    """
    writer_for(path, format_name)(path, asset, capture_from_source)
