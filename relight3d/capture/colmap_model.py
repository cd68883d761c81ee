"""COLMAP's sparse model, text or binary. Frames are converted here, nowhere else."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from relight3d.capture.colmap_files import (
    ModelImage,
    ModelPoints,
    read_cameras,
    read_images,
    read_model_points,
)
from relight3d.capture.poses import MAX_COORDINATE, checked_rigid
from relight3d.capture.reduced_photos import picture_of, scaled, with_official_split
from relight3d.capture.source import Lens, Source, lens_of, natural_key, pinhole
from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture, View
from relight3d.files.images import image_info
from relight3d.files.safety import resolve_inside

_PLACES = ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "dense/sparse", ".")
_MIN_TRACK = 3
_ENOUGH_POINTS = 200
_MAX_REPROJECTION_ERROR_PX = 2.0
# Which of COLMAP's parameters are focal lengths, centre and which of OpenCV's coefficients.
_MODELS: dict[str, tuple[int, str, tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": (1, "polynomial", ()),
    "PINHOLE": (2, "polynomial", ()),
    "SIMPLE_RADIAL": (1, "polynomial", (3,)),
    "RADIAL": (1, "polynomial", (3, 4)),
    "OPENCV": (2, "polynomial", (4, 5, 6, 7)),
    "FULL_OPENCV": (2, "polynomial", (4, 5, 6, 7, 8, 9, 10, 11)),
    "OPENCV_FISHEYE": (2, "fisheye", (4, 5, 6, 7)),
    "SIMPLE_RADIAL_FISHEYE": (1, "fisheye", (3,)),
    "RADIAL_FISHEYE": (1, "fisheye", (3, 4)),
}


def model_folder(root: Path) -> Path | None:
    """Where the model lies; of several numbered ones, the one with the most image data."""
    for place in _PLACES:
        folders = [root / place]
        if place.endswith("/0"):
            parent = (root / place).parent
            folders = [p for p in parent.iterdir() if p.name.isdecimal()] if parent.is_dir() else []
        found = [(size, folder) for folder in folders if (size := _image_bytes(folder))]
        if found:
            return max(found)[1]
    return None


def _image_bytes(folder: Path) -> int:
    for suffix in ("bin", "txt"):
        cameras, images = folder / f"cameras.{suffix}", folder / f"images.{suffix}"
        if cameras.is_file() and images.is_file():
            return max(1, images.stat().st_size)
    return 0


def read_colmap(root: Path, folder: Path, pictures: Path | None = None) -> Source:
    """Read a model and find its photos in images/ (or input/, or the folder itself).

    Args:
        root: The scene's folder.
        folder: The model's.
        pictures: Photos reduced from those of the model, to be taken instead.

    Raises:
        CaptureError: Photos missing or of another size, a camera model that is not supported.
        FileFormatError: The model is cut off or damaged.
    """
    cameras, images = read_cameras(folder), read_images(folder)
    if not images:
        raise CaptureError(f"The COLMAP model {folder} has no posed photo. Run the mapper again.")
    photos = pictures or _photo_folder(root, folder, {image.name for image in images})
    views: list[View] = []
    lenses: dict[Path, Lens] = {}
    for image in sorted(images, key=lambda image: natural_key(image.name)):
        where = f"The COLMAP model {folder}, image {image.name}"
        camera = cameras.get(image.camera_id)
        if camera is None:
            raise CaptureError(
                f"{where}: its camera {image.camera_id} is missing. Export it again."
            )
        lens, intrinsics = lens_from_colmap(camera.model, camera.parameters, where)
        size = (camera.width_px, camera.height_px)
        view = _view(image, photos, size, intrinsics, where, reduced=pictures is not None)
        views.append(view)
        if lens is not None:
            lenses[view.image_path] = lens
    xyz, rgb = good_points(read_model_points(folder)) if _has_points(folder) else (None, None)
    views = list(with_official_split(root, views))
    capture = Capture(root, tuple(views), "scene", points=xyz, points_rgb=rgb)
    return Source(capture, lenses, layout="COLMAP model", z_up=False)


def _has_points(folder: Path) -> bool:
    """An empty points3D.txt is how known poses are given to COLMAP."""
    files = [folder / f"points3D.{suffix}" for suffix in ("bin", "txt")]
    found = next((path for path in files if path.is_file()), None)
    return found is not None and (found.suffix == ".bin" or found.stat().st_size > 0)


def lens_from_colmap(
    model: str, parameters: Iterable[float], where: str
) -> tuple[Lens | None, Float[np.ndarray, "3 3"]]:
    """COLMAP's camera parameters as lens and intrinsics (both count pixel centres at +0.5).

    Raises:
        CaptureError: A model without a counterpart in OpenCV, or parameters that are not finite.
    """
    if model not in _MODELS:
        raise CaptureError(
            f"{where}: the camera model {model} is not supported ({', '.join(_MODELS)} are). "
            "Undistort with `colmap image_undistorter` first."
        )
    values = [float(value) for value in parameters]
    focal_count, kind, indices = _MODELS[model]
    if not np.isfinite(values).all() or min(values[:focal_count]) <= 0:
        raise CaptureError(f"{where}: impossible camera parameters {values}. Run the mapper again.")
    coefficients = [values[index] for index in indices]
    lens = lens_of("fisheye" if kind == "fisheye" else "polynomial", coefficients)
    return lens, pinhole(values[0], values[focal_count - 1], *values[focal_count : focal_count + 2])


def good_points(
    points: ModelPoints,
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"]]:
    """Points seen by at least three photos with a small error, and their sRGB in [0, 1].

    Where few are, those seen by two photos count as well.
    """
    near = (np.abs(points.xyz) <= MAX_COORDINATE).all(-1)  # not if NaN
    sound = near & (points.error_px <= _MAX_REPROJECTION_ERROR_PX)
    for least in (_MIN_TRACK, 2):
        kept = sound & (points.track_length >= least)
        if kept.sum() >= _ENOUGH_POINTS:
            break
    return points.xyz[kept], np.clip(points.rgb[kept], 0, 1)


def _view(
    image: ModelImage,
    photos: Path,
    size_px: tuple[int, int],
    intrinsics: Float[np.ndarray, "3 3"],
    where: str,
    reduced: bool,
) -> View:
    path = picture_of(photos, image.name, where)
    if not path.is_file():
        raise CaptureError(f"{where}: the photo {path} does not exist. Restore it.")
    info = image_info(path)
    if reduced:
        intrinsics = scaled(intrinsics, size_px, (info.width_px, info.height_px), where)
    elif (info.width_px, info.height_px) != size_px:
        raise CaptureError(
            f"{where}: the photo {path} is {info.width_px} x {info.height_px} pixels, the model "
            f"says {size_px[0]} x {size_px[1]}. Give the photos the model was made from; if these "
            "are reduced from them, name their folder (images_4) as the capture."
        )
    name = Path(image.name).with_suffix("").as_posix().replace("/", "_")
    return View(
        name=name,
        image_path=path,
        width_px=info.width_px,
        height_px=info.height_px,
        intrinsics=intrinsics,
        world_to_camera=checked_rigid(image.world_to_camera, where),
        color_space=info.color_space,
        mask_path=mask_beside(photos, path),
    )


def mask_beside(photos: Path, picture: Path) -> Path | None:
    """masks/NAME.png or masks/NAME.jpg.png beside the photo folder, or in it."""
    relative = picture.relative_to(photos.resolve())
    for folder in (photos.parent / "masks", photos / "masks"):
        for name in (f"{relative}.png", f"{relative.with_suffix('')}.png"):
            if (folder / name).is_file():
                return resolve_inside(folder.parent, f"masks/{name}", "masks")
    return None


def _photo_folder(root: Path, folder: Path, names: set[str]) -> Path:
    candidates = [root / "images", root / "input", root, folder / "images", root.parent / "images"]
    best = max(candidates, key=lambda place: sum((place / name).is_file() for name in names))
    if not any((best / name).is_file() for name in names):
        raise CaptureError(
            f"None of the {len(names)} photos of the COLMAP model {folder} was found in "
            f"{root / 'images'}. Put them there."
        )
    return best
