"""Distant lights to draw directions from: an environment map, soft lobes, and both together.

All answer `sample(u, selection)`, `density(directions)` and `radiance(directions)`; batches of any
shape, unit directions toward the light, densities per steradian. Only `radiance` is differentiable,
in the environment map.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from math import expm1, pi
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.color import luminance
from relight3d.core.types import LobeLight
from relight3d.shading import latlong
from relight3d.shading.montecarlo.discrete import Discrete
from relight3d.shading.montecarlo.planes import dot, in_planes, stack_planes
from relight3d.shading.reference import tangent_frame

_MIN_SINE = 1e-6
"""Next to a pole, where a row of a map is one direction, its density is cut at this sine."""


@runtime_checkable
class Light(Protocol):
    """What `estimator` asks of a distant light."""

    def sample(
        self, u: Float[Tensor, "*batch 2"], selection: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch 3"]:
        """Unit directions for uniform numbers in [0, 1); `selection` is float64."""
        ...

    def density(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Of `sample`, per steradian."""
        ...

    def radiance(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Linear radiance that arrives from unit directions."""
        ...


@dataclasses.dataclass(frozen=True)
class EnvironmentSampler:
    """A lat-long map, turned counter-clockwise about +z by `rotation_rad`.

    Texels are picked by luminance times solid angle, then a place within the tent that bilinear
    lookup spreads them over: the density is the bilinear map of the picked weights, so that the
    slope beside a sun of one texel is as likely as it is bright. A black map is sampled evenly.
    """

    radiance_linear: Float[Tensor, "H W 3"]
    """W = 2 H, linear, >= 0."""
    rotation_rad: float = 0.0

    @cached_property
    def power(self) -> Float[Tensor, ""]:
        """Luminance integrated over the sphere, float64."""
        return self._weights.sum()

    @cached_property
    def _weights(self) -> Float[Tensor, "H W"]:
        environment = self.radiance_linear.detach().double()
        return luminance(environment).clamp_min(0.0) * self._areas

    @cached_property
    def _areas(self) -> Float[Tensor, "H W"]:
        height, width = self.radiance_linear.shape[:2]
        return latlong.solid_angles(height, width, self.radiance_linear.device, torch.float64)

    @cached_property
    def _table(self) -> Discrete:
        return Discrete.of(torch.where(self.power > 0.0, self._weights, self._areas).flatten())

    @cached_property
    def _density_map(self) -> Float[Tensor, "H W 1"]:
        """Density times the sine of the polar angle."""
        height, width = self.radiance_linear.shape[:2]
        by_texel = self._table.probability * (height * width / (2.0 * pi**2))
        return by_texel.view(height, width, 1).to(self.radiance_linear.dtype)

    @torch.no_grad()
    def sample(
        self, u: Float[Tensor, "*batch 2"], selection: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch 3"]:
        """Unit directions for uniform numbers in [0, 1); `selection` is float64."""
        height, width = self.radiance_linear.shape[:2]
        texel = self._table.pick(selection)
        row = torch.div(texel, width, rounding_mode="floor")
        across, down = (_tent(u[..., axis]) for axis in (0, 1))
        v = ((row + 0.5 + down) * (1.0 / height)).abs()  # at a pole the tent is folded back
        v = torch.minimum(v, 2.0 - v)
        uv = torch.stack([(texel - row * width + 0.5 + across) * (1.0 / width), v])
        directions = latlong.directions_from_uv(uv.movedim(0, -1))
        return in_planes(self._turned(directions, self.rotation_rad))

    @torch.no_grad()
    def density(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Of `sample`, per steradian."""
        x, y, _ = directions.unbind(-1)
        sine = torch.sqrt(x * x + y * y).clamp_min(_MIN_SINE)
        turned = self._turned(directions, -self.rotation_rad)
        return latlong.lookup(self._density_map, turned)[..., 0] / sine

    def radiance(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Bilinear lookup. Differentiable in the map."""
        return latlong.lookup(self.radiance_linear, self._turned(directions, -self.rotation_rad))

    @staticmethod
    def _turned(vectors: Float[Tensor, "*batch 3"], radians: float) -> Float[Tensor, "*batch 3"]:
        return latlong.turn(vectors, radians) if radians else vectors


def _tent(u: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Offsets in (-1, 1) with density 1 - |offset|."""
    rising = torch.sqrt(2.0 * u) - 1.0
    return torch.where(u < 0.5, rising, 1.0 - torch.sqrt((2.0 - 2.0 * u).clamp_min(0.0)))


class LobeSampler:
    """A spherical Gaussian light, sampled exactly: a von Mises-Fisher density on the sphere."""

    def __init__(self, light: LobeLight, device: torch.device | str | None = None):
        """Results are of the type of what is asked; `device` is where they are computed."""
        axis = torch.tensor(light.axis, dtype=torch.float64, device=device)
        axis = torch.nn.functional.normalize(axis, dim=0)
        tangent, bitangent = tangent_frame(axis[None])
        self._frame = torch.stack([tangent[0], bitangent[0], axis])
        self._sharpness = light.sharpness
        self._peak = torch.tensor(light.peak_linear, dtype=torch.float64, device=device)
        self._integral = -2.0 * pi * expm1(-2.0 * light.sharpness) / light.sharpness

    @property
    def power(self) -> Float[Tensor, ""]:
        """Luminance integrated over the sphere, float64."""
        return luminance(self._peak) * self._integral

    def sample(
        self, u: Float[Tensor, "*batch 2"], selection: Float[Tensor, "*batch"] | None = None
    ) -> Float[Tensor, "*batch 3"]:
        """Unit directions for uniform numbers in [0, 1); `selection` is not needed."""
        below = -torch.log1p(u[..., 1] * expm1(-2.0 * self._sharpness)) / self._sharpness
        below = below.clamp(0.0, 2.0)  # 1 - cosine to the axis: exact for the sharpest lobes
        radius = torch.sqrt(below * (2.0 - below))
        azimuth = u[..., 0] * (2.0 * pi)
        x, y, z = radius * azimuth.cos(), radius * azimuth.sin(), 1.0 - below
        tangent, bitangent, axis = self._frame.to(u.dtype)
        return stack_planes(*(x * tangent[i] + y * bitangent[i] + z * axis[i] for i in range(3)))

    def density(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Of `sample`, per steradian."""
        return self._shape(directions) / self._integral

    def radiance(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """As `LobeLight` says."""
        return self._shape(directions)[..., None] * self._peak.to(directions.dtype)

    def _shape(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        # exp(sharpness (d.axis - 1)) by the chord, which keeps the digits that 1 - d.axis loses.
        away = directions - self._frame[2].to(directions.dtype)
        return torch.exp(dot(away, away) * (-0.5 * self._sharpness))


_DARKNESS = LobeLight((0.0, 0.0, 1.0), 1e-3, (0.0, 0.0, 0.0))


class LightSampler:
    """All distant lights of a scene together; one is picked in proportion to its power."""

    def __init__(
        self,
        environment: EnvironmentSampler | None = None,
        lobes: Sequence[LobeLight] = (),
        device: torch.device | str | None = None,
    ):
        """Of an environment and any number of lobes; of none, it is darkness, sampled evenly."""
        if environment is not None:
            device = environment.radiance_linear.device
        elif not lobes:
            lobes = (_DARKNESS,)
        self._parts: list[EnvironmentSampler | LobeSampler] = []
        if environment is not None:
            self._parts.append(environment)
        self._parts += [LobeSampler(lobe, device) for lobe in lobes]
        power = torch.stack([part.power.to(device) for part in self._parts])
        even = torch.full_like(power, 1.0 / len(power))
        self._share = torch.where(power.sum() > 0.0, power / power.sum().clamp_min(1e-300), even)
        self._ends = self._share.cumsum(0)

    @torch.no_grad()
    def sample(
        self, u: Float[Tensor, "*batch 2"], selection: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch 3"]:
        """Unit directions for uniform numbers in [0, 1); `selection` is float64."""
        if len(self._parts) == 1:
            return self._parts[0].sample(u, selection)
        part = torch.searchsorted(self._ends, selection.double().contiguous(), right=True)
        part = part.clamp_max(len(self._parts) - 1)
        share = self._share[part]
        rest = (selection - (self._ends[part] - share)) / share.clamp_min(1e-300)
        directions = in_planes(torch.zeros_like(u[..., :1]).expand(*u.shape[:-1], 3))
        flat = directions.movedim(-1, 0).reshape(3, -1)
        u_flat, rest = u.reshape(-1, 2), rest.clamp(0.0, 1.0).flatten()
        for index, sampler in enumerate(self._parts):
            rows = (part.flatten() == index).nonzero()[:, 0]
            flat[:, rows] = sampler.sample(u_flat[rows], rest[rows]).t()
        return flat.view(3, *u.shape[:-1]).movedim(0, -1)

    @torch.no_grad()
    def density(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Of `sample`, per steradian."""
        shares = self._share.to(directions.dtype).unbind()
        parts = zip(shares, self._parts, strict=True)
        return sum((share * part.density(directions) for share, part in parts), torch.zeros(()))

    def radiance(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The sum of all. Differentiable in the environment's map."""
        return sum((part.radiance(directions) for part in self._parts), torch.zeros(()))
