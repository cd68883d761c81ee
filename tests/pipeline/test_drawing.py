"""The radiance field drawn by the pipeline."""

import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.color import srgb_from_linear
from relight3d.core.types import Asset
from relight3d.pipeline.drawing import draw_radiance


def test_captured_look_is_the_radiance_field():
    asset = Asset(ball(1200), materials=None, environments={})
    maps = draw_radiance(asset, get_rasterizer("cpu"), orbit(1, 20, 20))
    colors = srgb_from_linear(maps["rgb"])[maps["alpha"][..., 0] > 0.99]
    allowed = torch.tensor([0.6, 0.4, 0.3])
    assert len(colors) > 20
    assert float((colors / allowed).max()) < 1.001
    assert float((colors / allowed).min()) > 0.699
