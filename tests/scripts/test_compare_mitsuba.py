"""The comparison with Mitsuba on pictures of a few pixels: that it compares what it says."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from capture_maker.scenes import Stage
from capture_maker.shapes import ball, floor
from capture_maker.surfaces import plain
from sampling import uniform, unit_vectors
from transport_check import gltf_bsdf
from transport_check.cases import Case, all_cases
from transport_check.scene import TracedScene, camera_rays

from relight3d.core.types import EnvironmentLight
from relight3d.files.environment import read_environment, write_environment
from relight3d.shading import latlong
from relight3d.shading.brdf import evaluate
from relight3d.shading.directions import spherical_fibonacci

mitsuba = pytest.importorskip("mitsuba")
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare_mitsuba.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("compare_mitsuba", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mi(script):
    return script.load_mitsuba()


def two_balls() -> Stage:
    surfaces = [
        floor(-0.5, 0.8, plain(0.5, 0.5, 0.5, 0.9)),
        ball((-0.3, 0.0, -0.1), 0.35, plain(0.8, 0.25, 0.1, 0.4), 24),
        ball((0.4, 0.0, -0.1), 0.35, plain(0.95, 0.7, 0.3, 0.3, metallic=1.0), 24),
    ]
    return Stage("two_balls", "metal and not", surfaces)


@pytest.fixture(scope="module")
def sky(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("maps") / "sky.hdr"
    radiance = uniform(8, 16, 3, seed=1, dtype=torch.float32)
    radiance[1, 3] = 30.0
    write_environment(path, EnvironmentLight(radiance))
    return path


def test_the_plugin_reflects_as_the_brdf_does():
    """Two programs of one specification: in a frame whose z is the normal."""
    view, light = (unit_vectors(50, seed=s) for s in (0, 1))
    view, light = (v * torch.sign(v[:, 2:]) for v in (view, light))
    albedo, rough, metallic = uniform(50, 3), 0.1 + 0.9 * uniform(50, 1, seed=4), uniform(50, 1)
    normal = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    expected = sum(evaluate(normal, view, light, albedo, rough, metallic))
    rows = zip(view.tolist(), light.tolist(), albedo.tolist(), rough, metallic, strict=True)
    found = [gltf_bsdf.reflectance(v, w, a, float(r), float(m)) for v, w, a, r, m in rows]
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected)


def test_the_plugin_draws_by_the_density_it_says():
    view, rough = (0.6, 0.0, 0.8), 0.5
    grid = spherical_fibonacci(20000, dtype=torch.float64)
    above = grid[grid[:, 2] > 0].tolist()
    mass = [gltf_bsdf.density(view, tuple(light), rough) * 4 * math.pi / 20000 for light in above]
    u = uniform(20000, 3)
    drawn = np.array([gltf_bsdf.draw(view, rough, *row) for row in u.tolist()])
    kept = drawn[drawn[:, 2] > 0]
    assert sum(mass) == pytest.approx(len(kept) / len(drawn), abs=0.01)
    mean = np.array(above).T @ mass
    assert (kept.sum(0) / len(drawn)).tolist() == pytest.approx(mean.tolist(), abs=0.015)


def test_mitsuba_reads_maps_as_we_do(mi, sky):
    from transport_check.theirs import exact_emitter

    emitter = mi.load_dict({"type": "scene", "light": mi.load_dict(exact_emitter(sky))})
    directions = unit_vectors(100, dtype=torch.float32)
    found = []
    for direction in directions.tolist():
        si = mi.SurfaceInteraction3f()
        si.wi = mi.Vector3f(*(-value for value in direction))
        found.append(list(emitter.environment().eval(si)))
    expected = latlong.lookup(read_environment(sky).radiance_linear, directions)
    torch.testing.assert_close(torch.tensor(found), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("bounces", [0, 1])
def test_both_agree_under_a_map(script, mi, sky, bounces, monkeypatch):
    monkeypatch.setattr(script, "RAYS_PER_PIXEL", 4)
    row = script.compare(Case(two_balls, sky, bounces), mi, 8, 16, 8)
    assert row.ours > 0.01 and row.noise < 0.05
    assert abs(row.ours / row.theirs - 1.0) < 4.0 * row.noise + 2e-3
    assert row.line().startswith(f"| two_balls | sky | {bounces} | ")


def test_a_point_light_needs_no_samples(script, mi, monkeypatch):
    """Nothing is random: every pixel agrees."""
    monkeypatch.setattr(script, "RAYS_PER_PIXEL", 4)
    row = script.compare(Case(two_balls, (1.5, -2.0, 2.0)), mi, 12, 16, 8)
    assert row.noise < 1e-6 and row.rmse < 0.02
    assert abs(row.ours / row.theirs - 1.0) < 2e-3


def test_camera_rays_meet_what_mitsubas_camera_sees(script, mi):
    stage = two_balls()
    pose = stage.views.poses(8, "train", 0.0)[2]
    origins, directions, pixel = camera_rays(
        pose, stage.views.fov_x_rad, 24, 16, torch.Generator().manual_seed(0)
    )
    _, rays = TracedScene(stage.surfaces).points(origins, directions)
    ours = torch.bincount(pixel[rays], minlength=24 * 24).view(24, 24) / 16
    tracer = script.GltfTracer(mi, stage.surfaces)
    film = tracer.radiance(tracer.scene(None, 2, True), pose, stage.views.fov_x_rad, 24, 64, 0)
    assert float((ours - torch.from_numpy(film[..., 3])).abs().mean()) < 0.01


def test_a_folder_without_maps_is_refused(tmp_path):
    from relight3d.core.errors import CaptureError

    with pytest.raises(CaptureError, match=r"holds no \.hdr file"):
        all_cases(tmp_path, None, ())
