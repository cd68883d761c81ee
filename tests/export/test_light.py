import math

import numpy as np
import torch

from relight3d.core.types import EnvironmentLight
from relight3d.core.views import Similarity
from relight3d.export.light import turn_environment, write_light
from relight3d.files.environment import read_environment
from relight3d.shading.latlong import texel_directions


def blob(towards: torch.Tensor, height: int = 64) -> torch.Tensor:
    directions = texel_directions(height, 2 * height)
    return torch.exp(20 * (directions @ towards - 1))[..., None].repeat(1, 1, 3)


def test_written_in_the_source_frame(tmp_path):
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # capture = source turned: +x to +y
    light = EnvironmentLight(radiance_linear=blob(torch.tensor([0.0, 1, 0])))
    for suffix in ("hdr", "exr"):
        path = tmp_path / f"light.{suffix}"
        write_light(path, light, Similarity(turn, np.array([5.0, 0, 0]), 3.0))
        got = read_environment(path).radiance_linear
        torch.testing.assert_close(got, blob(torch.tensor([1.0, 0, 0])), atol=4e-3, rtol=0)
    write_light(tmp_path / "same.exr", light)
    torch.testing.assert_close(
        read_environment(tmp_path / "same.exr").radiance_linear, light.radiance_linear
    )


def test_any_rotation_carries_what_was_seen_along():
    angle = 0.7
    tilt = torch.tensor(
        [[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]]
    )
    towards = torch.nn.functional.normalize(torch.tensor([0.3, -0.8, 0.4]), dim=-1)
    got = turn_environment(blob(towards), tilt)
    torch.testing.assert_close(got, blob(tilt @ towards), atol=0.02, rtol=0)
