"""Every way to break a capture gives one message that names the file or frame."""

import os

import numpy as np
import pytest
import tiny_captures as tiny

from relight3d.capture import ImportOptions, import_capture, load, load_photos
from relight3d.core.errors import CaptureError, ConfigurationError, FileFormatError
from relight3d.files.safety import MAX_JSON_BYTES


@pytest.fixture
def content(tmp_path):
    return tiny.nerfstudio(tmp_path / "c")


def refuse(tmp_path, words, error: type[Exception] = CaptureError):
    """Loading and importing are refused, and the import leaves nothing."""
    with pytest.raises(error, match=words):
        load_photos(load(tmp_path / "c").views)
    with pytest.raises(error, match=words):
        import_capture(tmp_path / "c", tmp_path / "out", say=lambda text: None)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "outside") == ["c"]


def test_missing_picture(tmp_path, content):
    (tmp_path / "c/images/p_002.png").unlink()
    refuse(tmp_path, r"frame 2.*p_002\.png does not exist")


@pytest.mark.parametrize(("size", "words"), [(0, "empty"), (30, "cut off|not a picture")])
def test_cut_off_picture(tmp_path, content, size, words):
    path = tmp_path / "c/images/p_002.png"
    path.write_bytes(path.read_bytes()[:size])
    refuse(tmp_path, rf"p_002\.png.*({words})", FileFormatError)


def test_picture_cut_off_behind_its_header(tmp_path, content):
    path = tmp_path / "c/images/p_002.png"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refuse(tmp_path, r"p_002\.png is cut off", FileFormatError)


def test_text_instead_of_a_picture(tmp_path, content):
    (tmp_path / "c/images/p_002.png").write_text("hello")
    refuse(tmp_path, r"p_002\.png is not a picture", FileFormatError)


def test_picture_of_another_size_than_declared(tmp_path, content):
    tiny.rewrite(tmp_path / "c", {**content, "w": tiny.SIZE, "h": tiny.SIZE})
    tiny.save(tmp_path / "c/images/p_004.png", tiny.picture(4, (20, 16)))
    refuse(tmp_path, r"frame 4.*p_004\.png is 20 x 16 pixels, the file says 16 x 16")


def test_mask_of_another_size(tmp_path, content):
    for index, entry in enumerate(content["frames"]):
        size = 8 if index == 3 else tiny.SIZE
        tiny.save(tmp_path / f"c/masks/m{index}.png", np.full((size, size), 255, np.uint8))
        entry["mask_path"] = f"masks/m{index}.png"
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, r"mask .*m3\.png is 8 x 8 pixels.*p_003\.png is 16 x 16")


def test_missing_mask_file(tmp_path, content):
    content["frames"][1]["mask_path"] = "masks/m.png"
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, r"frame 1.*m\.png does not exist")


def test_some_photos_without_a_mask(tmp_path, content):
    tiny.save(tmp_path / "c/images/p_005.png", tiny.picture(5, alpha=False))
    refuse(tmp_path, r"1 of 6 photos have neither mask nor alpha \(p_005\.png\)")


@pytest.mark.parametrize("path", ["../outside/a.png", "{}/outside/a.png", "images/link.png"])
@pytest.mark.parametrize("key", ["file_path", "mask_path"])
def test_paths_that_leave_the_folder(tmp_path, content, path, key):
    tiny.save(tmp_path / "outside/a.png", tiny.picture())
    os.symlink(tmp_path / "outside/a.png", tmp_path / "c/images/link.png")
    content["frames"][1][key] = path.format(tmp_path)
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, rf"frame 1, {key} names", FileFormatError)


def test_points_outside_the_folder(tmp_path, content):
    tiny.rewrite(tmp_path / "c", {**content, "ply_file_path": "../a.ply"})
    refuse(tmp_path, "ply_file_path", FileFormatError)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pose_with_nan(tmp_path, content, value):
    content["frames"][3]["transform_matrix"][1][3] = value
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, r"frame 3 \(images/p_003\.png\): the pose holds NaN or infinity")


def test_pose_absurdly_far_away(tmp_path, content):
    content["frames"][3]["transform_matrix"][1][3] = 1e200
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, r"frame 3.*units away")


def test_pose_that_shears(tmp_path, content):
    content["frames"][3]["transform_matrix"][0][0] += 0.01
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, "frame 3.*not orthonormal")


def test_pose_that_mirrors(tmp_path, content):
    matrix = np.array(content["frames"][3]["transform_matrix"])
    matrix[:, 0] *= -1
    content["frames"][3]["transform_matrix"] = matrix.tolist()
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, "frame 3.*mirrors")


@pytest.mark.parametrize(
    "matrix", ["text", [[1, 2], [3, 4]], [[1, 0, 0, 0]] * 3 + [[0, 0, 0, 2]], None, [["a"] * 4] * 4]
)
def test_pose_that_is_no_matrix(tmp_path, content, matrix):
    content["frames"][2]["transform_matrix"] = matrix
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, "frame 2")


def test_missing_pose(tmp_path, content):
    del content["frames"][2]["transform_matrix"]
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, "frame 2: 'transform_matrix' is missing")


def test_all_cameras_in_one_place(tmp_path, content):
    for entry in content["frames"]:
        for row, value in zip(entry["transform_matrix"], (1.0, 2.0, 3.0, 1.0), strict=True):
            row[3] = value
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, "All 6 cameras .* in one place")


@pytest.mark.parametrize("turned", [False, True])
def test_two_cameras_in_one_place(tmp_path, content, turned):
    matrix = np.array(content["frames"][1]["transform_matrix"])
    if turned:
        matrix[:3, :3] = np.array(content["frames"][4]["transform_matrix"])[:3, :3]
    content["frames"][4]["transform_matrix"] = matrix.tolist()
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, r"p_001\.png and p_004\.png are in one place")


def test_fewer_than_three_photos(tmp_path, content):
    tiny.rewrite(tmp_path / "c", {**content, "frames": content["frames"][:2]})
    refuse(tmp_path, "2 training photo")


def test_no_photos_at_all(tmp_path, content):
    tiny.rewrite(tmp_path / "c", {**content, "frames": []})
    refuse(tmp_path, "no photos")


def test_holding_out_too_many(tmp_path, content):
    tiny.rewrite(tmp_path / "c", {**content, "frames": content["frames"][:4]})
    with pytest.raises(CaptureError, match="2 training photo"):
        load(tmp_path / "c", hold_out=2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frames": "text"}, "'frames' is not a list"),
        ({"frames": [1]}, "'frames' is not a list"),
        ({"camera_angle_x": "wide"}, "'camera_angle_x' is 'wide'"),
        ({"camera_angle_x": 4.0}, "camera_angle_x"),
        ({"camera_angle_x": float("nan")}, "camera_angle_x"),
        ({"camera_angle_x": 10**400}, "camera_angle_x"),
        ({"camera_angle_x": None}, "no focal length|camera_angle_x"),
        ({"fl_x": -5}, "fl_x"),
        ({"w": 16.5}, "whole number"),
        ({"w": True}, "'w'"),
        ({"k1": "x"}, "k1"),
        ({"camera_model": "EQUIRECTANGULAR"}, "EQUIRECTANGULAR"),
        ({"train_filenames": [1]}, "train_filenames"),
        ({"ply_file_path": 3}, "ply_file_path"),
        ({"ply_file_path": "p.ply"}, r"p\.ply does not exist"),
        ({"is_fisheye": "yes"}, "is_fisheye"),
        ({"environments": {"day": "day.hdr"}}, r"day\.hdr does not exist"),
        ({"environments": {"day": 3}}, "'day' is '3'"),
        ({"environments": {"../day": "images/p_000.png"}}, "cannot be the name of a file"),
    ],
)
def test_fields_of_the_wrong_kind(tmp_path, content, change, words):
    tiny.rewrite(tmp_path / "c", {**content, **change})
    refuse(tmp_path, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file_path": 7}, "frame 0: 'file_path'"),
        ({"file_path": ""}, "frame 0.*file_path"),
        ({"split": "exam"}, "frame 0.*'exam'"),
        ({"pl_pos": [1, 2]}, "frame 0.*'pl_pos'"),
        ({"pl_pos": [1, 2, "x"]}, "frame 0.*'pl_pos'"),
        ({"pl_pos": [1, 2, 3], "pl_intensity": -1}, "frame 0.*negative"),
        ({"light": 3}, "frame 0.*'light'"),
        ({"light": {"environment": "../../evil"}}, "frame 0.*cannot be the name of a file"),
        ({"light": {"environment": "a" * 101}}, "frame 0.*cannot be the name of a file"),
        ({"light": {"rotation_rad": 1e300}}, "frame 0.*'rotation_rad'"),
        ({"pl_pos": [1e300, 0, 0]}, r"frame 0.*lies at \(1e\+300"),
        ({"pl_pos": [1, 0, 0], "pl_intensity": 1e300}, "frame 0.*intensity"),
        ({"name": "\ud800"}, "frame 0.*no Unicode"),
        ({"truth": {"albedo": "images/gone.png"}}, r"frame 0, truth.*gone\.png does not exist"),
        ({"exposure": 0}, "frame 0.*'exposure'"),
        ({"truth": []}, "frame 0.*'truth'"),
    ],
)
def test_frames_of_the_wrong_kind(tmp_path, content, change, words):
    content["frames"][0] |= change
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, words)


def test_truth_outside_the_folder(tmp_path, content):
    content["frames"][0]["truth"] = {"albedo": "../a.png"}
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, "frame 0, truth", FileFormatError)


def test_truth_of_another_size(tmp_path, content):
    tiny.save(tmp_path / "c/t.png", tiny.picture(0, (8, 8)))
    content["frames"][0]["truth"] = {"albedo": "t.png"}
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, r"t\.png \(albedo\) is 8 x 8 pixels.*p_000\.png is 16 x 16")


def test_a_path_no_file_system_takes(tmp_path, content):
    content["frames"][1]["file_path"] = "x" * 300 + ".png"
    tiny.rewrite(tmp_path / "c", content)
    refuse(tmp_path, "frame 1, file_path.*not a usable path", FileFormatError)


def test_a_damaged_environment_map_is_not_imported(tmp_path, content):
    (tmp_path / "c/day.hdr").write_text("no light")
    tiny.rewrite(tmp_path / "c", {**content, "environments": {"day": "day.hdr"}})
    with pytest.raises(FileFormatError, match=r"day\.hdr is neither"):
        import_capture(tmp_path / "c", tmp_path / "out", say=lambda text: None)
    assert not (tmp_path / "out").exists()


def test_georeferenced_cameras_are_not_in_one_place(tmp_path, content):
    for entry in content["frames"]:
        for row, offset in zip(entry["transform_matrix"], (5e5, 5.4e6, 300.0), strict=False):
            row[3] += offset
    tiny.rewrite(tmp_path / "c", content)
    assert len(load(tmp_path / "c").views) == 6


def test_points_absurdly_far_away(tmp_path, content):
    header = "ply\nformat ascii 1.0\nelement vertex 1\n"
    header += "".join(f"property double {axis}\n" for axis in "xyz")
    (tmp_path / "c/p.ply").write_text(header + "end_header\n1e300 0 0\n")
    tiny.rewrite(tmp_path / "c", {**content, "ply_file_path": "p.ply"})
    refuse(tmp_path, r"p\.ply has NaN, infinite or absurdly far", FileFormatError)


def test_broken_json(tmp_path, content):
    path = tmp_path / "c/transforms.json"
    path.write_text(path.read_text()[:-20])
    refuse(tmp_path, r"transforms\.json is broken at line", FileFormatError)


def test_absurdly_large_json(tmp_path, content):
    with (tmp_path / "c/transforms.json").open("r+b") as file:
        file.truncate(MAX_JSON_BYTES + 1)  # sparse: takes no room on the disk
    refuse(tmp_path, r"transforms\.json has .* bytes", FileFormatError)


def test_damaged_points(tmp_path, content):
    (tmp_path / "c/p.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\n")
    tiny.rewrite(tmp_path / "c", {**content, "ply_file_path": "p.ply"})
    refuse(tmp_path, r"p\.ply is not a \.ply file", FileFormatError)


def test_distorted_photos_must_be_imported(tmp_path, content):
    tiny.rewrite(tmp_path / "c", {**content, "k1": 0.1})
    with pytest.raises(CaptureError, match="relight3d import"):
        load(tmp_path / "c")


def test_tensoir_without_a_pose(tmp_path):
    tiny.tensoir(tmp_path / "c")
    (tmp_path / "c/train_002/metadata.json").write_text('{"cam_angle_x": 0.6}')
    refuse(tmp_path, r"train_002.*cam_transform_mat")


def test_tensoir_without_a_picture(tmp_path):
    tiny.tensoir(tmp_path / "c")
    (tmp_path / "c/train_002/rgba_sunset_000.png").unlink()
    refuse(tmp_path, "train_002 has no picture")


def test_tensoir_picture_of_another_size(tmp_path):
    tiny.tensoir(tmp_path / "c")
    tiny.save(tmp_path / "c/train_002/rgba_sunset_000.png", tiny.picture(2, (8, 8)))
    refuse(tmp_path, r"rgba_sunset_000\.png is 8 x 8")


def test_nothing_recognised(tmp_path):
    (tmp_path / "c").mkdir()
    refuse(tmp_path, "Looked for: transforms.json")


def test_a_missing_folder(tmp_path):
    for call in (load, lambda path: import_capture(path, tmp_path / "out", say=print)):
        with pytest.raises(CaptureError, match="does not exist"):
            call(tmp_path / "nowhere")


def test_photos_without_poses_say_what_to_do(tmp_path):
    for index in range(3):
        tiny.save(tmp_path / f"c/{index}.png", tiny.picture(index))
    with pytest.raises(CaptureError, match=r"3 photos but no camera poses.*relight3d import"):
        load(tmp_path / "c")


@pytest.mark.parametrize(
    "change",
    [
        {"hold_out": 1},
        {"hold_out": -1},
        {"max_size_px": 2},
        {"frames": 1},
        {"seed": -1},
        {"seed": 2**31},
    ],
)
def test_impossible_options(change):
    with pytest.raises(ConfigurationError, match=next(iter(change)).replace("_", "-")):
        ImportOptions(**change)
