"""The radiance field drawn by the pipeline."""

import numpy as np
import pytest
import torch
from balls import ball
from scenes import orbit
from traced_ball import BallTracer, ball_proxy

from relight3d.backends.registry import get_rasterizer
from relight3d.core.color import srgb_from_linear
from relight3d.core.errors import ConfigurationError
from relight3d.core.types import Asset, DirectionalLight, EnvironmentLight, Materials
from relight3d.core.views import Capture, ViewLight
from relight3d.decomposition.trace_options import TraceOptions
from relight3d.files.environment import write_environment
from relight3d.pipeline.drawing import Light, Painter, draw_radiance
from relight3d.pipeline.pictures import AssetFrames
from relight3d.shading.latlong import rotate


def test_captured_look_is_the_radiance_field():
    asset = Asset(ball(1200), materials=None, environments={})
    maps = draw_radiance(asset, get_rasterizer("cpu"), orbit(1, 20, 20))
    colors = srgb_from_linear(maps["rgb"])[maps["alpha"][..., 0] > 0.99]
    allowed = torch.tensor([0.6, 0.4, 0.3])
    assert len(colors) > 20
    assert float((colors / allowed).max()) < 1.001
    assert float((colors / allowed).min()) > 0.699


@pytest.mark.parametrize("lights_vary", [False, True])
def test_a_look_is_the_captured_picture_with_less_around_it(lights_vary):
    splats = ball(400)
    normals = torch.nn.functional.normalize(splats.means, dim=-1)
    grey = torch.full((len(splats), 3), 0.5)
    materials = Materials(grey, grey[:, :1], 0 * grey[:, :1], normals, grey[:, :1], grey[:, :1])
    lights = {"sky": EnvironmentLight(torch.rand(8, 16, 3))}
    asset = Asset(splats, materials, lights)
    painter = Painter(asset, get_rasterizer("cpu"), lights_vary=lights_vary)
    light, cameras = ViewLight("sky"), orbit(1, 20, 20)
    whole, look = painter.captured(cameras, light), painter.look(cameras, light)
    assert torch.equal(look["rgb"], whole["rgb"])
    assert torch.equal(look["alpha"], whole["alpha"])
    assert torch.equal(whole["physics"], painter.physics(cameras, light)["rgb"])
    assert not torch.equal(whole["physics"], whole["rgb"])


def test_a_light_with_axes_of_its_own_is_turned_into_the_captures(tmp_path):
    radiance = torch.rand(8, 16, 3)
    write_environment(tmp_path / "sky.exr", EnvironmentLight(radiance))
    half_turn = np.diag([-1.0, -1.0, 1.0])
    capture = Capture(
        tmp_path, (), "object",
        environments={"sky": tmp_path / "sky.exr"}, environment_turns={"sky": half_turn},
    )  # fmt: skip
    asset = Asset(ball(10), materials=None, environments={})
    light = AssetFrames(Painter(asset, get_rasterizer("cpu")), capture).light("sky").environment
    assert light is not None
    expected = rotate(radiance, torch.pi)
    torch.testing.assert_close(light.radiance_linear, expected, atol=1e-4, rtol=0)


def test_traced_maps_are_straight_and_the_floor_has_a_coverage_of_its_own(monkeypatch):
    proxy = ball_proxy()
    made = []
    monkeypatch.setattr(
        "relight3d.pipeline.drawing.tracer_of", lambda asset: made.append(1) or BallTracer(proxy)
    )
    splats = ball(400)
    grey, normals = torch.full((400, 3), 0.5), torch.nn.functional.normalize(splats.means, dim=-1)
    materials = Materials(grey, grey[:, :1], 0 * grey[:, :1], normals, grey[:, :1], grey[:, :1])
    painter = Painter(Asset(splats, materials, {}, proxy=proxy), get_rasterizer("cpu"))
    light = Light(directional=(DirectionalLight((0.0, 1.0, 0.6), (2.0, 2.0, 2.0)),))
    cameras = orbit(1, 24, 24, focal_px=20.0)
    maps = painter.relit(cameras, light, trace=TraceOptions(2, floor="lowest"))
    solid = maps["alpha"][..., 0] > 0.99
    torch.testing.assert_close(maps["albedo"][solid], torch.full_like(maps["albedo"][solid], 0.5))
    shadow = (maps["alpha"] < 0.01) & (maps["rgb_alpha"] > 0.9)
    assert int(shadow.sum()) > 5
    assert float(maps["rgb"][shadow.expand(-1, -1, 3)].max()) < 0.01
    painter.relit(cameras, light, (0.5, 1.0, 1.0), trace=TraceOptions(2))
    assert len(made) == 1


def test_without_a_proxy_nothing_is_traced():
    asset = Asset(ball(20), materials=None, environments={})
    with pytest.raises(ConfigurationError, match="proxy mesh"):
        Painter(asset, get_rasterizer("cpu")).relit(orbit(1, 8, 8), Light(), trace=TraceOptions(2))
