"""Noise out of few light samples per pixel, by a filter that stops at the edges of the surface.

An a-trous B3-spline wavelet (Dammertz et al. 2010, "Edge-Avoiding A-Trous Wavelet Transform for
fast Global Illumination Filtering") with the edge-stopping functions and the variance bookkeeping
of SVGF's spatial half (Schied et al. 2017, Eqs. 2-5). Two changes: every stop is symmetric in the
two pixels, so that the filter is its own adjoint and the way back costs as little as the way
there; and distances off the surface are counted in pixels, not in depth slopes.

What is filtered should be free of texture: divide by the reflectance first (`demodulate`).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from math import isfinite

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.shading.brdf import MIN_COSINE, specular_f0
from relight3d.shading.environment_brdf import environment_brdf

_SPLINE = (3 / 8, 1 / 4, 1 / 16)
"""B3 weights at distances 0, 1 and 2."""
_EXACT = 1e-4
"""Differences below this share of the values themselves are no edge, even without noise."""


@dataclasses.dataclass(frozen=True)
class Guides:
    """The surface at each pixel; straight values, not premultiplied. No gradients flow to it."""

    normal: Float[Tensor, "H W 3"]
    """Unit, in any one frame with `rays`."""
    depth: Float[Tensor, "H W 1"]
    """Camera z, world units."""
    rays: Float[Tensor, "H W 3"]
    """Through the pixel centres, scaled to camera z = 1; see `core.planes.pixel_rays`."""
    coverage: Float[Tensor, "H W 1"]
    """How much a pixel counts, in [0, 1]; pixels of 0 neither give nor take."""
    albedo: Float[Tensor, "H W 3"] | None = None
    """Linear; a change of material is an edge. None: it is not."""
    roughness: Float[Tensor, "H W 1"] | None = None
    """Perceptual; for reflections, whose blur it decides."""


@dataclasses.dataclass(frozen=True)
class DenoiseOptions:
    """How far the filter reaches, and what stops it."""

    iterations: int = 5
    """Doublings of the step between taps, 1 to 8: five reach 2 (1 + 2 + 4 + 8 + 16) = 62 pixels."""
    normal_sharpness: float = 96.0
    """Weight exp(-sharpness (1 - n.m)), about (n.m)^sharpness."""
    plane_px: float = 1.5
    """Distance off the tangent planes, in widths of a pixel, that weighs 1/e."""
    deviations: float = 4.0
    """Difference of brightness, in standard deviations of the noise, that weighs 1/e."""
    albedo: float = 0.2
    """Difference of albedo, summed over channels, that weighs 1/e."""
    roughness: float = 0.1
    """Difference of roughness that weighs 1/e."""

    def __post_init__(self) -> None:
        """Refuse what no picture can be filtered with."""
        scales = (self.plane_px, self.deviations, self.albedo, self.roughness)
        sane = all(isfinite(s) and s > 0 for s in scales) and 0 <= self.normal_sharpness < 1e6
        if not (sane and 1 <= self.iterations <= 8):
            raise ConfigurationError(
                "The denoiser needs 1 to 8 iterations and positive, finite widths of its stops, "
                f"got {self}."
            )


def denoise(
    noisy: Float[Tensor, "H W 3"],
    guides: Guides,
    variance: Float[Tensor, "H W 1"] | None = None,
    options: DenoiseOptions | None = None,
) -> Float[Tensor, "H W 3"]:
    """Filter a picture of one kind of light. Differentiable in `noisy`, at fixed weights.

    Args:
        noisy: Linear, finite, without texture, straight (not premultiplied by coverage).
        guides: The surface.
        variance: Of each pixel's brightness (the mean of its channels), as its samples tell, of
            their mean; None: estimated from the neighbours on the same surface.
        options: Reach and stops.

    Returns:
        The same light with less noise; 0 where coverage is 0. Every pixel is a mean of pixels
        around it with weights >= 0: a constant stays what it is, nothing leaves the range.
    """
    options = options or DenoiseOptions()
    box = _covered_box(guides.coverage)
    if box is None:
        return torch.zeros_like(noisy)
    trust, surface = _planes(guides.coverage, box), _Surface.of(guides, box, options)
    values, result = _planes(noisy, box, detach=False), torch.zeros_like(noisy)
    with torch.no_grad():
        spread = _noise(values.detach(), trust, surface, variance, box)
    for level, along in itertools.product(range(options.iterations), (0, 1)):
        step = 2**level
        with torch.no_grad():
            weights = _weights(
                values.detach(), spread, trust, surface, along, step, options.deviations
            )
            total = _spread(trust, along, step, weights).clamp_min(1e-20)
            spread = _spread(trust**2 * spread, along, step, weights, power=2) / total**2
        values = _SelfAdjoint.apply(values * trust, along, step, *weights) / total
    rows, columns = box
    result[rows, columns] = (values * (trust > 0)).movedim(0, -1)
    return result


def demodulate(
    radiance: Float[Tensor, "*pixels 3"], reflectance: Float[Tensor, "*pixels 3"]
) -> Float[Tensor, "*pixels 3"]:
    """Light without the surface's colour; multiply by `floored(reflectance)` to put it back."""
    return radiance / floored(reflectance)


def floored(reflectance: Float[Tensor, "*pixels 3"]) -> Float[Tensor, "*pixels 3"]:
    """Reflectance that may be divided by."""
    return reflectance.clamp_min(1e-3)


def diffuse_reflectance(
    albedo: Float[Tensor, "P 3"], metallic: Float[Tensor, "P 1"]
) -> Float[Tensor, "P 3"]:
    """Share of diffuse light that the base sends back, but for the Fresnel term of each ray."""
    return albedo * (1.0 - metallic) * (1.0 - specular_f0(albedo, metallic))


def specular_reflectance(
    albedo: Float[Tensor, "P 3"],
    metallic: Float[Tensor, "P 1"],
    roughness: Float[Tensor, "P 1"],
    n_dot_v: Float[Tensor, "P 1"],
) -> Float[Tensor, "P 3"]:
    """What the surface mirrors of uniform light: the split sum's own factor. Differentiable."""
    table = environment_brdf(roughness, n_dot_v.clamp(MIN_COSINE, 1.0))
    return specular_f0(albedo, metallic) * table.scale + table.bias


_Box = tuple[slice, slice]


@dataclasses.dataclass(frozen=True)
class _Surface:
    """Guides in planes, scaled so that a distance of 1 weighs 1/e.

    Differences of pairs are products of stacked planes, |a - b|^2 / 2 = (|a|^2 + |b|^2) / 2 - a.b,
    and with planes n.x = d the sum of both distances off them is d_a - d_b + x_a.n_b - x_b.n_a.
    """

    look: Float[Tensor, "ch h w"]
    """Normal and material: half of the squared distance of two is their exponent."""
    size: Float[Tensor, "h w"]
    """Half of the squared length of `look`."""
    point: Float[Tensor, "6 h w"]
    """Position from the camera and normal."""
    plane: Float[Tensor, "6 h w"]
    """Normal and negated position."""
    offset: Float[Tensor, "h w"]
    """Of the tangent plane from the camera."""
    width: Float[Tensor, "h w"]
    """The allowed distance off a plane."""

    @classmethod
    def of(cls, guides: Guides, box: _Box, options: DenoiseOptions) -> "_Surface":
        normal, depth = _planes(guides.normal, box), _planes(guides.depth, box)
        position = depth * _planes(guides.rays, box)
        rays = guides.rays.detach()
        pixel = (rays[0, -1] - rays[0, 0]).norm() / max(1, rays.shape[1] - 1)
        look = [normal * options.normal_sharpness**0.5]
        if guides.albedo is not None:
            look.append(_planes(guides.albedo, box) * (2**0.5 / options.albedo))
        if guides.roughness is not None:
            look.append(_planes(guides.roughness, box) * (2**0.5 / options.roughness))
        stacked = torch.cat(look)
        return cls(
            look=stacked,
            size=0.5 * stacked.square().sum(0),
            point=torch.cat([position, normal]),
            plane=torch.cat([normal, -position]),
            offset=(normal * position).sum(0),
            width=(options.plane_px * pixel * depth[0]).clamp_min(1e-12),
        )

    def difference(self, here: _Box, there: _Box) -> Float[Tensor, "y x"]:
        """Of the surface at pairs of pixels: the exponent of their weight, negated."""
        a, b = (slice(None), *here), (slice(None), *there)
        off = (self.point[a] * self.plane[b]).sum(0)
        off.add_(self.offset[here]).sub_(self.offset[there])
        off.div_(self.width[here] + self.width[there]).abs_()
        off.add_(self.size[here]).add_(self.size[there])
        return off.sub_((self.look[a] * self.look[b]).sum(0))


def _weights(
    values: Float[Tensor, "3 h w"] | None,
    variance: Float[Tensor, "1 h w"] | None,
    trust: Float[Tensor, "1 h w"],
    surface: _Surface,
    along: int,
    step: int,
    deviations: float = 1.0,
) -> list[Float[Tensor, "_ _"]]:
    """Of the pairs of `_pairs`; without values, what the surface alone says."""
    brightness = slack = None
    if values is not None and variance is not None:
        brightness = values.mean(0)
        blurred = _blur(variance, trust, along)[0].sqrt_().mul_(deviations)
        slack = blurred.add_(brightness.abs(), alpha=_EXACT).add_(1e-12).mul_(0.5)
    found = []
    for distance, here, there in _pairs(trust.shape[1:], along, step):
        exponent = surface.difference(here, there)
        if brightness is not None and slack is not None:
            contrast = (brightness[here] - brightness[there]).abs_()
            exponent += contrast.div_(slack[here] + slack[there])
        found.append(exponent.neg_().exp_().mul_(_SPLINE[distance]))
    return found


def _noise(
    values: Float[Tensor, "3 h w"],
    trust: Float[Tensor, "1 h w"],
    surface: _Surface,
    variance: Float[Tensor, "H W 1"] | None,
    box: _Box,
) -> Float[Tensor, "1 h w"]:
    """Variance of brightness: as told, or about the mean of neighbours on the same surface."""
    if variance is not None:
        return _planes(variance, box).clamp_min(0.0)
    brightness = values.mean(0, keepdim=True)
    both = torch.cat([brightness, brightness.square(), torch.ones_like(brightness)]) * trust
    for along in (0, 1):
        both = _spread(both, along, 1, _weights(None, None, trust, surface, along, 1))
    first, second, total = both.split(1)
    total = total.clamp_min(1e-20)
    return (second / total - (first / total).square()).clamp_min(0.0)


def _blur(
    values: Float[Tensor, "1 h w"], trust: Float[Tensor, "1 h w"], along: int
) -> Float[Tensor, "1 h w"]:
    """Mean over neighbours along the axis: few samples tell little of their own variance."""
    both = torch.cat([values * trust, trust])
    total = both.clone()
    for distance, here, there in _pairs(both.shape[1:], along, 1):
        if distance == 1:
            a, b = (slice(None), *here), (slice(None), *there)
            total[a] += both[b]
            total[b] += both[a]
    return total[:1] / total[1:].clamp_min(1e-20)


class _SelfAdjoint(torch.autograd.Function):
    """`_spread`, which is symmetric: its transpose is itself."""

    @staticmethod
    def forward(ctx, values: Tensor, along: int, step: int, *weights: Tensor) -> Tensor:
        ctx.grid = along, step
        ctx.save_for_backward(*weights)
        return _spread(values, along, step, weights)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, (along, step) = ctx.saved_tensors, ctx.grid
        way_back = _spread(gradients[0], along, step, weights)
        return way_back, None, None, *(None for _ in weights)


def _spread(
    values: Float[Tensor, "ch h w"],
    along: int,
    step: int,
    weights: Sequence[Float[Tensor, "_ _"]],
    power: int = 1,
) -> Float[Tensor, "ch h w"]:
    """Sum over each pixel's five taps of weight^power times value."""
    total = values * _SPLINE[0] ** power
    pairs = _pairs(values.shape[1:], along, step)
    for (_, here, there), weight in zip(pairs, weights, strict=True):
        a, b = (slice(None), *here), (slice(None), *there)
        factor = weight if power == 1 else weight**power
        total[a].addcmul_(values[b], factor)
        total[b].addcmul_(values[a], factor)
    return total


def _pairs(shape: torch.Size, along: int, step: int) -> Iterator[tuple[int, _Box, _Box]]:
    """(distance in steps, pixels, their neighbours so far along the axis)."""
    every = slice(None)
    for distance in (1, 2):
        size, offset = shape[along], distance * step
        if offset < size:
            a, b = slice(0, size - offset), slice(offset, size)
            here, there = ((a, every), (b, every)) if along == 0 else ((every, a), (every, b))
            yield distance, here, there


def _planes(image: Float[Tensor, "H W ch"], box: _Box, detach: bool = True) -> Tensor:
    """The inside of the box as [ch, h, w], contiguous: vector code runs along rows."""
    inside = image[box[0], box[1]].movedim(-1, 0)
    return (inside.detach() if detach else inside).contiguous()


def _covered_box(coverage: Float[Tensor, "H W 1"]) -> _Box | None:
    covered = coverage[..., 0] > 0
    rows, columns = covered.any(1).nonzero(), covered.any(0).nonzero()
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
