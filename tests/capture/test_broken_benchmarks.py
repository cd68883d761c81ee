"""Benchmarks with something missing or wrong: one message, naming the file and what to do."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_benchmarks as bench
import tiny_captures as tiny

from relight3d.capture import import_capture, load
from relight3d.core.errors import CaptureError, FileFormatError

BOTH = (CaptureError, FileFormatError)


def refuse(root: Path, words: str) -> None:
    out = root.parent / "imported"
    with pytest.raises(BOTH, match=words):
        load(root)
    with pytest.raises(BOTH, match=words):
        import_capture(root, out, say=lambda text: None)
    assert not out.exists()


def change(path: Path, mend: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    mend(content)
    path.write_text(json.dumps(content))


def frame_0(**fields) -> Callable[[dict], None]:
    def mend(content: dict) -> None:
        frames = content["frames"]
        frame = frames[0] if isinstance(frames, list) else next(iter(frames.values()))
        for key, value in fields.items():
            frame.pop(key) if value is None else frame.update({key: value})

    return mend


HOSTILE = "../../../../outside/000"


@pytest.mark.parametrize("name", ["train/002_rgb.exr", "train/001_mask.png", "test/000_rgba.png"])
def test_synthetic4relight_lacks_a_picture(tmp_path, name):
    root = bench.synthetic4relight(tmp_path / "data")
    (root / name).unlink()
    refuse(root, rf"frame \d: the file .*{name.split('/')[1]} does not exist")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"file_path": HOSTILE}, "transforms_train.json, frame 0 names .*leads out of the folder"),
        ({"file_path": None}, "frame 0: 'file_path' is missing"),
        ({"file_path": 3}, "'file_path' is '3', a text is needed"),
        ({"transform_matrix": None}, "frame 0: 'transform_matrix' is missing"),
        ({"transform_matrix": [[1, 2], [3, 4]]}, "frame 0: the pose has the shape"),
    ],
)
def test_synthetic4relight_with_a_bad_frame(tmp_path, fields, words):
    root = bench.synthetic4relight(tmp_path / "data")
    change(root / "transforms_train.json", frame_0(**fields))
    refuse(root, words)


def test_synthetic4relight_without_an_angle(tmp_path):
    root = bench.synthetic4relight(tmp_path / "data")
    change(root / "transforms_test.json", lambda content: content.pop("camera_angle_x"))
    refuse(root, r"transforms_test\.json, frame 0: the field 'camera_angle_x' is missing")


@pytest.mark.parametrize("name", ["train/001_mask.png", "test/001_albedo.png"])
def test_synthetic4relight_with_a_map_of_another_size(tmp_path, name):
    root = bench.synthetic4relight(tmp_path / "data")
    bench.photo(root / name, 1, size=(8, 8))
    refuse(root, rf"{name.split('/')[1]}.* is 8 x 8 pixels")


def test_a_light_may_not_be_a_link_out_of_the_data(tmp_path):
    root = bench.synthetic4relight(tmp_path / "data")
    (tmp_path / "secret.exr").write_bytes(b"x")
    (tmp_path / "data/envmap6.exr").unlink()
    os.symlink(tmp_path / "secret.exr", tmp_path / "data/envmap6.exr")
    with pytest.raises(FileFormatError, match="leads out of the folder"):
        load(root)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("blender_LDR/teapot_scene001/train/0002.png", "train/0002 does not exist as .png or .exr"),
        ("blender_LDR/teapot_scene001/test_mask/0004.png", "test_mask/0004.png does not exist"),
        ("blender_LDR/teapot_scene006/test/0005.png", "novel.json, frame 1: the photo .*0005 does"),
    ],
)
def test_stanford_orb_lacks_a_picture(tmp_path, name, words):
    root = bench.stanford_orb(tmp_path / "data")
    (tmp_path / "data" / name).unlink()
    refuse(root, words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scene_name": "../../.."}, "cannot be the name of a file"),
        ({"scene_name": None}, "novel.json, frame 0: 'scene_name' is missing"),
        ({"file_path": HOSTILE}, "leads out of the folder"),
        ({"camera_angle_x": None}, "novel.json, frame 0: the field 'camera_angle_x' is missing"),
        ({"camera_angle_x": 9.0}, "'camera_angle_x' is 9.0, outside of"),
        ({"transform_matrix": None}, "frame 0: 'transform_matrix' is missing"),
    ],
)
def test_stanford_orb_with_a_bad_novel_frame(tmp_path, fields, words):
    root = bench.stanford_orb(tmp_path / "data")
    change(root / "transforms_novel.json", frame_0(**fields))
    refuse(root, words)


def test_stanford_orb_with_a_mask_of_another_size(tmp_path):
    root = bench.stanford_orb(tmp_path / "data")
    bench.mask(tmp_path / "data/blender_LDR/teapot_scene006/test_mask/0004.png", (8, 8))
    refuse(root, r"0004\.png is 8 x 8 pixels")


def test_stanford_orb_alone_goes_without_what_is_beside_it(tmp_path):
    root = bench.stanford_orb(tmp_path / "data")
    alone = shutil.copytree(root, tmp_path / "alone/teapot_scene001")
    capture = load(alone)
    assert len(capture.split("test")) == 2 and capture.environments == {}
    assert capture.split("test")[0].truth == {}


def test_openillumination_lacks_a_photo(tmp_path):
    root = bench.openillumination(tmp_path / "data")
    (root / "Lights/013/raw_undistorted/CA3.JPG").unlink()
    refuse(root, r"transforms_alignz_train\.json, frame 'CA3': the photo .*CA3\.JPG does not exist")


def test_openillumination_lacks_a_mask(tmp_path):
    root = bench.openillumination(tmp_path / "data")
    (root / "output/com_masks/NA1.png").unlink()
    refuse(root, r"frame 'NA1': the file .*NA1\.png does not exist")


def test_openillumination_lacks_poses(tmp_path):
    root = bench.openillumination(tmp_path / "data")
    for path in [*root.glob("output/*.json"), *(tmp_path / "data/others").iterdir()]:
        path.unlink()
    refuse(root, r"the poses are missing: .*transforms_alignz_train\.json")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"file_path": "./images/..\\..\\x"}, "leads out|does not exist"),
        ({"file_path": "./images/.."}, "cannot be the name of a file"),
        ({"camera_angle_x": "wide"}, "'camera_angle_x' is 'wide', a number is needed"),
        ({"transform_matrix": None}, "frame 'CA1': 'transform_matrix' is missing"),
    ],
)
def test_openillumination_with_a_bad_frame(tmp_path, fields, words):
    root = bench.openillumination(tmp_path / "data")
    change(tmp_path / "data/others/transforms_alignz_train.json", frame_0(**fields))
    refuse(root, words)


def test_openillumination_with_a_list_of_frames(tmp_path):
    root = bench.openillumination(tmp_path / "data")
    change(tmp_path / "data/others/transforms_alignz_train.json", lambda c: c.update(frames=[1]))
    refuse(root, "'frames' is not an object")


def test_glossy_synthetic_lacks_a_photo(tmp_path):
    root = bench.nero(tmp_path / "bell")
    (root / "5.png").unlink()
    refuse(root, r"5-camera\.pkl: the file .*5\.png does not exist")


class Command:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (Command(), "5-camera.pkl is refused: it asks for"),
        (np.eye(3), "5-camera.pkl is not a pair of pose and intrinsics"),
        ((np.eye(2), np.eye(3)), "5-camera.pkl: the pose has the shape"),
        ((np.eye(4)[:3] * 2, np.eye(3)), "5-camera.pkl: the rotation part"),
        ((np.eye(4)[:3], np.eye(2)), "5-camera.pkl: the intrinsics are not those of a pinhole"),
        ((np.eye(4)[:3], np.eye(3) * np.nan), "5-camera.pkl: the intrinsics are not those"),
        ((np.eye(4)[:3], "text"), "5-camera.pkl: the intrinsics are no numbers"),
    ],
)
def test_glossy_synthetic_with_a_bad_camera(tmp_path, monkeypatch, camera, words):
    monkeypatch.chdir(tmp_path)
    root = bench.nero(tmp_path / "bell")
    (root / "5-camera.pkl").write_bytes(pickle.dumps(camera))
    refuse(root, words)
    assert not (tmp_path / "ran").exists()


def test_glossy_synthetic_with_a_depth_of_another_size(tmp_path):
    root = bench.nero(tmp_path / "bell")
    tiny.save(root / "2-depth.png", np.zeros((8, 8), np.uint16))
    refuse(root, r"2-depth\.png is 8 x 8 pixels")


@pytest.mark.parametrize(
    ("split", "words"), [((["900"], ["1"]), "names no photo"), (["1"], "is not a pair of test")]
)
def test_glossy_synthetic_with_a_bad_split(tmp_path, split, words):
    root = bench.nero(tmp_path / "bell")
    (root / "synthetic_split_128.pkl").write_bytes(pickle.dumps(split))
    refuse(root, words)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, 2, 3], "'camera_intrinsics' is .*four numbers are needed"),
        ([7, 9, "x", 30], "'fl_x' is 'x', a number is needed"),
        ([7, 9, 0, 30], "'fl_x' is 0.0, outside of"),
    ],
)
def test_nrhints_with_bad_intrinsics(tmp_path, values, words):
    tiny.nrhints(tmp_path / "c")
    path = tmp_path / "c/transforms_train.json"
    change(path, lambda content: content.update(camera_intrinsics=values))
    refuse(tmp_path / "c", words)


def test_nrhints_with_pictures_that_are_not_read(tmp_path):
    tiny.nrhints(tmp_path / "c")
    change(tmp_path / "c/transforms_test.json", frame_0(file_ext=".npy"))
    refuse(tmp_path / "c", r"frame 0, file_path: the picture ends in '\.npy' \(file_ext\)")


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ({"day": [[1, 0], [0, 1]]}, "environment_turns, day: the pose"),
        ({"day": "x"}, "environment_turns, day: the pose"),
        ({"../day": []}, "cannot be the name of a file"),
        ([1], "'environment_turns' is not an object"),
    ],
)
def test_bad_turns_of_lights(tmp_path, turns, words):
    content = tiny.nerfstudio(tmp_path / "c")
    tiny.rewrite(tmp_path / "c", {**content, "environment_turns": turns})
    refuse(tmp_path / "c", words)


def test_bad_encoding_of_albedo(tmp_path):
    content = tiny.nerfstudio(tmp_path / "c")
    content["frames"][1]["albedo_space"] = "gamma"
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path / "c", "frame 1: 'albedo_space' is 'gamma', neither linear nor srgb")


@pytest.fixture
def garden(tmp_path) -> Path:
    """Three photos; images_4 is to be filled."""
    root = tmp_path / "garden"
    (root / "sparse/0").mkdir(parents=True)
    (root / "sparse/0/cameras.txt").write_text("1 PINHOLE 96 64 100 102 49 31\n")
    lines = []
    for index in range(3):
        lines += [f"{index + 1} 1 0 0 0 {index} 0 0 1 p{index}.JPG", ""]
    (root / "sparse/0/images.txt").write_text("\n".join(lines) + "\n")
    (root / "sparse/0/points3D.txt").write_text("")
    return root


@pytest.mark.parametrize("size", [(16, 24), (24, 10), (192, 128)])
def test_reduced_photos_of_other_proportions(garden, size):
    for index in range(3):
        bench.photo(garden / f"images_4/p{index}.JPG", index, False, size)
    refuse(garden / "images_4", r"image p0\.JPG: the picture is .*it is no reduction of it")


def test_a_reduced_photo_is_missing(garden):
    for index in range(2):
        bench.photo(garden / f"images_4/p{index}.JPG", index, False, (24, 16))
    refuse(garden / "images_4", r"image p2\.JPG: the photo .*images_4/p2\.JPG does not exist")


def test_reduced_photos_in_the_place_of_the_whole_ones(garden):
    for index in range(3):
        bench.photo(garden / f"images/p{index}.JPG", index, False, (24, 16))
    refuse(garden, r"model says 96 x 64.*name their folder \(images_4\) as the capture")


def test_a_photo_named_out_of_the_folder(garden):
    path = garden / "sparse/0/images.txt"
    path.write_text(path.read_text().replace("p1.JPG", "../../outside.JPG"))
    for index in range(3):
        bench.photo(garden / f"images_4/p{index}.JPG", index, False, (24, 16))
    refuse(garden / "images_4", "leads out of the folder")
