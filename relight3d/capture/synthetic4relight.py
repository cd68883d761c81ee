"""Synthetic4Relight's layout: OpenEXR to train on, the test views under two more lights.

    transforms_train.json  train/NNN_rgb.exr  train/NNN_mask.png
    transforms_test.json   test/NNN_rgba.png  test/NNN_albedo.png  test/NNN_rough.png
    test_rli/envmap6_NNN.png  test_rli/envmap12_NNN.png
    ../envmap3.exr (the light of the photos)  ../envmap6.exr  ../envmap12.exr      (optional)

A frame's `file_path` is train/NNN or test/NNN, without an ending; the angle of view is the file's.
Albedo is compared in sRGB by those who score it, roughness as stored; the maps of the lights look
along +x in their middle.
Source: Zhang et al. 2022, arXiv:2204.06837 (code/datasets/syn_dataset.py); Gao et al. 2024,
arXiv:2311.16043 (eval_relighting_syn4.py, scene/envmap.py).
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from relight3d.capture.benchmark_views import blender_view, frame_path, optional, required
from relight3d.capture.fields import records
from relight3d.capture.source import MIDDLE_IS_X, Source
from relight3d.core.views import Capture, View, ViewLight
from relight3d.files.safety import read_json

_LIGHT = "envmap3"
_RELIT = ("envmap6", "envmap12")


def is_synthetic4relight(root: Path) -> bool:
    """Whether the folder has the relit test pictures, or a training picture, of this layout."""
    return (root / "transforms_train.json").is_file() and (
        (root / "test_rli").is_dir() or next(root.glob("train/*_rgb.exr"), None) is not None
    )


def read_synthetic4relight(root: Path) -> Source:
    """Read the layout.

    Raises:
        CaptureError: A picture is missing, or a field cannot be used.
        FileFormatError: A file that cannot be read, or a path that leaves the folder.
    """
    views = []
    for split in ("train", "test"):
        path = root / f"transforms_{split}.json"
        if split == "test" and not path.is_file():
            continue
        content = read_json(path)
        read = _train_view if split == "train" else _test_view
        for index, frame in enumerate(records(content, "frames", f"{path}")):
            where = f"{path}, frame {index}"
            views.append(read(root, frame, content, frame_path(frame, where), where))
    maps = {name: f"{name}.exr" for name in (_LIGHT, *_RELIT)}
    environments = optional(root.parent, maps, f"{root.parent}")
    capture = Capture(
        root=root,
        views=tuple(views),
        kind="object",
        environments=environments,
        environment_turns=dict.fromkeys(environments, MIDDLE_IS_X),
    )
    return Source(capture, layout="Synthetic4Relight")


def _train_view(root: Path, frame: Mapping, content: Mapping, named: str, where: str) -> View:
    return blender_view(
        frame, content, required(root, f"{named}_rgb.exr", where), named.replace("/", "_"), where,
        mask_path=required(root, f"{named}_mask.png", where), light=ViewLight(_LIGHT),
    )  # fmt: skip


def _test_view(root: Path, frame: Mapping, content: Mapping, named: str, where: str) -> View:
    number = PurePosixPath(named).name
    maps = {"albedo": f"{named}_albedo.png", "roughness": f"{named}_rough.png"}
    maps |= {f"relit/{light}": f"test_rli/{light}_{number}.png" for light in _RELIT}
    return blender_view(
        frame, content, required(root, f"{named}_rgba.png", where), named.replace("/", "_"), where,
        split="test", light=ViewLight(_LIGHT), truth=optional(root, maps, where),
        albedo_space="srgb",
    )  # fmt: skip
