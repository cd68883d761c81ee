"""Any source of photos to one capture folder, whole or not at all."""

import dataclasses
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from relight3d.capture.checks import detected_kind, lights_are_known
from relight3d.capture.loading import LOOKED_FOR, finished, load, recognise
from relight3d.capture.normalize import is_tame, taming, transformed, upright_rotation
from relight3d.capture.options import ImportOptions
from relight3d.capture.posing import pose_folder
from relight3d.capture.source import Source, files_in
from relight3d.capture.transforms_write import write_capture
from relight3d.capture.video import SUFFIXES as VIDEO_SUFFIXES
from relight3d.capture.video import choose_frames
from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture
from relight3d.files.atomic import atomic_folder
from relight3d.files.images import SUFFIXES

_WORK = ".work"
_TILTED_COSINE = 0.5


def import_capture(
    source: Path,
    out: Path,
    options: ImportOptions | None = None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> Capture:
    """Write one capture folder from a posed capture, a folder of photos or a video.

    Args:
        source: Everything `load` reads, a folder of photos (or with images/ in it), or a video.
        out: The folder to make; must not exist or be empty.
        options: See `ImportOptions`.
        say: Told about progress and about photos left out.

    Returns:
        The capture as `load(out)` reads it.

    Raises:
        CaptureError: Not recognised, unusable, or no poses found.
        FileFormatError: A file that cannot be read.
        OutputError: The folder exists and is not empty, or cannot be written.
    """
    options = options or ImportOptions()
    with atomic_folder(out) as folder:
        work = folder / _WORK
        work.mkdir()
        found = _posed(source, work, options, say)
        capture = _framed(found, finished(found, options.hold_out), options)
        if options.kind != "auto":
            capture = dataclasses.replace(capture, kind=options.kind)
        _check_kind(capture)
        write_capture(folder, capture, found.lenses, options.max_size_px)
        shutil.rmtree(work)
        load(folder)  # what was written is read back before it is put in place
    return load(out)


def _posed(source: Path, work: Path, options: ImportOptions, say: Callable[[str], None]) -> Source:
    """The source with poses, found if it has none."""
    if source.is_file() and source.suffix.lower() in VIDEO_SUFFIXES:
        frames = work / "frames"
        frames.mkdir()
        choose_frames(source, frames, options.frames, say)
        return pose_folder(frames, work, options, say)
    found = recognise(source)
    if found is not None:
        say(f"{source}: {found.layout}, {len(found.capture.views)} photos with poses")
        return found
    folder = photo_folder(source)
    if folder is None:
        raise CaptureError(
            f"{source} cannot be imported. Looked for: {'; '.join(LOOKED_FOR)}; photos "
            f"({', '.join(SUFFIXES)}) in it or in images/; a video ({', '.join(VIDEO_SUFFIXES)}). "
            "Found none."
        )
    return pose_folder(folder, work, options, say)


def photo_folder(source: Path) -> Path | None:
    """Where the photos lie: the folder itself or its images/."""
    if not source.is_dir():
        return None
    for folder in (source, source / "images", source / "input"):
        if folder.is_dir() and files_in(folder, SUFFIXES):
            return folder
    return None


def _framed(found: Source, capture: Capture, options: ImportOptions) -> Capture:
    """Upright, near the origin, about 1 large; left as it is where it already is all that."""
    if found.is_normalised:
        return capture
    turn = _turn(found, capture, options)
    if turn is None and found.z_up and is_tame(capture):
        return capture
    return transformed(capture, taming(capture, turn))


def _turn(found: Source, capture: Capture, options: ImportOptions) -> np.ndarray | None:
    """The turn that makes the cameras' up +z, or None to leave the world as it is."""
    if options.up == "keep":
        return None
    if lights_are_known(capture.views) or capture.environments:
        if options.up == "cameras":
            raise CaptureError(
                f"{capture.root}: the lights of this capture are known in its own frame, which is "
                "therefore not turned. Leave out --up cameras."
            )
        return None
    turn = upright_rotation(capture.views)
    tilted = turn[2, 2] < _TILTED_COSINE  # the cosine between the cameras' up and +z
    return turn if options.up == "cameras" or not found.z_up or tilted else None


def _check_kind(capture: Capture) -> None:
    """An object needs masks; alpha is decided by `finished`, so 'auto' never comes here wrong."""
    bare = [view for view in capture.views if view.mask_path is None]
    if capture.kind == "object" and bare:
        if detected_kind(capture.views) == "scene":
            raise CaptureError(
                f"{capture.root}: --kind object needs a mask or alpha for every photo; "
                f"{bare[0].image_path.name} has none. Add masks, or import it as a scene."
            )
