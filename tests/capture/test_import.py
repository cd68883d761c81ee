import json
import os

import cv2
import numpy as np
import pytest
import tiny_captures as tiny

from relight3d.capture import ImportOptions, import_capture, load, load_photo
from relight3d.capture.normalize import compose, transformed, turn_between, upright_rotation
from relight3d.capture.points_ply import read_points, write_points
from relight3d.capture.posing import find_masks
from relight3d.capture.source import Lens, pinhole
from relight3d.capture.undistort import Undistorter, reduced_size
from relight3d.core.errors import CaptureError, FileFormatError, OutputError
from relight3d.core.views import Capture
from relight3d.files.images import read_image


def imported(source, out, **options) -> Capture:
    return import_capture(source, out, ImportOptions(**options), say=lambda text: None)


def assert_same(before: Capture, after: Capture) -> None:
    """Equal but for the similarity between their frames and where the files lie."""
    move = compose(after.capture_from_source, before.capture_from_source.inverse())
    before = transformed(before, move)
    assert (after.kind, len(after.views)) == (before.kind, len(before.views))
    for one, two in zip(before.views, after.views, strict=True):
        np.testing.assert_allclose(two.world_to_camera, one.world_to_camera, atol=1e-9)
        np.testing.assert_allclose(two.intrinsics, one.intrinsics, atol=1e-9)
        assert (two.name, two.split, two.color_space) == (one.name, one.split, one.color_space)
        assert set(two.truth) == set(one.truth)
        assert two.light.environment == one.light.environment
        assert two.light.rotation_rad == one.light.rotation_rad
        for left, right in zip(two.light.points, one.light.points, strict=True):
            np.testing.assert_allclose(left.position, right.position, atol=1e-9)
            np.testing.assert_allclose(left.intensity_linear, right.intensity_linear)
        np.testing.assert_array_equal(load_photo(two).pixels, load_photo(one).pixels)
        covered, wanted = load_photo(two).coverage, load_photo(one).coverage
        assert covered is not None and wanted is not None
        np.testing.assert_array_equal(covered, wanted)


@pytest.mark.parametrize("layout", ["tensoir", "nrhints", "nerfstudio"])
def test_import_then_load_is_load(tmp_path, layout):
    getattr(tiny, layout)(tmp_path / "c")
    after = imported(tmp_path / "c", tmp_path / "out")
    assert_same(load(tmp_path / "c"), after)
    assert after.root == tmp_path / "out"
    assert_same(after, imported(tmp_path / "out", tmp_path / "again"))


def test_known_lights_keep_their_frame(tmp_path):
    tiny.tensoir(tmp_path / "c", lights=("sunset_000", "sunset_120"))
    after = imported(tmp_path / "c", tmp_path / "out")
    np.testing.assert_array_equal(after.capture_from_source.rotation, np.eye(3))
    with pytest.raises(CaptureError, match="not turned"):
        imported(tmp_path / "c", tmp_path / "out2", up="cameras")


def test_a_lying_world_is_set_upright_and_its_size_made_tame(tmp_path):
    content = tiny.nerfstudio(tmp_path / "c")
    lay = np.eye(4)
    lay[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    for entry in content["frames"]:
        matrix = lay @ np.array(entry["transform_matrix"])
        matrix[:3, 3] = 100 * matrix[:3, 3]
        entry["transform_matrix"] = matrix.tolist()
    write_points(tmp_path / "c/p.ply", np.array([[0.0, 100.0, 0.0]]), np.zeros((1, 3)))
    tiny.rewrite(tmp_path / "c", {**content, "ply_file_path": "p.ply"})
    after = imported(tmp_path / "c", tmp_path / "out")
    assert_same(load(tmp_path / "c"), after)
    similarity = after.capture_from_source
    np.testing.assert_allclose(similarity.rotation, lay[:3, :3].T, atol=1e-6)
    assert after.points is not None
    wanted = similarity.apply(np.array([[0.0, 100.0, 0.0]]))
    np.testing.assert_allclose(after.points, wanted, atol=1e-5)
    kept = imported(tmp_path / "c", tmp_path / "kept", up="keep")
    np.testing.assert_array_equal(kept.capture_from_source.rotation, np.eye(3))


def test_nerfstudio_finds_its_keys(tmp_path):
    tiny.tensoir(tmp_path / "c")
    imported(tmp_path / "c", tmp_path / "out")
    content = json.loads((tmp_path / "out/transforms.json").read_text())
    entry = content["frames"][0]
    assert {"w", "h", "fl_x", "fl_y", "cx", "cy", "file_path", "transform_matrix"} <= set(entry)
    assert np.array(content["applied_transform"]).shape == (3, 4)
    assert len(content["train_filenames"]) == 5 and len(content["test_filenames"]) == 2
    assert content["val_filenames"] == content["test_filenames"]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_masks_are_written_as_grey(tmp_path):
    content = tiny.nerfstudio(tmp_path / "c", alpha=False)
    for index, entry in enumerate(content["frames"]):
        mask = tiny.picture(index)[..., 3]
        tiny.save(tmp_path / f"c/masks/{index}.png", np.repeat(mask[..., None], 3, -1))
        entry["mask_path"] = f"masks/{index}.png"
    tiny.rewrite(tmp_path / "c", content)
    after = imported(tmp_path / "c", tmp_path / "out")
    assert after.kind == "object"
    coverage = load_photo(after.views[2]).coverage
    assert coverage is not None
    np.testing.assert_array_equal(coverage, tiny.picture(2)[..., 3:])
    assert imported(tmp_path / "c", tmp_path / "s", kind="scene").kind == "scene"


def test_an_object_without_masks_is_refused(tmp_path):
    tiny.nerfstudio(tmp_path / "c", alpha=False)
    with pytest.raises(CaptureError, match="--kind object needs a mask"):
        imported(tmp_path / "c", tmp_path / "out", kind="object")
    assert not (tmp_path / "out").exists()


def test_large_photos_are_reduced_with_their_masks_and_truth(tmp_path):
    tiny.tensoir(tmp_path / "c")
    for index in range(5):
        folder = tmp_path / f"c/train_{index:03d}"
        tiny.save(folder / "rgba_sunset_000.png", tiny.picture(index, (64, 64)))
        metadata = json.loads((folder / "metadata.json").read_text())
        (folder / "metadata.json").write_text(json.dumps({**metadata, "imw": 64, "imh": 64}))
        tiny.save(folder / "albedo.png", tiny.picture(index, (64, 64)))
    before = load(tmp_path / "c").views[0]
    after = imported(tmp_path / "c", tmp_path / "out", max_size_px=32).views[0]
    assert (after.width_px, after.height_px) == (32, 32)
    np.testing.assert_allclose(after.intrinsics[:2], before.intrinsics[:2] / 2)
    assert read_image(after.truth["albedo"]).pixels.shape == (32, 32, 3)
    photo = load_photo(after)
    assert photo.coverage is not None and photo.coverage[16, 16] == 255
    assert photo.coverage[0, 0] == 0


def test_rotated_photos_are_stored_upright(tmp_path):
    content = tiny.nerfstudio(tmp_path / "c", alpha=False)
    import PIL.Image

    for index in range(6):
        picture = PIL.Image.fromarray(tiny.picture(index, (24, 16), alpha=False))
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.save(tmp_path / f"c/images/p_{index:03d}.png", exif=exif)
    tiny.rewrite(tmp_path / "c", content)
    view = imported(tmp_path / "c", tmp_path / "out").views[0]
    assert (view.width_px, view.height_px) == (16, 24)
    stored = cv2.imread(str(view.image_path), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    assert stored is not None and stored.shape == (24, 16, 3)


def test_a_folder_that_has_something_in_it_is_left_alone(tmp_path):
    tiny.nerfstudio(tmp_path / "c")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious.txt").write_text("x")
    with pytest.raises(OutputError, match="not empty"):
        imported(tmp_path / "c", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious.txt"]


@pytest.mark.parametrize(
    ("lens", "projects"),
    [
        (Lens("polynomial", (-0.2, 0.05, 0.001, -0.002)), cv2.projectPoints),
        (Lens("fisheye", (-0.05, 0.01, 0.0, 0.0)), cv2.fisheye.projectPoints),
    ],
)
def test_a_straightened_photo_shows_points_where_a_pinhole_does(lens, projects):
    """Bright spots drawn where the lens puts them must come out where the pinhole puts them."""
    intrinsics, size = pinhole(120.0, 118.0, 81.0, 58.0), (160, 120)
    undistort = Undistorter(lens, intrinsics, size, "x")
    points = np.array([[[0.0, 0.0, 2.0], [0.4, 0.2, 2.0], [-0.5, 0.3, 2.0], [0.3, -0.4, 2.0]]])
    kernel = intrinsics.copy()
    kernel[:2, 2] -= 0.5
    seen = projects(points, np.zeros(3), np.zeros(3), kernel, np.array(lens.coefficients))[0]
    picture = np.zeros((120, 160, 1), np.float32)
    rows, columns = np.mgrid[:120, :160]
    for column, row in seen.reshape(-1, 2):
        spot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 4)
        picture[..., 0] = np.maximum(picture[..., 0], spot)
    straight = undistort(picture)[..., 0]
    for point in points[0]:
        x, y = (undistort.intrinsics @ point)[:2] / point[2]
        near = np.exp(-((rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2) / 20) * straight
        found = [(near * axis).sum() / near.sum() + 0.5 for axis in (columns, rows)]
        np.testing.assert_allclose(found, [x, y], atol=0.15)


@pytest.mark.parametrize(
    "lens",
    [
        Lens("polynomial", (-900.0, 4e3, 0.0, 0.0)),
        Lens("polynomial", (1e4, 0.0, 0.0, 0.0)),
        Lens("fisheye", (-50.0, 0.0, 0.0, 0.0)),
    ],
)
def test_a_lens_that_cannot_be_straightened_is_refused(lens):
    with pytest.raises(CaptureError, match=r"p\.png: the lens"):
        Undistorter(lens, pinhole(50.0, 50.0, 8.0, 8.0), (16, 16), "p.png")


def test_distorted_photos_are_straightened_by_the_import(tmp_path):
    content = tiny.nerfstudio(tmp_path / "c", alpha=False)
    tiny.rewrite(tmp_path / "c", {**content, "k1": -0.1})
    after = imported(tmp_path / "c", tmp_path / "out")
    assert load(tmp_path / "out").views[0].intrinsics[0, 0] > 0
    assert not np.array_equal(load_photo(after.views[0]).pixels, tiny.picture(0, alpha=False))


def test_sizes_are_reduced_by_the_longer_side():
    assert reduced_size(3000, 2000, 1500) == (1500, 1000)
    assert reduced_size(100, 50, 1500) == (100, 50)
    assert reduced_size(10_000, 2, 100) == (100, 1)


def test_turns_take_one_direction_to_the_other():
    up = np.array([0.0, 0.0, 1.0])
    for direction in np.vstack([np.random.default_rng(0).normal(size=(9, 3)), -up, up]):
        unit = direction / np.linalg.norm(direction)
        turn = turn_between(unit, up)
        np.testing.assert_allclose(turn @ unit, up, atol=1e-9)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(turn) > 0


@pytest.mark.parametrize("rolled", [False, True])
def test_up_is_found_also_when_photos_are_rolled(tmp_path, rolled):
    content = tiny.nerfstudio(tmp_path, count=12)
    for index, entry in enumerate(content["frames"]):
        pose = np.array(entry["transform_matrix"])
        quarter = np.eye(4)
        if rolled and index % 3 == 0:
            quarter[:2, :2] = [[0, -1], [1, 0]]
        entry["transform_matrix"] = (pose @ quarter).tolist()
    tiny.rewrite(tmp_path, content)
    np.testing.assert_allclose(upright_rotation(load(tmp_path).views)[2], [0, 0, 1], atol=1e-6)


def test_point_files_of_others_are_read(tmp_path):
    header = "ply\nformat ascii 1.0\nelement vertex 2\nproperty double x\nproperty double y\n"
    header += "property double z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
    (tmp_path / "a.ply").write_text(header + "end_header\n1 2 3 255 0 51\n4 5 6 0 0 0\n")
    xyz, rgb = read_points(tmp_path / "a.ply")
    np.testing.assert_array_equal(xyz, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(rgb[0], [1, 0, 0.2])


@pytest.mark.parametrize(
    "change",
    [("vertex 2", "vertex 3"), ("vertex 2", "vertex 99999999999"), ("double z", "double w"),
     ("double x", "list uchar int x"), ("1 2 3", "1 2 nan"), ("element vertex 2\n", "")],
)  # fmt: skip
def test_damaged_point_files_are_refused(tmp_path, change):
    text = "ply\nformat ascii 1.0\nelement vertex 2\nproperty double x\nproperty double y\n"
    text += "property double z\nend_header\n1 2 3\n4 5 6\n"
    (tmp_path / "a.ply").write_text(text.replace(*change))
    with pytest.raises(FileFormatError, match=r"a\.ply"):
        read_points(tmp_path / "a.ply")


def test_masks_are_found_beside_the_photos(tmp_path):
    photos = [tiny.save(tmp_path / f"images/{n}.jpg", tiny.picture(alpha=False)) for n in "ab"]
    assert find_masks(tmp_path / "images", photos, None) == {}
    for name in ("a.jpg.png", "b.png"):
        tiny.save(tmp_path / "masks" / name, tiny.picture()[..., 3])
    found = find_masks(tmp_path / "images", photos, None)
    assert [found[photo].name for photo in photos] == ["a.jpg.png", "b.png"]
    os.remove(tmp_path / "masks/b.png")
    with pytest.raises(CaptureError, match=r"1 of 2 photos have no mask .*b\.jpg"):
        find_masks(tmp_path / "images", photos, None)
    with pytest.raises(CaptureError, match="does not exist"):
        find_masks(tmp_path / "images", photos, tmp_path / "nowhere")


def test_too_few_or_damaged_photos_are_refused_before_posing(tmp_path):
    for index in range(2):
        tiny.save(tmp_path / f"c/{index}.png", tiny.picture(index, (32, 32), alpha=False))
    with pytest.raises(CaptureError, match=r"2 photo\(s\), at least 3"):
        imported(tmp_path / "c", tmp_path / "out")
    (tmp_path / "c/2.png").write_text("no picture")
    with pytest.raises(FileFormatError, match=r"2\.png"):
        imported(tmp_path / "c", tmp_path / "out")
    tiny.save(tmp_path / "c/2.png", tiny.picture(2, (32, 1), alpha=False))
    with pytest.raises(CaptureError, match=r"2\.png is 32 x 1 pixels, too small"):
        imported(tmp_path / "c", tmp_path / "out")
    assert not (tmp_path / "out").exists()
