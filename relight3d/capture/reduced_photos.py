"""Mip-NeRF 360's layout: one COLMAP model, its photos in several sizes, a split known to all.

    garden/sparse/0/*.bin  garden/images  garden/images_2  garden/images_4  garden/images_8
    garden/poses_bounds.npy (LLFF's cameras; the model has the same)

The capture is the scene's folder (whole photos) or one folder of pictures: garden/images_4. There
the model's intrinsics are scaled to the pictures, which have the photos' names, perhaps with
another ending. A scene with poses_bounds.npy holds out every eighth photo from the first, as its
papers do; one with test_id.txt (Stanford-ORB's llff_colmap_*) the photos listed there.
Source: Barron et al. 2022, arXiv:2111.12077, and google-research/multinerf, internal/datasets.py.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from relight3d.core.errors import CaptureError
from relight3d.core.views import View
from relight3d.files.reading import read_whole
from relight3d.files.safety import resolve_inside

TEST_EVERY = 8
_FOLDER = re.compile(r"images(?:_\d{1,3})?")
_SUFFIXES = (".JPG", ".jpg", ".png", ".PNG", ".jpeg", ".exr")


def scene_of(pictures: Path) -> Path | None:
    """The scene a folder of pictures belongs to, if it looks like one."""
    named = _FOLDER.fullmatch(pictures.name) is not None
    return pictures.parent if named and (pictures.parent / "sparse").is_dir() else None


def picture_of(pictures: Path, name: str, where: str) -> Path:
    """The picture of a photo, perhaps with another ending. It need not exist."""
    path = resolve_inside(pictures, name, where)
    if path.is_file():
        return path
    stem = name.rsplit(".", 1)[0]
    others = [resolve_inside(pictures, stem + suffix, where) for suffix in _SUFFIXES]
    return next((other for other in others if other.is_file()), path)


def scaled(
    intrinsics: Float[np.ndarray, "3 3"],
    model_px: tuple[int, int],
    picture_px: tuple[int, int],
    where: str,
) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of a reduced picture; each axis by its own factor, as sizes are rounded.

    Raises:
        CaptureError: The picture has other proportions: it was cropped or turned.
    """
    factors = [picture / model for picture, model in zip(picture_px, model_px, strict=True)]
    off_px = abs(factors[0] - factors[1]) * min(model_px)
    if off_px > 1.5 or max(factors) > 1:
        raise CaptureError(
            f"{where}: the picture is {picture_px[0]} x {picture_px[1]} pixels, the model's photo "
            f"{model_px[0]} x {model_px[1]}: it is no reduction of it. Reduce the photos anew."
        )
    return intrinsics * np.array([[factors[0]], [factors[1]], [1.0]])


def with_official_split(scene: Path, views: Sequence[View]) -> tuple[View, ...]:
    """The views with the split that came with them, if one did."""
    listed = scene / "test_id.txt"
    if listed.is_file():
        lines = read_whole(listed, "The list").decode("utf-8", "replace").split()
        names = {Path(line).stem for line in lines}
        tested = [view.image_path.stem in names for view in views]
    elif (scene / "poses_bounds.npy").is_file():
        tested = [index % TEST_EVERY == 0 for index in range(len(views))]
    else:
        return tuple(views)
    return tuple(
        dataclasses.replace(view, split="test" if test else "train")
        for view, test in zip(views, tested, strict=True)
    )
