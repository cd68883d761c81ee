"""A folder of photos to a posed `Source`: metadata, masks and working copies around the mapper."""

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from relight3d.capture.colmap_model import good_points, lens_from_colmap
from relight3d.capture.options import ImportOptions
from relight3d.capture.poses import checked_rigid
from relight3d.capture.source import MIN_TRAIN_VIEWS, Lens, Source, files_in
from relight3d.capture.undistort import reduced_size, resized, scaled_intrinsics
from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture, ColorSpace, View
from relight3d.files.exif import Exif, read_exif
from relight3d.files.images import SUFFIXES, Image, read_image, read_mask, write_image, write_png

_POSING_PX = 1600
_LEAST_PX = 32
_HIGHLIGHT_QUANTILE = 0.99


@dataclasses.dataclass(frozen=True)
class _Photo:
    """A photo before it has a pose, and its reduced working copy."""

    path: Path
    size: tuple[int, int]
    work_name: str
    work_size: tuple[int, int]
    color_space: ColorSpace
    exif: Exif
    mask_path: Path | None


def pose_folder(
    folder: Path, work: Path, options: ImportOptions, say: Callable[[str], None]
) -> Source:
    """Pose the photos of a folder.

    Photos without a pose are named through `say`, with the reason, and left out.

    Raises:
        CaptureError: Fewer than three photos, masks missing, or no poses found.
        FileFormatError: A photo or mask that cannot be decoded.
    """
    from relight3d.capture.colmap_pose import pose_photos

    paths = files_in(folder, SUFFIXES)
    if len(paths) < MIN_TRAIN_VIEWS:
        raise CaptureError(
            f"{folder} has {len(paths)} photo(s), at least {MIN_TRAIN_VIEWS} are needed; 20 to 100 "
            "all around the subject are good."
        )
    masks = find_masks(folder, paths, options.masks)
    copies = work / "photos"
    copies.mkdir()
    photos = [
        _prepared(path, masks.get(path), copies, f"{index:05d}.jpg")
        for index, path in enumerate(paths)
    ]
    posing = pose_photos(
        copies, _groups(photos), copies / "masks" if masks else None, work, options.seed, say
    )
    names = {photo.work_name: photo.path.name for photo in photos}
    for name, reason in posing.left_out.items():
        say(f"left out: {names[name]}: {reason}")
    say(f"{len(photos) - len(posing.left_out)} of {len(photos)} photos posed ({posing.strategy})")
    return _source(folder, photos, posing.model)


def find_masks(folder: Path, photos: Sequence[Path], chosen: Path | None) -> dict[Path, Path]:
    """Masks by photo: in the chosen folder, or in masks/ beside or in the photo folder.

    Raises:
        CaptureError: The chosen folder does not exist, or some photos have a mask and some none.
    """
    if chosen is not None and not chosen.is_dir():
        raise CaptureError(f"The folder of masks {chosen} does not exist. Check --masks.")
    places = (folder.parent / "masks", folder / "masks") if chosen is None else (chosen,)
    for place in places:
        if not place.is_dir():
            continue
        by_name = {path.name: path for path in files_in(place, SUFFIXES)}
        by_stem = {path.stem: path for path in by_name.values()}
        found = {
            photo: mask for photo in photos
            if (mask := by_name.get(f"{photo.name}.png") or by_stem.get(photo.stem))
        }  # fmt: skip
        missing = [photo.name for photo in photos if photo not in found]
        if found and missing:
            raise CaptureError(
                f"{len(missing)} of {len(photos)} photos have no mask in {place} "
                f"({', '.join(missing[:5])}). Add the missing masks, or move the folder away."
            )
        if found:
            return found
    if chosen is not None:
        raise CaptureError(
            f"{chosen} has no mask for any photo of {folder}. Name them like their photos: "
            f"{photos[0].stem}.png."
        )
    return {}


def _prepared(path: Path, mask_path: Path | None, copies: Path, name: str) -> _Photo:
    """Decode, reduce and write the upright 8-bit copy that is matched."""
    image = read_image(path)
    size = (image.pixels.shape[1], image.pixels.shape[0])
    if min(size) < _LEAST_PX:  # the feature detector crashes on the smallest
        raise CaptureError(
            f"The photo {path} is {size[0]} x {size[1]} pixels, too small to find its pose; "
            f"{_LEAST_PX} are needed on each side. Remove it, or give larger photos."
        )
    work_size = reduced_size(*size, _POSING_PX)
    pixels = resized(_displayable(image), work_size)
    write_image(copies / name, Image(pixels, None, "srgb", 8))
    if mask_path is not None:
        mask = resized(read_mask(mask_path, size), work_size)
        write_png(copies / "masks" / f"{name}.png", np.rint(mask * 255).astype(np.uint8))
    return _Photo(path, size, name, work_size, image.color_space, read_exif(path), mask_path)


def _displayable(image: Image) -> Float[np.ndarray, "H W 3"]:
    """Linear photos by a plain gamma, exposed for their highlights: enough for features."""
    if image.color_space == "srgb":
        return image.pixels
    white = max(float(np.quantile(image.pixels, _HIGHLIGHT_QUANTILE)), 1e-6)
    return np.clip(image.pixels / white, 0, 1) ** np.float32(1 / 2.2)


def _groups(photos: Sequence[_Photo]) -> list:
    """Photos of one size, camera and focal length share intrinsics: fewer unknowns."""
    from relight3d.capture.colmap_pose import PhotoGroup

    by_camera: Mapping[tuple, list[_Photo]] = collections.defaultdict(list)
    for photo in photos:
        exif = photo.exif
        key = (photo.work_size, exif.camera, exif.focal_mm, exif.focal_diagonals)
        by_camera[key].append(photo)
    groups = []
    for (size, _, _, focal_diagonals), members in by_camera.items():
        focal = None if focal_diagonals is None else focal_diagonals * math.hypot(*size)
        names = tuple(photo.work_name for photo in members)
        groups.append(PhotoGroup(names, size[0], size[1], focal))
    return groups


def _source(folder: Path, photos: Sequence[_Photo], model) -> Source:
    """Views in the order of the photos, lenses and sparse points of a model."""
    from relight3d.capture.colmap_pose import model_points

    posed = {image.name: image for image in model.images.values() if image.has_pose}
    exposures = [photo.exif.exposure for photo in photos]
    known = [value for value in exposures if value is not None]
    typical = float(np.median(known)) if len(known) == len(photos) else None
    views: list[View] = []
    lenses: dict[Path, Lens] = {}
    for photo in photos:
        image = posed.get(photo.work_name)
        if image is None:
            continue
        camera = model.cameras[image.camera_id]
        where = f"The pose of {photo.path.name}"
        lens, intrinsics = lens_from_colmap(camera.model.name, camera.params.tolist(), where)
        view = View(
            name=photo.path.stem,
            image_path=photo.path.resolve(),
            width_px=photo.size[0],
            height_px=photo.size[1],
            intrinsics=scaled_intrinsics(intrinsics, photo.work_size, photo.size),
            world_to_camera=checked_rigid(image.cam_from_world().matrix(), where),
            mask_path=photo.mask_path,
            color_space=photo.color_space,
            exposure=photo.exif.exposure / typical if typical and photo.exif.exposure else None,
        )
        views.append(view)
        if lens is not None:
            lenses[view.image_path] = lens
    xyz, rgb = good_points(model_points(model))
    capture = Capture(folder.resolve(), tuple(views), "scene", points=xyz, points_rgb=rgb)
    return Source(capture, lenses, layout="photos", z_up=False)
