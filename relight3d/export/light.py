"""The recovered light as .hdr or .exr, in the frame of the exported asset."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import EnvironmentLight
from relight3d.core.views import Similarity
from relight3d.files.environment import write_environment
from relight3d.shading.latlong import lookup, rotate, texel_directions


def write_light(
    path: Path, light: EnvironmentLight, capture_from_source: Similarity | None = None
) -> None:
    """Write a light by suffix, turned into the source's own frame like every other export.

    Raises:
        OutputError: Unknown suffix, impossible radiance, or the file cannot be written.
    """
    radiance = light.radiance_linear
    if capture_from_source is not None:
        rotation = torch.from_numpy(capture_from_source.inverse().rotation)
        radiance = turn_environment(radiance, rotation)
    write_environment(path, EnvironmentLight(radiance_linear=radiance))


def turn_environment(
    radiance: Float[Tensor, "H W 3"], rotation: Float[Tensor, "3 3"]
) -> Float[Tensor, "H W 3"]:
    """The map after turning the world by `rotation`: what was seen along d is seen along R d.

    About +z exact for whole texels (see `latlong.rotate`); otherwise bilinear.
    """
    if abs(float(rotation[2, 2]) - 1.0) < 1e-6:
        return rotate(radiance, float(torch.atan2(rotation[1, 0], rotation[0, 0])))
    height, width = radiance.shape[:2]
    directions = texel_directions(height, width, dtype=torch.float64)
    return lookup(radiance, (directions @ rotation.double()).to(radiance))
