"""The path-traced ground truth obeys what can be worked out by hand: light, maps, orientation."""

import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from capture_maker import files
from capture_maker.cameras import Orbit, look_at
from capture_maker.gltf import read_model
from capture_maker.lights import environment_emitter, point_emitter, reduced, row_weights
from capture_maker.maps import Maps, true_maps
from capture_maker.scenes import SCENES, closed_room
from capture_maker.shapes import ball, floor
from capture_maker.surfaces import Surface, plain
from capture_maker.tracer import Tracer, load_mitsuba
from tiny_gltf import QUAD_UV, png_uri, quad, write_glb, write_gltf

from relight3d.core.types import EnvironmentLight
from relight3d.files.environment import write_environment

PX, FOV = 32, math.radians(31.0)
FRONT = look_at(np.array([0.0, -4.0, 0.0]), np.zeros(3))
"""Sees x to the right and z upwards."""
WHITE = plain(1, 1, 1, 1, lambertian=True)


@pytest.fixture(scope="module")
def mi():
    pytest.importorskip("mitsuba", reason="Mitsuba comes with the extras [dev] and [maker]")
    return load_mitsuba()


def directions(height: int) -> np.ndarray:
    """World directions of a map's texels, by the convention of core.conventions."""
    v, u = np.mgrid[:height, : 2 * height] + 0.5
    azimuth, polar = -2 * np.pi * u / (2 * height), np.pi * v / height
    flat = np.sin(polar)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.cos(polar)], -1)


def write_map(path: Path, radiance: np.ndarray) -> Path:
    write_environment(path, EnvironmentLight(torch.from_numpy(radiance.astype(np.float32))))
    return path


def shine(mi, surfaces: list[Surface], emitter: dict, pose=FRONT, spp: int = 16, depth: int = 2):
    tracer = Tracer(mi, surfaces)
    scene = tracer.scene(emitter, depth, hide_light=True)
    return tracer.radiance(scene, pose, FOV, PX, spp, seed=1)


def maps_of(mi, surfaces: list[Surface], pose=FRONT) -> Maps:
    return true_maps(Tracer(mi, surfaces), pose, FOV, PX, seed=1)


def test_a_white_ball_in_a_furnace_cannot_be_told_from_it(mi, tmp_path: Path) -> None:
    path = write_map(tmp_path / "grey.hdr", np.full((16, 32, 3), 0.5))
    surfaces = SCENES["furnace_ball"]().surfaces
    picture = shine(mi, surfaces, environment_emitter(path, 0.0), spp=256)
    inside = picture[..., 3] == 1
    assert inside.sum() > 300
    assert abs(picture[inside][:, :3].mean() - 0.5) < 0.002
    files.write_picture(tmp_path / "p.png", picture, enclosed=False)
    stored = np.array(PIL.Image.open(tmp_path / "p.png")).astype(int)
    rim = (stored[..., 3] > 60) & (stored[..., 3] < 255)
    assert rim.sum() > 20  # straight alpha: at the rim the colour is not darkened
    assert abs(stored[rim][:, :3].mean() - 188) < 2  # sRGB of 0.5


@pytest.mark.parametrize(
    ("toward", "turn_deg", "bright"),
    [
        ((1, 0, 0), 0, "right"),
        ((-1, 0, 0), 0, "left"),
        ((0, 0, 1), 0, "top"),
        ((0, 0, -1), 0, "bottom"),
        ((0, -1, 0), 90, "right"),  # turned counter-clockwise, -y comes to +x
        ((0, 1, 0), 90, "left"),
    ],
)
def test_a_light_brightens_its_own_side(mi, tmp_path: Path, toward, turn_deg, bright) -> None:
    lamp = (directions(16) @ np.array(toward) > 0.9)[..., None] * np.ones(3)
    emitter = environment_emitter(write_map(tmp_path / "lamp.hdr", lamp), turn_deg)
    picture = shine(mi, [ball((0, 0, 0), 0.9, WHITE, 24)], emitter)[..., :3].mean(-1)
    half = PX // 2
    sides = {
        "left": picture[:, :half], "right": picture[:, half:],
        "top": picture[:half], "bottom": picture[half:],
    }  # fmt: skip
    assert max(sides, key=lambda side: sides[side].sum()) == bright


def test_a_point_light_obeys_the_inverse_square_law(mi) -> None:
    pose = look_at(np.array([0.0, 0.0, 5.0]), np.zeros(3))
    grey = plain(0.5, 0.5, 0.5, 1, lambertian=True)
    position, intensity = np.array([0.7, -0.4, 2.0]), 30.0
    surfaces = [floor(0.0, 5.0, grey)]
    picture = shine(mi, surfaces, point_emitter(position, intensity), pose, spp=64)
    x = (np.arange(PX) + 0.5 - PX / 2) * 10 * math.tan(FOV / 2) / PX
    right, up = pose[:3, 0], pose[:3, 1]
    points = x[None, :, None] * right - x[:, None, None] * up
    away = position - points
    square = (away**2).sum(-1)
    expected = 0.5 / np.pi * intensity / square * away[..., 2] / np.sqrt(square)
    np.testing.assert_allclose(picture[..., 0], expected, rtol=0.01)


COLORS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]])


@pytest.mark.parametrize("write", [write_gltf, write_glb])
def test_a_texture_stands_upright(mi, tmp_path: Path, write) -> None:
    texture = png_uri(COLORS.repeat(8, 0).repeat(8, 1))
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    model = read_model(write(tmp_path / "q.gltf", quad(material, [texture])))
    maps = maps_of(mi, model.surfaces)
    grey = {"type": "constant", "radiance": 1.0}
    picture = shine(mi, model.surfaces, grey)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y, x = (11, 20)[row], (11, 20)[column]
        np.testing.assert_allclose(maps.albedo[y, x], COLORS[row, column] / 255)
        lit = picture[y, x, :3] > 0.2
        assert (lit == (COLORS[row, column] > 0)).all()
    np.testing.assert_allclose(maps.normal[11, 11], [0, -1, 0], atol=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_normal_map_tilts_the_right_way(mi, tmp_path: Path, mirrored: bool) -> None:
    """Red along u, green upwards in the picture, also where the texture lies mirrored."""
    tilt = png_uri(np.full((4, 4, 3), [200, 220, 190]))
    material = {"normalTexture": {"index": 0}}
    uv = QUAD_UV * [-1, 1] + [1, 0] if mirrored else QUAD_UV
    path = write_gltf(tmp_path / "q.gltf", quad(material, [tilt], uv.astype(np.float32)))
    surfaces = read_model(path).surfaces
    local = np.array([200, 220, 190]) / 255 * 2 - 1
    local /= np.linalg.norm(local)
    expected = [-local[0] if mirrored else local[0], -local[2], local[1]]
    np.testing.assert_allclose(maps_of(mi, surfaces).normal[16, 16], expected, atol=1e-5)
    lit = [
        shine(mi, surfaces, point_emitter(np.array([x, -4.0, z]), 60.0))[16, 16, 0]
        for x, z in ((0, 3), (0, -3), (3, 0), (-3, 0))
    ]
    assert lit[0] > 1.5 * lit[1]  # what is rendered agrees with the map
    assert (lit[2] > 1.3 * lit[3]) != mirrored


def test_the_normal_scale_and_factors_are_applied(mi, tmp_path: Path) -> None:
    images = [
        png_uri(np.full((2, 2, 3), c)) for c in ([255, 128, 64], [0, 128, 64], [255, 128, 255])
    ]
    material = {
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0}, "baseColorFactor": [0.5, 1, 0.25, 1],
            "metallicRoughnessTexture": {"index": 1}, "roughnessFactor": 0.5, "metallicFactor": 0.8,
        },
        "normalTexture": {"index": 2, "scale": 0.5},
    }  # fmt: skip
    maps = maps_of(mi, read_model(write_gltf(tmp_path / "q.gltf", quad(material, images))).surfaces)
    linear = ((np.array([128, 64]) / 255 + 0.055) / 1.055) ** 2.4
    expected = [0.5, linear[0], 0.25 * linear[1]]
    np.testing.assert_allclose(maps.albedo[16, 16], expected, rtol=1e-5)
    np.testing.assert_allclose(maps.roughness[16, 16], 0.5 * 128 / 255, rtol=1e-5)
    np.testing.assert_allclose(maps.metallic[16, 16], 0.8 * 64 / 255, rtol=1e-5)
    assert abs(maps.normal[16, 16, 0] - 0.5 / math.hypot(0.5, 1)) < 0.01


def test_constant_materials_are_exact_in_the_files(mi, tmp_path: Path) -> None:
    surfaces = [ball((0, 0, 0), 0.9, plain(0.2, 0.4, 0.6, 0.3, 0.7))]
    maps = maps_of(mi, surfaces)
    paths = {name: tmp_path / f"{name}.png" for name in files.MAP_NAMES}
    files.write_maps(paths | {"depth": tmp_path / "depth.npy"}, maps)
    for name, value in {"albedo": [51, 102, 153], "roughness": 76, "metallic": 178}.items():
        stored = np.array(PIL.Image.open(paths[name]))
        hit = stored[..., 3] > 0
        assert (np.abs(stored[hit][:, :3].astype(int) - value) <= 1).all()  # 76.5 and 178.5
        assert (stored[~hit] == 0).all()
        assert ((stored[..., 3] > 0) & (stored[..., 3] < 255)).any()
    depth = np.load(tmp_path / "depth.npy")
    assert depth.dtype == np.float16
    assert abs(depth[16, 16] - 3.1) < 0.01 and depth[0, 0] == 0


def test_the_depth_of_a_slanting_plane(mi) -> None:
    pose = look_at(np.array([0.0, -3.0, 3.0]), np.zeros(3))
    depth = maps_of(mi, [floor(0.0, 50.0, WHITE)], pose).depth
    center = 3 * math.sqrt(2)
    slope = (np.arange(PX) + 0.5 - PX / 2) / (PX / 2) * math.tan(FOV / 2)  # downwards
    expected = center / (1 + slope)
    np.testing.assert_allclose(depth, np.broadcast_to(expected[:, None], depth.shape), rtol=1e-3)


def test_cameras_are_spread() -> None:
    for views in (Orbit(), closed_room().views):
        for split in ("train", "test"):
            poses = views.poses(40, split, 0.3)
            gaps = np.linalg.norm(poses[:, None, :3, 3] - poses[None, :, :3, 3], axis=-1)
            assert (gaps + 9 * np.eye(40)).min() > 0.05
            np.testing.assert_allclose(np.linalg.det(poses), 1.0)
        both = [views.poses(20, split, 0.3)[:, :3, 3] for split in ("train", "test")]
        assert np.linalg.norm(both[0][:, None] - both[1], axis=-1).min() > 0.01


def test_the_cameras_of_the_room_are_in_it_and_see_all_of_it(mi) -> None:
    stage = closed_room()
    tracer = Tracer(mi, stage.surfaces)
    seen: set[int] = set()
    for pose in stage.views.poses(24, "train", 0.1):
        hits = tracer.first_hits(pose, stage.views.fov_x_rad, 16, 1)
        distance = np.linalg.norm(hits["position"] - pose[:3, 3], axis=1)[hits["shape"] >= 0]
        assert distance.min() > 0.15
        seen |= set(hits["shape"].tolist())
    assert set(range(6)) <= seen  # floor, ceiling and the four sides
    assert -1 in seen  # the window


def test_reducing_a_map_keeps_its_mean(generator: torch.Generator) -> None:
    radiance = torch.rand(1024, 2048, 3, generator=generator, dtype=torch.float64).numpy() ** 8
    small = reduced(radiance)
    assert small.shape == (512, 1024, 3)
    means = [(r.mean((1, 2)) * row_weights(len(r))).sum() for r in (radiance, small)]
    np.testing.assert_allclose(means[0], means[1])
