"""The light's half of the split sum: an environment blurred by the GGX lobe of every roughness.

Source: Karis 2013, with normal = view = reflection, so that the lobe is round:
weight(l) = D(h) max(0, r.l), h half-way between r and l, normalised to 1.

On a latitude-longitude grid such a blur is the same for every column up to a shift, so a Fourier
transform along u turns the dense [texels, texels] operator into one small real matrix per
frequency: exact, and about W/6 times less work and memory. Levels much smoother than a texel are
computed on a coarser grid and interpolated.
"""

import dataclasses
from functools import lru_cache
from math import ceil, pi

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.shading import latlong
from relight3d.shading.brdf import ggx_density

_MIN_HEIGHT = 16
_IRRADIANCE_HEIGHT = 32
_MAX_SUBSAMPLES = 12


@dataclasses.dataclass(frozen=True)
class PrefilteredEnvironment:
    """An environment ready for split-sum shading; level 0 is the map itself."""

    atlas: Float[Tensor, "1 3 RH Wpad"]
    """Levels of uniformly spaced roughness 0..1 one above the other, columns wrapped by one."""
    irradiance_map: Float[Tensor, "h w 3"]
    """Irradiance by surface normal."""
    levels: int
    rotation_rad: float = 0.0
    """Known turn of the light, counter-clockwise about +z; applied to what is looked up."""

    @property
    def level_maps(self) -> Float[Tensor, "R H W 3"]:
        """The blurred maps, before rotation."""
        return self.atlas[0, :, :, 1:-1].unflatten(1, (self.levels, -1)).permute(1, 2, 3, 0)

    def turned(self, radians: float) -> "PrefilteredEnvironment":
        """The same light turned further, counter-clockwise about +z. Costs nothing."""
        return dataclasses.replace(self, rotation_rad=self.rotation_rad + radians)

    def specular(
        self, directions: Float[Tensor, "P 3"], roughness: Float[Tensor, "P 1"]
    ) -> Float[Tensor, "P 3"]:
        """Blurred radiance about given directions, linear in u, v and between levels.

        Directions need not be of unit length; roughness is perceptual, cut to [0, 1].
        Differentiable in the map, directions and roughness.
        """
        height, width = self.atlas.shape[2] // self.levels, self.atlas.shape[3] - 2
        u, v = latlong.uv_from_directions(self._to_map(directions)).unbind(-1)
        level = roughness[:, 0].clamp(0.0, 1.0) * (self.levels - 1)
        lower = level.detach().floor().clamp_max(self.levels - 2)
        row = (v * height).clamp(0.5, height - 0.5) + lower * height
        x = (u * width + 1.0) * (2.0 / (width + 2)) - 1.0
        y = row * (2.0 / (height * self.levels)) - 1.0
        step = 2.0 / self.levels
        grid = torch.stack([torch.stack([x, y], -1), torch.stack([x, y + step], -1)])
        found = torch.nn.functional.grid_sample(
            self.atlas, grid[None], mode="bilinear", padding_mode="border", align_corners=False
        )
        return torch.lerp(found[0, :, 0], found[0, :, 1], level - lower).t()

    def irradiance(self, normals: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """Unoccluded irradiance on surfaces facing `normals`; pi under radiance 1."""
        return latlong.lookup(self.irradiance_map, self._to_map(normals))

    def _to_map(self, vectors: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        return latlong.turn(vectors, -self.rotation_rad) if self.rotation_rad else vectors


@dataclasses.dataclass(frozen=True)
class Prefilter:
    """The fixed linear map from an environment of one size to its blurred levels."""

    height: int
    """Rows of the environment; it has twice as many columns."""
    levels: int
    groups: tuple[Float[Tensor, "_ _ _ _"], ...]
    """Real Fourier-space operators [level, frequency, output row, input row] of levels 1..,
    grouped by the grid they are computed on."""
    cosine: Float[Tensor, "1 F h h"]
    """The same for irradiance."""

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Prefilter":
        """The same operator on another device or in another floating type."""
        groups = tuple(group.to(device=device, dtype=dtype) for group in self.groups)
        cosine = self.cosine.to(device=device, dtype=dtype)
        return dataclasses.replace(self, groups=groups, cosine=cosine)

    def __call__(self, environment: Float[Tensor, "H W 3"]) -> PrefilteredEnvironment:
        """Blur. Linear in the environment, hence differentiable; a constant stays constant."""
        sizes = {group.shape[-1] for group in (*self.groups, self.cosine)} - {self.height}
        sources = {size: latlong.downsample(environment, size) for size in sizes}
        sources[self.height] = environment
        maps = [environment.permute(2, 0, 1)[None]]
        for group in self.groups:
            size = group.shape[-1]
            maps.append(_upsample(_apply(group, sources[size]), self.height // size))
        atlas = latlong.pad_columns(torch.cat(maps).permute(1, 0, 2, 3).flatten(1, 2)[None])
        irradiance = _apply(self.cosine, sources[self.cosine.shape[-1]])[0].permute(1, 2, 0)
        return PrefilteredEnvironment(atlas, irradiance, self.levels)


def build_prefilter(height: int, levels: int = 9) -> Prefilter:
    """The operator for maps of height x 2 height; kept for the next caller.

    Args:
        height: A power of two of at least 4.
        levels: Number of roughness levels, evenly spaced over [0, 1], at least 2.

    Raises:
        ConfigurationError: For another height or number of levels.
    """
    if height < 4 or height & (height - 1) or levels < 2:
        raise ConfigurationError(
            f"A prefilter needs an environment height that is a power of two >= 4 and at least 2 "
            f"levels, got height {height} and {levels} levels. Resize the map first "
            "(latlong.downsample keeps its energy)."
        )
    return _build(height, levels)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _build(height: int, levels: int) -> Prefilter:
    by_height: dict[int, list[Tensor]] = {}
    for level in range(1, levels):
        roughness = level / (levels - 1)
        coarse = _grid_height(height, roughness)
        by_height.setdefault(coarse, []).append(_operator(coarse, roughness))
    groups = tuple(torch.stack(group) for group in by_height.values())
    cosine = pi * _operator(min(height, _IRRADIANCE_HEIGHT), None)
    return Prefilter(height, levels, groups, cosine[None])


def _lobe_radius(roughness: float | None) -> float:
    """Angle in radians at which the blur's density has fallen to about one half."""
    return 1.0 if roughness is None else 1.3 * roughness**2


def _lobe(cosine: Tensor, roughness: float | None) -> Tensor:
    """The blur's density by angle to its axis, any scale: GGX, or a clamped cosine for None."""
    weight = cosine.clamp_min(0.0)
    if roughness is None:
        return weight
    cos_h = torch.sqrt((0.5 * (1.0 + cosine)).clamp(0.0, 1.0))
    return ggx_density(cos_h, torch.tensor(roughness, dtype=cosine.dtype)) * weight


def _grid_height(height: int, roughness: float) -> int:
    """The coarsest power-of-two grid whose texels are a third of the lobe's radius, or finer."""
    while height > _MIN_HEIGHT and 2.0 * pi / height < _lobe_radius(roughness) / 3.0:
        height //= 2
    return height


def _operator(height: int, roughness: float | None) -> Float[Tensor, "F h h"]:
    """Fourier-space blur [frequency, output row, input row], averaged over input texels."""
    texel = pi / height
    fine = min(max(ceil(2.0 * texel / _lobe_radius(roughness)), 2), _MAX_SUBSAMPLES)
    polar_out = (torch.arange(height, dtype=torch.float64) + 0.5) * texel
    polar_in = (torch.arange(height * fine, dtype=torch.float64) + 0.5) * (texel / fine)
    offsets = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine - 0.5
    columns = torch.arange(height + 1, dtype=torch.float64)  # the other half mirrors this one
    cos_azimuth = ((columns[:, None] + offsets) * texel).flatten().cos()
    area = latlong.solid_angles(height, 2 * height, dtype=torch.float64)[:, :1]
    rows = []
    for polar in polar_out:
        across = (polar_in.sin() * polar.sin())[:, None] * cos_azimuth
        weight = _lobe((polar_in.cos() * polar.cos())[:, None] + across, roughness)
        rows.append(weight.reshape(height, fine, height + 1, fine).mean((1, 3)) * area)
    half = torch.stack(rows)
    kernel = torch.cat([half, half[..., 1:-1].flip(-1)], -1)
    kernel = kernel / kernel.sum((1, 2), keepdim=True)
    return torch.fft.rfft(kernel, dim=-1).real.permute(2, 0, 1).contiguous().float()


def _apply(group: Float[Tensor, "r F h h"], source: Float[Tensor, "h w 3"]) -> Tensor:
    """Blur `source` by every operator of the group: [r, 3, h, w]."""
    spectrum = torch.view_as_real(torch.fft.rfft(source, dim=1)).permute(1, 0, 2, 3)
    blurred = group.to(source.dtype) @ spectrum.flatten(2)
    blurred = blurred.unflatten(-1, (3, 2)).permute(0, 3, 2, 1, 4).contiguous()
    return torch.fft.irfft(torch.view_as_complex(blurred), n=source.shape[1], dim=-1)


def _upsample(maps: Float[Tensor, "r 3 h w"], factor: int) -> Tensor:
    """Bilinear, seamless in u: [r, 3, factor h, factor w]."""
    if factor == 1:
        return maps
    large = torch.nn.functional.interpolate(
        latlong.pad_columns(maps), scale_factor=factor, mode="bilinear", align_corners=False
    )
    return large[..., factor:-factor]
