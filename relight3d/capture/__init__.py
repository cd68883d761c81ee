"""Room 1: any source of photos to one `Capture`. `load` reads, `import_capture` writes one.

Frames, lenses and colour spaces are converted here, at the door. Layouts read: our own capture
folder, nerfstudio / instant-ngp / Blender / NRHints transforms, TensoIR-Synthetic, COLMAP;
`import_capture` also takes photo folders and videos and finds the poses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relight3d.capture.importer import import_capture
    from relight3d.capture.loading import load
    from relight3d.capture.options import ImportOptions
    from relight3d.capture.photos import load_photo, load_photos

__all__ = ["ImportOptions", "import_capture", "load", "load_photo", "load_photos"]

_HOMES = {
    "ImportOptions": "options",
    "import_capture": "importer",
    "load": "loading",
    "load_photo": "photos",
    "load_photos": "photos",
}


def __getattr__(name: str) -> Any:
    """Load a part of the room when it is first asked for: its settings need no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
