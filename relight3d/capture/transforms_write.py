"""Write one capture folder: nerfstudio's `transforms.json` and what it names.

    transforms.json  images/NAME.{png,jpg,exr}  masks/NAME.png  sparse_pc.ply
    truth/NAME_MAP.png  envmaps/NAME.hdr

nerfstudio's keys mean what nerfstudio says. Keys of our own: `relight3d_capture` (version), `kind`,
`environments`, `environment_turns`, and per frame `name`, `split`, `color_space`, `light`,
`exposure`, `truth`, `albedo_space`.
"""

import dataclasses
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from relight3d.capture.points_ply import write_points
from relight3d.capture.poses import to_opengl
from relight3d.capture.source import Lens
from relight3d.capture.transforms_json import FORMAT_KEY, FORMAT_VERSION
from relight3d.capture.undistort import Undistorter, reduced_size, resized, scaled_intrinsics
from relight3d.core.views import Capture, View, ViewLight
from relight3d.files.atomic import atomic_file
from relight3d.files.environment import read_environment
from relight3d.files.images import (
    Image,
    is_stored_upright,
    read_image,
    read_mask,
    write_image,
    write_png,
)


def write_capture(
    folder: Path, capture: Capture, lenses: Mapping[Path, Lens], max_size_px: int
) -> None:
    """Fill an empty folder.

    Args:
        folder: Exists and is empty but for hidden files.
        capture: In the frame to be written; its pictures lie anywhere.
        lenses: By picture; these photos are straightened.
        max_size_px: Larger photos, with masks and truth, are reduced.

    Raises:
        FileFormatError: A photo, mask or environment map that cannot be decoded.
        OutputError: A file that cannot be written.
    """
    straight: dict[tuple, Undistorter] = {}
    frames = []
    for view in capture.views:
        name = _file_name(view.name, {frame["name"] for frame in frames})
        frames.append(
            _write_view(folder, view, name, lenses.get(view.image_path), straight, max_size_px)
            | {"truth": _write_truth(folder, view, name, max_size_px)}
        )
    content = _header(capture) | {"frames": frames}
    for split in ("train", "test"):
        content[f"{split}_filenames"] = [f["file_path"] for f in frames if f["split"] == split]
    content["val_filenames"] = content["test_filenames"]
    if capture.points is not None and capture.points_rgb is not None and len(capture.points):
        write_points(folder / "sparse_pc.ply", capture.points, capture.points_rgb)
        content["ply_file_path"] = "sparse_pc.ply"
    content["environments"] = {
        name: _copied_light(name, path, folder / "envmaps")
        for name, path in capture.environments.items()
    }
    content["environment_turns"] = {
        name: turn.tolist() for name, turn in capture.environment_turns.items()
    }
    with atomic_file(folder / "transforms.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False))


def _header(capture: Capture) -> dict:
    similarity = capture.capture_from_source
    matrix = np.concatenate(
        [similarity.rotation, similarity.translation[:, None] / similarity.scale], 1
    )
    return {
        FORMAT_KEY: FORMAT_VERSION,
        "kind": capture.kind,
        "camera_model": "OPENCV",
        "applied_transform": matrix.tolist(),
        "applied_scale": similarity.scale,
    }


def _write_view(
    folder: Path, view: View, name: str, lens: Lens | None,
    straight: dict[tuple, Undistorter], max_size_px: int,
) -> dict:  # fmt: skip
    old = (view.width_px, view.height_px)
    size = reduced_size(*old, max_size_px)
    intrinsics = scaled_intrinsics(view.intrinsics, old, size)
    undistort = None
    if lens is not None:
        key = (lens, size, tuple(intrinsics.ravel()))
        if key not in straight:
            straight[key] = Undistorter(lens, intrinsics, size, str(view.image_path))
        undistort = straight[key]
        intrinsics = undistort.intrinsics
    image = read_image(view.image_path)  # decoded in any case: a damaged photo is refused here
    if size == old and undistort is None:
        target = folder / "images" / f"{name}{_suffix(view.image_path, image)}"
        if _stands_upright(view.image_path, image):
            _copied(view.image_path, target)
        else:
            write_image(target, image)
    else:
        image = _resampled(image, size, undistort)
        target = folder / "images" / f"{name}{_suffix(view.image_path, image)}"
        write_image(target, image)
    frame = {
        "name": name,
        "file_path": f"images/{target.name}",
        "split": view.split,
        "color_space": view.color_space,
        "w": size[0], "h": size[1],
        "fl_x": intrinsics[0, 0], "fl_y": intrinsics[1, 1],
        "cx": intrinsics[0, 2], "cy": intrinsics[1, 2],
        "transform_matrix": to_opengl(view.world_to_camera).tolist(),
        "light": _light(view.light),
        "albedo_space": view.albedo_space,
    }  # fmt: skip
    if view.exposure is not None:
        frame["exposure"] = view.exposure
    if view.mask_path is not None:
        mask = resized(read_mask(view.mask_path, old, view.mask_below), size)
        mask = mask if undistort is None else undistort(mask)
        grey = np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
        write_png(folder / "masks" / f"{name}.png", grey)
        frame["mask_path"] = f"masks/{name}.png"
    return frame


def _resampled(image: Image, size: tuple[int, int], undistort: Undistorter | None) -> Image:
    """Reduced and straightened; colour is weighted with alpha so that no fringe appears."""
    pixels, alpha = image.pixels, image.alpha
    if alpha is not None:
        pixels = pixels * alpha
    pixels, alpha = (
        None if plane is None else resized(np.ascontiguousarray(plane), size)
        for plane in (pixels, alpha)
    )
    if undistort is not None:
        pixels, alpha = (None if plane is None else undistort(plane) for plane in (pixels, alpha))
    assert pixels is not None
    if alpha is not None:
        pixels = np.where(alpha > 1e-4, pixels / np.maximum(alpha, 1e-4), 0)
    pixels = pixels if image.color_space == "linear" else np.clip(pixels, 0, 1)
    return dataclasses.replace(image, pixels=pixels.astype(np.float32), alpha=alpha)


def _suffix(path: Path, image: Image) -> str:
    if image.color_space == "linear":
        return ".exr"
    lossy = path.suffix.lower() in (".jpg", ".jpeg") and image.alpha is None and image.bits == 8
    return ".jpg" if lossy else ".png"


def _stands_upright(path: Path, image: Image) -> bool:
    """Whether the file can be copied: common format, and readers that ignore EXIF see the same."""
    return path.suffix.lower() == _suffix(path, image) and is_stored_upright(path)


def _light(light: ViewLight) -> dict:
    return {
        "environment": light.environment,
        "rotation_rad": light.rotation_rad,
        "points": [dataclasses.asdict(point) for point in light.points],
    }


def _write_truth(folder: Path, view: View, name: str, max_size_px: int) -> dict[str, str]:
    """Maps for scoring, copied where nothing changes."""
    size = reduced_size(view.width_px, view.height_px, max_size_px)
    changed = size != (view.width_px, view.height_px)
    written = {}
    for key, path in view.truth.items():
        target = folder / "truth" / f"{name}_{key.replace('/', '_')}{path.suffix.lower()}"
        if path.suffix.lower() == ".npy":
            if not changed:  # numbers are not resampled
                written[key] = _copied(path, target)
        elif changed:
            target = target.with_suffix(".png")
            write_image(target, _resampled(read_image(path), size, None))
            written[key] = f"truth/{target.name}"
        else:
            written[key] = _copied(path, target)
    return written


def _copied_light(name: str, path: Path, folder: Path) -> str:
    read_environment(path)  # a damaged map is refused here
    return _copied(path, folder / f"{name}{path.suffix.lower()}")


def _copied(path: Path, target: Path) -> str:
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, target)
    return f"{target.parent.name}/{target.name}"


def _file_name(name: str, taken: set[str]) -> str:
    """A name every file system takes, unique also where case does not count."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:100] or "photo"
    lower = {other.lower() for other in taken}
    result, number = plain, 2
    while result.lower() in lower:
        result, number = f"{plain}_{number}", number + 1
    return result
