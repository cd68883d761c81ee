"""Public benchmarks in their makers' layouts: splits, lights, truth, and where points fall."""

import math
from pathlib import Path

import numpy as np
import pytest
import tiny_benchmarks as bench
import tiny_captures as tiny
import torch

from relight3d.capture import import_capture, load, load_photo
from relight3d.core.views import Capture, ColorSpace, View
from relight3d.evaluation.compared import in_space
from relight3d.evaluation.truth import coverage_of, true_map
from relight3d.files.environment import read_environment
from relight3d.files.images import read_image, read_mask
from relight3d.shading.latlong import lookup, reoriented

WIDTH, HEIGHT = bench.SIZE
FOCAL = 0.5 * WIDTH / math.tan(0.5 * bench.ANGLE_X)


def falls(view: View, point: list[float]) -> np.ndarray:
    x = view.intrinsics @ (view.world_to_camera[:3, :3] @ point + view.world_to_camera[:3, 3])
    return x[:2] / x[2]


def check_ring_camera(view: View, focal: float = FOCAL) -> None:
    """The first camera of `tiny.ring_pose`: at (4, 0, 1.5), +y to its right, +z up."""
    size = view.width_px / 2, view.height_px / 2
    np.testing.assert_allclose(falls(view, [0, 0, 0]), size, atol=1e-9)
    distance = math.hypot(4, 1.5)
    expected = size[0] + focal * 0.5 / distance, size[1]
    np.testing.assert_allclose(falls(view, [0, 0.5, 0]), expected, atol=1e-9)
    assert falls(view, [0, 0, 0.5])[1] < size[1]


def seen(capture: Capture, light: str, direction: list[float]) -> np.ndarray:
    """What the light shows in a direction of the capture's frame."""
    radiance = read_environment(capture.environments[light]).radiance_linear
    if light in capture.environment_turns:
        radiance = reoriented(radiance, torch.from_numpy(capture.environment_turns[light]))
    return lookup(radiance, torch.tensor([direction]))[0].numpy() - 1


def imported(source: Path, tmp_path: Path) -> Capture:
    return import_capture(source, tmp_path / "imported", say=lambda text: None)


def same_cameras(one: Capture, other: Capture) -> None:
    for before, after in zip(one.views, other.views, strict=True):
        np.testing.assert_allclose(after.world_to_camera, before.world_to_camera, atol=1e-9)
        np.testing.assert_allclose(after.intrinsics, before.intrinsics)
        assert after.split == before.split and after.light == before.light
        assert set(after.truth) == set(before.truth)


def test_synthetic4relight(tmp_path):
    root = bench.synthetic4relight(tmp_path / "data")
    capture = load(root)
    train, test = capture.split("train"), capture.split("test")
    assert [v.name for v in train[:2]] == ["train_000", "train_001"] and len(train) == 4
    check_ring_camera(train[0])
    assert train[0].color_space == "linear" and test[0].color_space == "srgb"
    assert {v.light.environment for v in capture.views} == {"envmap3"}
    assert set(test[1].truth) == {"albedo", "roughness", "relit/envmap6", "relit/envmap12"}
    assert test[1].truth["relit/envmap12"].name == "envmap12_001.png"
    assert test[0].albedo_space == "srgb" and capture.kind == "object"
    photo = load_photo(train[0])
    assert photo.alpha() is not None and float(photo.pixels.max()) <= 1
    same_cameras(capture, imported(root, tmp_path))


def test_synthetic4relights_lights_stand_where_they_stood(tmp_path):
    root = bench.synthetic4relight(tmp_path / "data")
    for capture in (load(root), imported(root, tmp_path)):
        assert set(capture.environments) == {"envmap3", "envmap6", "envmap12"}
        for direction in ([0.8, 0.6, 0], [0.6, -0.64, 0.48]):
            np.testing.assert_allclose(seen(capture, "envmap6", direction), direction, atol=0.05)


def test_synthetic4relight_without_its_lights(tmp_path):
    root = bench.synthetic4relight(tmp_path / "data")
    for path in (tmp_path / "data").glob("*.exr"):
        path.unlink()
    assert load(root).environments == {}


@pytest.mark.parametrize(("kind", "suffix"), [("LDR", ".png"), ("HDR", ".exr")])
def test_stanford_orb(tmp_path, kind, suffix):
    root = bench.stanford_orb(tmp_path / "data", kind)
    capture = load(root)
    train, test = capture.split("train"), capture.split("test")
    check_ring_camera(train[0])
    assert len(train) == 4 and capture.kind == "object"
    assert [v.name for v in test] == [
        "test_0004", "test_0005", "novel_teapot_scene006_0004", "novel_teapot_scene006_0005",
    ]  # fmt: skip
    assert {v.image_path.suffix for v in capture.views} == {suffix}
    own, novel = test[0], test[2]
    assert own.light.environment == "environment"
    assert set(own.truth) == {"albedo", "camera_normal", "depth"} and own.albedo_space == "srgb"
    assert novel.light.environment == "teapot_scene006_0004" and not novel.truth
    assert novel.image_path.parts[-3:] == ("teapot_scene006", "test", f"0004{suffix}")
    assert novel.mask_path is not None and novel.mask_path.parent.name == "test_mask"
    assert capture.environments["teapot_scene006_0004"].parts[-3:] == (
        "teapot_scene006", "env_map", "0004.exr",
    )  # fmt: skip
    np.testing.assert_allclose(novel.intrinsics[0, 0], 0.5 * WIDTH / math.tan(0.25))
    same_cameras(capture, imported(root, tmp_path))


def test_stanford_orbs_lights_are_seen_from_their_cameras(tmp_path):
    root = bench.stanford_orb(tmp_path / "data")
    for capture in (load(root), imported(root, tmp_path)):
        for view in capture.split("test")[2:]:
            right, down, forward = view.world_to_camera[:3, :3]
            light = view.light.environment or ""
            for world, camera in (
                (0.8 * right + 0.6 * forward, [0.8, 0, -0.6]),
                (0.6 * right - 0.8 * forward, [0.6, 0, 0.8]),
                (-0.6 * down + 0.8 * forward, [0, 0.6, -0.8]),
            ):
                found = seen(capture, light, world.astype(np.float32).tolist())
                np.testing.assert_allclose(found, camera, atol=0.06)


def test_the_colmap_folders_of_stanford_orb(tmp_path):
    root = mip_nerf_360(tmp_path, ending=".png")
    (root / "poses_bounds.npy").touch()
    (root / "test_id.txt").write_text("p1.png\np4.png\n")
    assert [v.name for v in load(root).split("test")] == ["p1", "p4"]


def test_openillumination(tmp_path):
    root = bench.openillumination(tmp_path / "data")
    capture = load(root)
    train, test = capture.split("train"), capture.split("test")
    check_ring_camera(train[0])
    assert [v.name for v in train] == ["CA1", "CA2", "CA3", "CA4"]
    assert train[0].image_path.parts[-3:] == ("013", "raw_undistorted", "CA1.JPG")
    assert train[0].mask_path is not None and train[0].mask_path.parent.name == "com_masks"
    assert train[0].truth == {} and set(test[0].truth) == {"relit/001"}
    assert {v.light.environment for v in capture.views} == {"013"}
    same_cameras(capture, imported(root, tmp_path))


def test_one_light_of_openillumination(tmp_path):
    root = bench.openillumination(tmp_path / "data")
    capture = load(root / "Lights/001")
    assert capture.views[0].image_path.parts[-3:] == ("001", "raw_undistorted", "CA1.JPG")
    assert set(capture.split("test")[0].truth) == {"relit/013"}


def test_openillumination_with_its_older_poses(tmp_path):
    root = bench.openillumination(tmp_path / "data")
    for path in (tmp_path / "data/others").iterdir():
        path.unlink()
    check_ring_camera(load(root).views[0])


def test_glossy_synthetic(tmp_path):
    root = bench.nero(tmp_path / "bell")
    capture = load(root)
    view = capture.views[1]
    assert [v.name for v in capture.split("test")] == ["0", "8"] and view.name == "1"
    assert capture.kind == "object"
    # The camera at (3 cos, 3 sin, 1), told without this project's poses.
    turn = 2 * math.pi / 16
    center = np.array([3 * math.cos(turn), 3 * math.sin(turn), 1])
    np.testing.assert_allclose(falls(view, [0, 0, 0]), [12, 8], atol=1e-5)
    right = np.array([-math.sin(turn), math.cos(turn), 0])
    expected = 12 + 30 * 0.4 / np.linalg.norm(center)
    np.testing.assert_allclose(falls(view, (0.4 * right).tolist()), [expected, 8], atol=1e-5)
    coverage = coverage_of(view, read_image(view.image_path))
    inside = tiny.picture(1, bench.SIZE)[..., 3:] > 0
    np.testing.assert_array_equal(coverage, inside)
    np.testing.assert_array_equal(load_photo(view).alpha(), inside)


def test_masks_of_glossy_synthetic_are_written_as_masks(tmp_path):
    capture = imported(bench.nero(tmp_path / "bell"), tmp_path)
    view = capture.views[3]
    assert view.mask_path is not None and view.mask_below is None
    np.testing.assert_array_equal(
        read_mask(view.mask_path), tiny.picture(3, bench.SIZE)[..., 3:] > 0
    )


def test_glossy_synthetic_with_its_split_file(tmp_path):
    import pickle

    root = bench.nero(tmp_path / "bell")
    split = [np.array(["3", "1"]), np.array(["0", "2", "4", "5"])]
    (tmp_path / "synthetic_split_128.pkl").write_bytes(pickle.dumps(split))
    assert [v.name for v in load(root).split("test")] == ["1", "3"]


def test_glossy_synthetic_without_depth_is_a_scene(tmp_path):
    assert load(bench.nero(tmp_path / "bell", depth=False)).kind == "scene"


def test_glossy_synthetic_as_gaussian_methods_convert_it(tmp_path):
    capture = load(bench.converted_nero(tmp_path / "bell_blender"))
    assert [v.name for v in capture.split("test")] == ["rgb_0", "rgb_8"]
    check_ring_camera(capture.split("test")[0], focal=30.0)


@pytest.mark.parametrize("alpha", [True, False])
def test_shiny_blender(tmp_path, alpha):
    capture = load(bench.shiny_blender(tmp_path / "car", alpha=alpha))
    check_ring_camera(capture.views[0])
    assert capture.kind == "object" and len(capture.split("test")) == 2
    assert {name for v in capture.split("test") for name in v.truth} == {"normal"}
    assert (capture.views[0].mask_path is None) == alpha


def test_nerf_synthetic(tmp_path):
    capture = load(bench.nerf_synthetic(tmp_path / "lego"))
    check_ring_camera(capture.views[0])
    test = capture.split("test")
    assert [v.name for v in test] == ["test_r_0", "test_r_1"]
    assert test[0].truth == {}  # clipped normals and depth for the eye are no truth


def test_nrhints_as_it_was_photographed(tmp_path):
    tiny.nrhints(tmp_path)
    for split in ("train", "test"):
        content = {"camera_near": 1.0, "camera_intrinsics": [7.0, 9.0, 30.0, 31.0], "frames": []}
        for index in range(5 if split == "train" else 2):
            bench.linear(tmp_path / f"{split}/r_{index:03d}.exr", index, (16, 16))
            content["frames"].append({
                "file_path": f"./{split}/r_{index:03d}", "file_ext": ".exr",
                "transform_matrix": bench.pose(index + 0.5 * (split == "test"), 5),
                "pl_pos": [1.0, 2.0, 3.0 + index],
            })  # fmt: skip
        tiny.rewrite(tmp_path, content, f"transforms_{split}.json")
    capture = load(tmp_path)
    view = capture.split("test")[1]
    np.testing.assert_allclose(view.intrinsics, [[30, 0, 7], [0, 31, 9], [0, 0, 1]])
    assert view.image_path.suffix == ".exr" and view.color_space == "linear"
    assert view.light.environment is None
    assert view.light.points[0].position == (1, 2, 4)
    assert view.light.points[0].intensity_linear == (1, 1, 1)


def official_tensoir(tmp_path: Path) -> Path:
    """Every training folder holds the lights of the test too; the maps lie beside the scenes."""
    root = tmp_path / "data/TensoIR_Synthetic/lego"
    tiny.tensoir(root)
    for index in range(5):
        for light in ("sunset_120", "sunset_240", "city", "bridge"):
            tiny.save(root / f"train_{index:03d}/rgba_{light}.png", tiny.picture(index))
    maps = tmp_path / "data/Environment_Maps/high_res_envmaps_2k"
    maps.mkdir(parents=True)
    from relight3d.files.radiance import encode

    (maps / "city.hdr").write_bytes(encode(bench.x_in_the_middle()))
    return root


def test_tensoir_as_its_authors_give_it(tmp_path):
    capture = load(official_tensoir(tmp_path))
    train, test = capture.split("train"), capture.split("test")
    assert [v.image_path.name for v in train] == ["rgba_sunset_000.png"] * 5
    assert test[0].image_path.name == "rgba_sunset_000.png"
    assert test[0].albedo_space == "linear" and "relit/city" in test[0].truth
    check_ring_camera(train[0], 0.5 * tiny.SIZE / math.tan(0.5 * tiny.ANGLE_X))
    for direction in ([0.8, 0.6, 0], [0.6, -0.64, 0.48]):
        np.testing.assert_allclose(seen(capture, "city", direction), direction, atol=0.05)


def test_maps_in_a_tensoir_folder_are_read_as_before(tmp_path):
    from relight3d.files.radiance import encode

    root = official_tensoir(tmp_path)
    (root / "envmaps").mkdir()
    (root / "envmaps/city.hdr").write_bytes(encode(bench.x_in_the_middle()))
    capture = load(root)
    assert capture.environments["city"].parent.name == "envmaps"
    assert capture.environment_turns == {}


def mip_nerf_360(tmp_path: Path, ending: str = ".JPG", size: tuple[int, int] = (96, 64)) -> Path:
    """Ten photos in full size and a quarter of it."""
    root = tmp_path / "garden"
    folder = root / "sparse/0"
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text(f"1 PINHOLE {size[0]} {size[1]} 100 102 49 31\n")
    lines = []
    for index in range(10):
        pose = bench.looking_at_the_origin(np.array([4 - index, index - 5.5, 1.5]))
        words = [index + 1, *_quaternion(pose[:, :3]), *pose[:, 3].tolist(), 1, f"p{index}{ending}"]
        lines += [" ".join(map(str, words)), ""]
        bench.photo(root / f"images/p{index}{ending}", index, False, size)
        bench.photo(root / f"images_4/p{index}{ending}", index, False, (size[0] // 4, size[1] // 4))
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "points3D.txt").write_text("")
    return root


def _quaternion(rotation: np.ndarray) -> list[float]:
    from relight3d.core.rotation import quaternion_from_matrix

    return quaternion_from_matrix(torch.from_numpy(rotation)).tolist()


def test_mip_nerf_360_in_a_quarter_of_its_size(tmp_path):
    root = mip_nerf_360(tmp_path)
    (root / "poses_bounds.npy").touch()
    whole, quarter = load(root), load(root / "images_4")
    assert [v.name for v in quarter.split("test")] == ["p0", "p8"]
    assert [v.split for v in whole.views] == [v.split for v in quarter.views]
    view = quarter.views[3]
    assert view.image_path.parent.name == "images_4" and (view.width_px, view.height_px) == (24, 16)
    np.testing.assert_allclose(view.intrinsics, [[25, 0, 12.25], [0, 25.5, 7.75], [0, 0, 1]])
    np.testing.assert_allclose(falls(view, [0, 0, 0]), [12.25, 7.75], atol=1e-6)
    point = [0.3, -0.2, 0.1]
    np.testing.assert_allclose(falls(view, point), falls(whole.views[3], point) / 4, atol=1e-9)
    assert len(imported(root / "images_4", tmp_path).split("test")) == 2


def test_reduced_photos_may_have_another_ending_and_rounded_sizes(tmp_path):
    root = mip_nerf_360(tmp_path, size=(98, 66))
    for path in list((root / "images_4").iterdir()):
        path.unlink()
        bench.photo(path.with_suffix(".png"), 1, False, (24, 16))
    view = load(root / "images_4").views[0]
    np.testing.assert_allclose(view.intrinsics[0, 0], 100 * 24 / 98)
    np.testing.assert_allclose(view.intrinsics[1, 2], 31 * 16 / 66)


def test_srgb_albedo_is_scored_linear(tmp_path):
    path = tiny.save(tmp_path / "a.png", np.full((4, 4, 3), 188, np.uint8))
    spaces: list[tuple[ColorSpace, float]] = [("linear", 188 / 255), ("srgb", 0.5029)]
    for space, expected in spaces:
        view = View("a", path, 4, 4, np.eye(3), np.eye(4), truth={"albedo": path},
                    albedo_space=space)  # fmt: skip
        image, _ = true_map(view, "albedo")
        assert in_space(image, "linear").max() == pytest.approx(expected, abs=1e-3)
