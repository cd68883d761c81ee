"""Stanford-ORB's blender layout: the scene to fit, and the same object photographed elsewhere.

    blender_LDR/OBJ_SCENE/transforms_{train,test}.json  train/NNNN.png  train_mask/NNNN.png  ...
    blender_LDR/OBJ_SCENE/transforms_novel.json     scene_name, file_path, camera_angle_x a frame
    blender_LDR/OBJ_OTHER/test/NNNN.png             what these name
    blender_HDR/...                                 the same as .exr
    ground_truth/OBJ_OTHER/env_map/NNNN.exr         the light around that photo
    ground_truth/OBJ_SCENE/{pseudo_gt_albedo/NNNN.png,surface_normal/NNNN.npy,z_depth/NNNN.npy}

Frames leave the ending out. A novel frame becomes a test view under its own light, named
OBJ_OTHER_NNNN; scenes that are not there are left out. Pseudo albedo is sRGB-encoded. Normals are
in the camera's axes (OpenGL), depth is along the optical axis. An environment map is seen from its
camera: direction (x, y, z) in OpenGL camera axes lies at u = 1/2 + atan2(x, -z) / 2 pi,
v = acos(y) / pi. The COLMAP folders (llff_colmap_*) are read by `colmap_model`.
Source: Kuang et al. 2023, arXiv:2310.16044, README and code (orb/datasets/mymethod.py, orb/utils:
env_map.py, mesh_to_geometry.py, test.py).
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float

from relight3d.capture.benchmark_views import blender_view, frame_path, optional, required
from relight3d.capture.fields import plain_name, records, text
from relight3d.capture.poses import checked_rigid
from relight3d.capture.source import Source
from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture, Split, View, ViewLight
from relight3d.files.safety import read_json, resolve_inside

MAP_FROM_CAMERA = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""OpenGL camera axes to those in which `conventions` reads the benchmark's maps."""


def is_stanford_orb(root: Path) -> bool:
    """Whether the folder is one scene of the blender layout."""
    return (root / "transforms_train.json").is_file() and (
        (root / "transforms_novel.json").is_file() or (root / "train_mask").is_dir()
    )


def read_stanford_orb(root: Path) -> Source:
    """Read one scene.

    Raises:
        CaptureError: A photo or mask is missing, or a field cannot be used.
        FileFormatError: A file that cannot be read, or a path that leaves its scene.
    """
    views = _own_views(root, "train")
    if (root / "transforms_test.json").is_file():
        views += _own_views(root, "test")
    novel = root / "transforms_novel.json"
    lights: dict[str, Path] = {}
    turns: dict[str, Float[np.ndarray, "3 3"]] = {}
    for index, frame in enumerate(records(read_json(novel), "frames", f"{novel}")
                                  if novel.is_file() else []):  # fmt: skip
        where = f"{novel}, frame {index}"
        other = text(frame, "scene_name", where)
        if not other:
            raise CaptureError(f"{where}: 'scene_name' is missing. Restore the file.")
        scene = resolve_inside(root.parent, plain_name(other, where), where)
        if not scene.is_dir():
            continue
        named = frame_path(frame, where)
        light = f"{other}_{PurePosixPath(named).name}"
        views.append(_view(scene, frame, frame, named, f"novel_{light}", "test", light, where))
        path = optional(_truth(root), {light: _map(other, "env_map", named, ".exr")}, where)
        lights |= path
        turns |= {name: _map_from_world(frame, where) for name in path}
    capture = Capture(
        root=root,
        views=tuple(views),
        kind="object",
        environments=lights,
        environment_turns=turns,
    )
    return Source(capture, layout="Stanford-ORB")


def _own_views(root: Path, split: Split) -> list[View]:
    path = root / f"transforms_{split}.json"
    content = read_json(path)
    views = []
    for index, frame in enumerate(records(content, "frames", f"{path}")):
        where = f"{path}, frame {index}"
        named = frame_path(frame, where)
        fields = frame if "camera_angle_x" in frame else content
        maps = {}
        if split == "test":
            maps = {
                "albedo": _map(root.name, "pseudo_gt_albedo", named, ".png"),
                "camera_normal": _map(root.name, "surface_normal", named, ".npy"),
                "depth": _map(root.name, "z_depth", named, ".npy"),
            }
        name = named.replace("/", "_")
        views.append(_view(root, frame, fields, named, name, split, None, where, maps))
    return views


def _view(
    scene: Path, frame: Mapping, fields: Mapping, named: str, name: str, split: Split,
    light: str | None, where: str, maps: Mapping[str, str] | None = None,
) -> View:  # fmt: skip
    photos = optional(scene, {end: named + end for end in (".png", ".exr")}, where)
    if not photos:
        raise CaptureError(
            f"{where}: the photo {scene / named} does not exist as .png or .exr. Restore it."
        )
    path = PurePosixPath(named)
    return blender_view(
        frame, fields, next(iter(photos.values())), name, where,
        split=split,
        mask_path=required(scene, f"{path.parent}_mask/{path.name}.png", where),
        light=ViewLight() if light is None else ViewLight(light),
        truth=optional(_truth(scene), maps or {}, where),
        albedo_space="srgb",
    )  # fmt: skip


def _truth(scene: Path) -> Path:
    return scene.parent.parent / "ground_truth"


def _map(scene: str, kind: str, named: str, suffix: str) -> str:
    return f"{scene}/{kind}/{PurePosixPath(named).name}{suffix}"


def _map_from_world(frame: Mapping, where: str) -> Float[np.ndarray, "3 3"]:
    camera_to_world = checked_rigid(frame["transform_matrix"], where)[:3, :3]
    return MAP_FROM_CAMERA @ camera_to_world.T
