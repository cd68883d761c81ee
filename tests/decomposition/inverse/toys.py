"""A painted ball under a known sky, photos of it by quadrature, and what is known of both."""

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from math import pi

import torch
from balls import ball, photo_from, view_of
from scenes import orbit
from torch import Tensor
from traced_ball import ball_proxy

from relight3d.backends.registry import get_rasterizer
from relight3d.backends.tracing.registry import get_tracer
from relight3d.core import sh
from relight3d.core.color import srgb_from_linear
from relight3d.core.photos import Photo
from relight3d.core.surface import Mesh, Proxy
from relight3d.core.types import Asset, EnvironmentLight, Materials, Splats
from relight3d.core.views import ViewLight
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.decomposition.inverse.fit import InverseRendering
from relight3d.shading import latlong

COUNT, PX = 250, 20
PROXY = dataclasses.replace(ball_proxy(count=300), views=torch.full((300, 1), 9.0))
FEW = InverseConfig(
    steps=4, polish_steps=3, pixels=60, rays=8, last_rays=16, polish_px=150, polish_rays=8,
    environment_height=8, consistency_points=20,
)  # fmt: skip
"""A run through both parts of the stage."""


def painted(normals: Tensor) -> Tensor:
    """True albedo: one colour above, another below."""
    colors = torch.tensor([[0.7, 0.35, 0.2], [0.2, 0.4, 0.7]])
    return torch.where(normals[:, 2:] > 0, colors[0], colors[1])


def day() -> EnvironmentLight:
    """A sky that is brighter toward +y, smoothly."""
    grid = latlong.texel_directions(8, 16)
    return EnvironmentLight(0.6 + 0.5 * grid[..., 1:2].expand(-1, -1, 3).contiguous())


def irradiance(normals: Tensor, sky: EnvironmentLight) -> Tensor:
    """By the sum over all texels."""
    height, width = sky.radiance_linear.shape[:2]
    toward = latlong.texel_directions(height, width).reshape(-1, 3)
    weights = (normals @ toward.T).clamp_min(0.0) * latlong.solid_angles(height, width).flatten()
    return weights @ sky.radiance_linear.reshape(-1, 3)


@lru_cache
def body() -> Splats:
    """A ball whose radiance field shows the paint under the sky, matt."""
    splats = ball(COUNT)
    normals = torch.nn.functional.normalize(splats.means, dim=-1)
    coefficients = torch.zeros(COUNT, 4, 3)
    shown = srgb_from_linear(painted(normals) * irradiance(normals, day()) / pi)
    coefficients[:, 0] = (shown - 0.5) / sh.C0
    return dataclasses.replace(splats, sh=coefficients)


def photos(count: int = 4, lights: Sequence[ViewLight] = (), factor: float = 1.0) -> list[Photo]:
    """What cameras around see of `body`."""
    cameras, splats = orbit(count, PX, PX), body()
    colors = (0.5 + sh.C0 * splats.sh[:, 0]) * factor
    raster = get_rasterizer("cpu")(splats.gaussians(), colors, cameras)
    found = []
    for index in range(count):
        light = lights[index % len(lights)] if lights else ViewLight()
        view = view_of(cameras, index, light)
        found.append(photo_from(raster.features[index], raster.alpha[index], view))
    return found


def start(albedo: float = 0.45, roughness: float = 0.9, sky: Tensor | None = None) -> Asset:
    """The ball of one grey, as a bad distillation might leave it."""
    one, splats = torch.ones(COUNT, 1), body()
    materials = Materials(
        albedo_linear=albedo * one.expand(-1, 3),
        roughness=roughness * one,
        metallic=0.02 * one,
        normals=torch.nn.functional.normalize(splats.means, dim=-1),
        progress=0.95 * one,
        double_sided=0.02 * one,
    )
    light = day() if sky is None else EnvironmentLight(sky)
    return Asset(splats, materials, {"environment": light}, proxy=PROXY)


def on_a_floor(views: float = 9.0) -> Proxy:
    """The proxy of the ball, and of a floor that no photo shows, close under it."""
    corners = torch.tensor([[-3.0, -3, -1.05], [3, -3, -1.05], [3, 3, -1.05], [-3, 3, -1.05]])
    mesh, count = PROXY.mesh, len(PROXY.mesh.vertices)
    faces = torch.cat([mesh.faces, torch.tensor([[0, 1, 2], [0, 2, 3]]) + count])
    return Proxy(
        Mesh(torch.cat([mesh.vertices, corners]), faces),
        torch.cat([PROXY.normals, torch.tensor([0.0, 0.0, 1.0]).expand(4, 3)]),
        torch.cat([PROXY.radiance_linear, torch.full((4, 3), 0.6)]),
        torch.cat([PROXY.views, torch.full((4, 1), views)]),
        PROXY.voxel,
    )


def job_of(
    photos_: Sequence[Photo],
    asset: Asset | None = None,
    config: InverseConfig = FEW,
    *,
    proxy: Proxy = PROXY,
    seed: int = 0,
    exposures: Tensor | None = None,
) -> InverseRendering:
    return InverseRendering(
        photos_,
        asset or start(),
        proxy,
        config,
        rasterize=get_rasterizer("cpu"),
        tracer=get_tracer(proxy.mesh),
        seed=seed,
        exposures=exposures,
    )


def run(job: InverseRendering, until: int | None = None) -> list[dict[str, float]]:
    logs = []
    while job.steps_done < (job.total_steps if until is None else until):
        logs.append(job.step())
    return logs


def bits(job: InverseRendering) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in job.state_tensors().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
