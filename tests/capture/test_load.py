import math

import numpy as np
import pytest
import tiny_captures as tiny
import torch

from relight3d.capture import load, load_photo, load_photos
from relight3d.capture.normalize import camera_radius, focus_point, transformed
from relight3d.capture.points_ply import write_points
from relight3d.capture.poses import centers_of
from relight3d.core.errors import CaptureError
from relight3d.core.views import Similarity
from relight3d.files.exr import write_exr


def test_a_camera_looks_at_what_it_should(tmp_path):
    tiny.nerfstudio(tmp_path)
    capture = load(tmp_path)
    view = capture.views[0]
    origin = view.world_to_camera @ [0, 0, 0, 1]
    np.testing.assert_allclose(origin[:3], [0, 0, math.hypot(4, 1.5)], atol=1e-12)
    above = view.world_to_camera @ [0, 0, 0.1, 1]
    assert above[1] < 0  # OpenCV: y points down
    focal = 0.5 * tiny.SIZE / math.tan(0.5 * tiny.ANGLE_X)
    np.testing.assert_allclose(view.intrinsics, [[focal, 0, 8], [0, focal, 8], [0, 0, 1]])


def test_nerfstudio_capture_is_read_in_order(tmp_path):
    tiny.nerfstudio(tmp_path)
    capture = load(tmp_path)
    assert [view.name for view in capture.views] == [f"p_{i:03d}" for i in range(6)]
    assert capture.kind == "object" and capture.capture_from_source.scale == 1.0
    assert load(tmp_path / "transforms.json").views[3].name == "p_003"


def test_opaque_pictures_make_a_scene(tmp_path):
    tiny.nerfstudio(tmp_path, alpha=False)
    assert load(tmp_path).kind == "scene"


def test_unused_alpha_makes_a_scene(tmp_path):
    tiny.nerfstudio(tmp_path)
    for index in range(6):
        pixels = tiny.picture(index)
        pixels[..., 3] = 255
        tiny.save(tmp_path / f"images/p_{index:03d}.png", pixels)
    assert load(tmp_path).kind == "scene"


def test_filename_lists_give_the_split_and_validation_is_left_out(tmp_path):
    content = tiny.nerfstudio(tmp_path)
    content["train_filenames"] = [f"images/p_{i:03d}.png" for i in (0, 1, 2)]
    content["val_filenames"] = ["images/p_003.png"]
    content["test_filenames"] = ["./images/p_004.png", "images/p_005.png"]
    tiny.rewrite(tmp_path, content)
    capture = load(tmp_path, hold_out=2)
    assert [v.name for v in capture.split("test")] == ["p_004", "p_005"]
    assert [v.name for v in capture.split("train")] == ["p_000", "p_001", "p_002"]


def test_hold_out_takes_every_nth(tmp_path):
    tiny.nerfstudio(tmp_path)
    assert [v.name for v in load(tmp_path, hold_out=3).split("test")] == ["p_000", "p_003"]


def test_intrinsics_of_a_frame_win(tmp_path):
    content = tiny.nerfstudio(tmp_path)
    content["frames"][1] |= {"fl_x": 30.0, "fl_y": 31.0, "cx": 7.0, "cy": 9.0, "w": 24, "h": 20}
    tiny.save(tmp_path / "images/p_001.png", tiny.picture(1, (24, 20)))
    tiny.rewrite(tmp_path, content)
    view = load(tmp_path).views[1]
    assert (view.width_px, view.height_px) == (24, 20)
    np.testing.assert_allclose(view.intrinsics, [[30, 0, 7], [0, 31, 9], [0, 0, 1]])


def test_tensoir_lights_splits_and_truth(tmp_path):
    tiny.tensoir(tmp_path, lights=("sunset_000", "sunset_120"))
    capture = load(tmp_path, hold_out=2)
    train, test = capture.split("train"), capture.split("test")
    assert [v.light.environment for v in train] == ["sunset"] * 5
    assert [round(math.degrees(v.light.rotation_rad)) for v in train] == [0, 120, 0, 120, 0]
    assert [v.name for v in test] == ["test_000", "test_001"]
    assert set(test[0].truth) == {"albedo", "normal", "depth", "relit/city"}
    assert test[0].image_path.name == "rgba_sunset_000.png"


def test_a_two_digit_ending_belongs_to_the_lights_name(tmp_path):
    tiny.tensoir(tmp_path, lights=("studio_05",))
    light = load(tmp_path).views[0].light
    assert light.environment == "studio_05" and light.rotation_rad == 0


def test_nrhints_point_lights_and_truth(tmp_path):
    tiny.nrhints(tmp_path)
    capture = load(tmp_path)
    light = capture.views[1].light
    assert light.environment is None
    assert light.points[0].position == (1.0, 3.0, 3.0)
    assert light.points[0].intensity_linear == (60.0, 60.0, 60.0)
    assert set(capture.split("test")[0].truth) == {"albedo"}


def test_sparse_points_come_along(tmp_path):
    content = tiny.nerfstudio(tmp_path)
    xyz, rgb = np.arange(12.0).reshape(4, 3), np.full((4, 3), 0.2)
    write_points(tmp_path / "p.ply", xyz, rgb)
    tiny.rewrite(tmp_path, {**content, "ply_file_path": "p.ply"})
    capture = load(tmp_path)
    assert capture.points is not None and capture.points_rgb is not None
    np.testing.assert_allclose(capture.points, xyz)
    np.testing.assert_allclose(capture.points_rgb, rgb)


def test_an_untame_size_is_normalised_and_can_be_undone(tmp_path):
    content = tiny.nerfstudio(tmp_path)
    for entry in content["frames"]:
        matrix = np.array(entry["transform_matrix"])
        matrix[:3, 3] = matrix[:3, 3] * 500 + [3000, 0, -2000]
        entry["transform_matrix"] = matrix.tolist()
        entry["pl_pos"] = [3000.0, 500.0, -2000.0]
        entry["pl_intensity"] = 500.0**2
    tiny.rewrite(tmp_path, content)
    capture = load(tmp_path)
    assert 0.5 < camera_radius(capture.views) < 20
    focus = focus_point(capture.views)
    assert focus is not None
    np.testing.assert_allclose(focus, 0, atol=1e-6)
    similarity = capture.capture_from_source
    np.testing.assert_array_equal(similarity.rotation, np.eye(3))
    source = similarity.inverse().apply(centers_of(capture.views))
    wanted = [np.array(e["transform_matrix"])[:3, 3] for e in content["frames"]]
    np.testing.assert_allclose(source, wanted, atol=1e-6)
    light = capture.views[0].light.points[0]
    np.testing.assert_allclose(light.position, [0, 500 * similarity.scale, 0], atol=1e-6)
    # Irradiance at the origin, one light distance away, has not changed.
    distance = np.linalg.norm(light.position)
    np.testing.assert_allclose(light.intensity_linear[0] / distance**2, 1.0)


def test_transformed_cameras_see_transformed_points(tmp_path):
    tiny.nerfstudio(tmp_path)
    capture = load(tmp_path)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    by = Similarity(turn, np.array([1.0, -2.0, 3.0]), 2.5)
    point = np.array([[0.1, 0.2, -0.3]])
    for old, new in zip(capture.views, transformed(capture, by).views, strict=True):
        before = old.world_to_camera[:3, :3] @ point[0] + old.world_to_camera[:3, 3]
        after = new.world_to_camera[:3, :3] @ by.apply(point)[0] + new.world_to_camera[:3, 3]
        np.testing.assert_allclose(after, 2.5 * before)


def test_small_deviations_of_a_rotation_are_mended(tmp_path):
    content = tiny.nerfstudio(tmp_path)
    content["frames"][0]["transform_matrix"][0][0] += 3e-4
    tiny.rewrite(tmp_path, content)
    rotation = load(tmp_path).views[0].world_to_camera[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_photos_keep_their_bytes(tmp_path):
    tiny.nerfstudio(tmp_path)
    photos = load_photos(load(tmp_path).views)
    assert photos[2].pixels.dtype == torch.uint8 and photos[2].coverage is not None
    wanted = torch.from_numpy(tiny.picture(2))
    assert torch.equal(photos[2].pixels, wanted[..., :3])
    assert torch.equal(photos[2].coverage, wanted[..., 3:])


def test_a_mask_wins_over_alpha(tmp_path):
    content = tiny.nerfstudio(tmp_path)
    for index, entry in enumerate(content["frames"]):
        mask = np.full((tiny.SIZE, tiny.SIZE), 255 if index else 51, np.uint8)
        tiny.save(tmp_path / f"masks/{index}.png", mask)
        entry["mask_path"] = f"masks/{index}.png"
    tiny.rewrite(tmp_path, content)
    photo = load_photo(load(tmp_path).views[0])
    assert photo.coverage is not None and (photo.coverage == 51).all()


def test_linear_photos_are_encoded(tmp_path):
    content = tiny.nerfstudio(tmp_path, alpha=False)
    for entry in content["frames"]:
        entry["file_path"] = entry["file_path"].replace(".png", "")
    for index in range(6):
        (tmp_path / f"images/p_{index:03d}.png").unlink()
        pixels = np.full((tiny.SIZE, tiny.SIZE, 3), 0.5, np.float32)
        pixels[0, 0] = 7.0
        write_exr(tmp_path / f"images/p_{index:03d}.exr", pixels)
    tiny.rewrite(tmp_path, content)
    view = load(tmp_path).views[0]
    assert view.color_space == "linear"
    photo = load_photo(view)
    assert photo.pixels[0, 0, 0] == 1.0
    np.testing.assert_allclose(photo.pixels[5, 5], 0.735357, atol=1e-5)


def test_a_photo_that_changed_its_size_since_is_refused(tmp_path):
    tiny.nerfstudio(tmp_path)
    view = load(tmp_path).views[0]
    tiny.save(view.image_path, tiny.picture(0, (20, 16)))
    with pytest.raises(CaptureError, match=r"p_000\.png is 20 x 16"):
        load_photo(view)


def test_crops_of_a_panorama_may_share_their_places(tmp_path):
    content = tiny.nerfstudio(tmp_path, count=8)
    for index, entry in enumerate(content["frames"]):
        pose = tiny.ring_pose(index // 2, 4)
        if index % 2:
            pose[:3, :3] = pose[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
        entry["transform_matrix"] = pose.tolist()
    tiny.rewrite(tmp_path, content)
    assert len(load(tmp_path).views) == 8


def test_one_camera_under_two_lights_is_meant(tmp_path):
    tiny.tensoir(tmp_path)
    for index in range(5):
        tiny.save(tmp_path / f"train_{index:03d}/rgba_sunset_120.png", tiny.picture(index + 9))
    names = [view.name for view in load(tmp_path).split("train")]
    assert names[:2] == ["train_000_sunset_000", "train_000_sunset_120"]
