"""COLMAP models, and poses found from pictures of a textured corner of a room."""

from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
import tiny_captures as tiny
import torch

from relight3d.capture import ImportOptions, import_capture, load
from relight3d.capture.colmap_model import lens_from_colmap
from relight3d.capture.colmap_pose import MIN_POINTS_PER_PHOTO
from relight3d.capture.poses import centers_of, from_opengl
from relight3d.core.errors import CaptureError, FileFormatError
from relight3d.core.rotation import quaternion_from_matrix


def model(root: Path, camera: str = "SIMPLE_PINHOLE 16 16 25 8 8", count: int = 5) -> None:
    """A text model with its photos and a few points."""
    folder = root / "sparse/0"
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text(f"# cameras\n1 {camera}\n")
    lines = []
    for index in range(count):
        pose = from_opengl(tiny.ring_pose(index, count), "x")
        quaternion = quaternion_from_matrix(torch.from_numpy(pose[:3, :3])).tolist()
        words = [index + 1, *quaternion, *pose[:3, 3].tolist(), 1, f"sub/{index}.png"]
        track = " ".join(f"8 8 {point}" for point in range(1, 13))
        lines += [" ".join(map(str, words)), track]
        tiny.save(root / f"images/sub/{index}.png", tiny.picture(index, alpha=False))
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    points = [
        f"{point} {0.1 * point} 0 0 255 0 0 0.5 "
        + " ".join(f"{image + 1} {point - 1}" for image in range(count))
        for point in range(1, 13)
    ]
    (folder / "points3D.txt").write_text("\n".join(points) + "\n")


def as_binary(root: Path) -> Path:
    folder = root / "sparse/0"
    pycolmap.Reconstruction(str(folder)).write_binary(str(folder))
    for path in folder.glob("*.txt"):
        path.unlink()
    return folder


@pytest.mark.parametrize("binary", [False, True])
def test_models_are_read(tmp_path, binary):
    model(tmp_path)
    if binary:
        as_binary(tmp_path)
    capture = load(tmp_path)
    assert [view.name for view in capture.views] == [f"sub_{index}" for index in range(5)]
    wanted = from_opengl(tiny.ring_pose(2, 5), "x")
    np.testing.assert_allclose(capture.views[2].world_to_camera, wanted, atol=1e-6)
    np.testing.assert_allclose(capture.views[0].intrinsics, [[25, 0, 8], [0, 25, 8], [0, 0, 1]])
    assert capture.points is not None and capture.points_rgb is not None
    assert capture.points.shape == (12, 3) and capture.kind == "scene"
    np.testing.assert_array_equal(capture.points_rgb[0], [1, 0, 0])


def test_the_larger_of_several_models_is_taken(tmp_path):
    model(tmp_path, count=4)
    (tmp_path / "sparse/0").rename(tmp_path / "sparse_small")
    model(tmp_path, count=6)
    (tmp_path / "sparse/0").rename(tmp_path / "sparse/1")
    (tmp_path / "sparse_small").rename(tmp_path / "sparse/0")
    assert len(load(tmp_path).views) == 6


def test_a_radial_model_is_straightened_by_the_import(tmp_path):
    model(tmp_path / "c", "SIMPLE_RADIAL 16 16 25 8 8 -0.1")
    with pytest.raises(CaptureError, match="relight3d import"):
        load(tmp_path / "c")
    capture = import_capture(tmp_path / "c", tmp_path / "out", say=lambda text: None)
    assert len(capture.views) == 5 and capture.points is not None
    # The cameras of the ring already look level: nothing but scale and translation is left to do.
    np.testing.assert_allclose(capture.capture_from_source.rotation, np.eye(3), atol=1e-5)


_EIGHT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@pytest.mark.parametrize(
    ("name", "values", "lens"),
    [
        ("PINHOLE", [10, 11, 5, 6], None),
        ("SIMPLE_RADIAL", [10, 5, 6, 0.1], (0.1, 0, 0, 0, 0, 0, 0, 0)),
        ("RADIAL", [10, 5, 6, 0.1, 0.2], (0.1, 0.2, 0, 0, 0, 0, 0, 0)),
        ("OPENCV", [10, 11, 5, 6, 0.1, 0.2, 0.3, 0.4], (0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0)),
        ("FULL_OPENCV", [10, 11, 5, 6, *_EIGHT], _EIGHT),
        ("OPENCV_FISHEYE", [10, 11, 5, 6, *_EIGHT[:4]], _EIGHT[:4]),
        ("SIMPLE_RADIAL_FISHEYE", [10, 5, 6, 0.1], (0.1, 0, 0, 0)),
    ],
)
def test_camera_models_become_lenses_that_opencv_projects_alike(name, values, lens):
    found, intrinsics = lens_from_colmap(name, [float(value) for value in values], "x")
    assert (found and found.coefficients) == lens
    camera = pycolmap.Camera(model=name, width=10, height=12, params=values)
    point = np.array([[0.2, -0.1, 1.0]])
    wanted = camera.img_from_cam(point)
    assert wanted is not None
    if found is None or found.model == "polynomial":
        seen = cv2.projectPoints(point, np.zeros(3), np.zeros(3), intrinsics,
                                 np.array(lens or (0.0,) * 4))[0]  # fmt: skip
    else:
        seen = cv2.fisheye.projectPoints(point[None], np.zeros(3), np.zeros(3), intrinsics,
                                         np.array(lens, float))[0]  # fmt: skip
    np.testing.assert_allclose(seen.ravel(), np.ravel(wanted), atol=1e-6)


def test_unsupported_and_impossible_cameras_are_refused():
    with pytest.raises(CaptureError, match="camera model FOV"):
        lens_from_colmap("FOV", [10.0, 11.0, 5.0, 6.0, 0.1], "x")
    with pytest.raises(CaptureError, match="impossible camera parameters"):
        lens_from_colmap("SIMPLE_PINHOLE", [float("nan"), 5.0, 6.0], "x")


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("keep", [3, 40])
def test_a_cut_off_binary_model_is_refused(tmp_path, name, keep):
    model(tmp_path)
    path = as_binary(tmp_path) / f"{name}.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((FileFormatError, CaptureError), match="COLMAP"):
        load(tmp_path)


def test_a_damaged_text_model_is_refused(tmp_path):
    model(tmp_path)
    (tmp_path / "sparse/0/images.txt").write_text("1 nonsense\n\n")
    with pytest.raises((FileFormatError, CaptureError), match="COLMAP"):
        load(tmp_path)


def test_missing_and_resized_photos_are_named(tmp_path):
    model(tmp_path)
    tiny.save(tmp_path / "images/sub/3.png", tiny.picture(3, (8, 8), alpha=False))
    with pytest.raises(CaptureError, match=r"sub/3\.png is 8 x 8"):
        load(tmp_path)
    (tmp_path / "images/sub/3.png").unlink()
    with pytest.raises(CaptureError, match=r"sub/3\.png does not exist"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "# 3D point list, no point in it\n"])
def test_known_poses_without_points(tmp_path, text):
    model(tmp_path / "c")
    (tmp_path / "c/sparse/0/points3D.txt").write_text(text)
    for capture in (
        load(tmp_path / "c"),
        import_capture(tmp_path / "c", tmp_path / "out", say=lambda text: None),
    ):
        assert len(capture.views) == 5
        assert capture.points is None or capture.points.shape == (0, 3)


def test_points_absurdly_far_away_are_left_out(tmp_path):
    model(tmp_path)
    path = tmp_path / "sparse/0/points3D.txt"
    lines = path.read_text().splitlines()
    for index, place in enumerate(("1e300", "-1e13", "nan", "inf")):
        words = lines[index].split()
        lines[index] = " ".join([*words[:3], place, *words[4:]])
    path.write_text("\n".join(lines))
    points = load(tmp_path).points
    assert points is not None
    np.testing.assert_allclose(points[:, 0], 0.1 * np.arange(5, 13))
    assert np.isfinite(points).all()


def test_a_photo_name_that_leaves_the_folder_is_refused(tmp_path):
    model(tmp_path / "c")
    tiny.save(tmp_path / "3.png", tiny.picture(3, alpha=False))
    path = tmp_path / "c/sparse/0/images.txt"
    path.write_text(path.read_text().replace("sub/3.png", "../../3.png"))
    with pytest.raises(FileFormatError, match="leads out"):
        load(tmp_path / "c")


def corner_photo(texture: np.ndarray, pose: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Three textured unit squares that meet in the origin, seen by a pinhole."""
    world_to_camera = from_opengl(pose, "x")
    shape = texture.shape[:2]
    photo = np.zeros((360, 480, 3), np.uint8)
    for index, (right, up) in enumerate(((0, 1), (1, 2), (2, 0))):
        axes = np.zeros((4, 3))
        axes[right, 0] = axes[up, 1] = 1 / shape[0]
        axes[3, 2] = 1
        homography = kernel @ (world_to_camera @ axes)[:3]
        own = np.roll(texture, 97 * index, axis=(0, 1))
        drawn = cv2.warpPerspective(own, homography, (480, 360), flags=cv2.INTER_AREA)
        covered = cv2.warpPerspective(np.ones(shape, np.uint8), homography, (480, 360))
        photo = np.where(covered[..., None] > 0, drawn, photo)
    return photo


def corner_poses(count: int) -> list[np.ndarray]:
    """Cameras in the positive octant, level, looking at the middle of the three squares."""
    poses = []
    for index in range(count):
        turn = np.pi / 4 + 0.14 * (index - count / 2)
        pose = tiny.ring_pose(0, 1)
        center = 2.6 * np.array([np.cos(turn) * 0.8, np.sin(turn) * 0.8, 0.55 + 0.1 * (index % 2)])
        back = (center - 0.3) / np.linalg.norm(center - 0.3)
        right = np.cross([0, 0, 1.0], back)
        right /= np.linalg.norm(right)
        pose[:3, :3] = np.stack([right, np.cross(back, right), back], 1)
        pose[:3, 3] = center
        poses.append(pose)
    return poses


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    """Photos of the corner and their true poses."""
    folder = tmp_path_factory.mktemp("corner")
    generator = np.random.default_rng(0)
    texture = np.zeros((400, 400, 3), np.float32)
    for cells in (12, 40, 130):
        noise = generator.random((cells, cells, 3)).astype(np.float32)
        texture += cv2.resize(noise, (400, 400), interpolation=cv2.INTER_CUBIC)
    texture = (np.clip(texture / 3, 0, 1) * 255).astype(np.uint8)
    kernel = np.array([[430.0, 0, 239.5], [0, 430.0, 179.5], [0, 0, 1]])
    poses = corner_poses(6)
    for index, pose in enumerate(poses):
        tiny.save(folder / f"photos/{index}.png", corner_photo(texture, pose, kernel))
    return folder / "photos", poses


def test_photos_without_poses_are_posed_and_set_upright(corner, tmp_path):
    photos, poses = corner
    said: list[str] = []
    capture = import_capture(photos, tmp_path / "out", ImportOptions(hold_out=3), say=said.append)
    assert len(capture.views) == 6 and len(capture.split("test")) == 2, said
    true = np.stack([pose[:3, 3] for pose in poses])
    found = centers_of(capture.views)
    ratios = np.linalg.norm(found[:, None] - found, axis=-1) / (
        np.linalg.norm(true[:, None] - true, axis=-1) + np.eye(6)
    )
    ratios = ratios[np.triu_indices(6, 1)]
    np.testing.assert_allclose(ratios, np.median(ratios), rtol=0.02)
    ups = np.stack([-view.world_to_camera[1, :3] for view in capture.views])
    assert ups[:, 2].min() > 0.9 * np.stack([pose[2, 1] for pose in poses]).min()
    focal = np.mean([view.intrinsics[0, 0] for view in capture.views])
    assert focal == pytest.approx(430, rel=0.05)
    assert capture.points is not None and len(capture.points) > 100
    assert np.abs(np.median(capture.points, axis=0)).max() < 1


def test_a_photo_of_something_else_is_left_out_by_name(corner, tmp_path, monkeypatch):
    photos, _ = corner
    monkeypatch.setattr(
        "relight3d.capture.colmap_pose._FEATURES",
        __import__("relight3d.capture.colmap_pose", fromlist=["x"])._FEATURES[:1],
    )
    for path in photos.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    noise = np.random.default_rng(9).integers(0, 256, (45, 60, 3), dtype=np.uint8)
    tiny.save(tmp_path / "zebra.png", cv2.resize(noise, (480, 360)))
    said: list[str] = []
    capture = import_capture(tmp_path, tmp_path / "out", say=said.append)
    assert len(capture.views) == 6
    assert any(line.startswith("left out: zebra.png: ") for line in said), said
    assert MIN_POINTS_PER_PHOTO > 3


def test_photos_without_texture_get_one_message(tmp_path):
    for index in range(3):
        tiny.save(tmp_path / f"c/{index}.png", np.full((64, 64, 3), 40 * index, np.uint8))
    with pytest.raises(CaptureError, match="No camera poses could be found for the 3 photos"):
        import_capture(tmp_path / "c", tmp_path / "out", say=lambda text: None)
    assert not (tmp_path / "out").exists()


def test_a_failure_of_the_matcher_is_one_message(corner, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("disk I/O error")

    monkeypatch.setattr("relight3d.capture.colmap_pose._extract", fail)
    with pytest.raises(CaptureError, match=r"disk I/O error.*disk has room"):
        import_capture(corner[0], tmp_path / "out", say=lambda text: None)
    assert not (tmp_path / "out").exists()
