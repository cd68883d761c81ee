"""Sums over a point's rays of what the glTF BRDF does to their light, with a backward by hand.

Of `brdf.evaluate` only scalars differ from ray to ray: the cosine c, the lobe D V and Schlick's
weight w. With E = radiance / density per ray, all that albedo and metallic need is

    base = sum c (1 - w) E,    facing = sum c D V (1 - w) E,    grazing = sum c D V w E

and reflected light is (albedo (1 - metallic) / pi) (1 - f0) base, and f0 facing + grazing. Rays are
worked through in blocks that fit a processor's cache; nothing of [P, S, 3] is kept but the inputs.
"""

from math import pi
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from relight3d.shading.brdf import MIN_COSINE, MIN_ROUGHNESS
from relight3d.shading.montecarlo.planes import TINY, dot

_BLOCK_RAYS = 1 << 16
"""How many rays are worked on at once: fewer, and the calls cost more than the work; many more,
and memory does."""


def lobe_sums(
    normal: Float[Tensor, "P 3"],
    roughness: Float[Tensor, "P 1"],
    view: Float[Tensor, "P 3"],
    directions: Float[Tensor, "P S 3"],
    weight: Float[Tensor, "P S"],
    incoming: Float[Tensor, "P S 3"],
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """(base, facing, grazing) of the module's formulas.

    Args:
        normal: Unit.
        roughness: Perceptual; taken as at least `MIN_ROUGHNESS`.
        view: Unit, toward the camera; one below the surface is treated as grazing.
        directions: Unit, toward the light; those below the surface count nothing.
        weight: 1 / density, or 0 for rays that do not count.
        incoming: Linear radiance along each ray.

    Returns:
        Differentiable, once, in normal, roughness and incoming.
    """
    alpha2 = roughness[:, 0].clamp_min(MIN_ROUGHNESS) ** 4
    n_dot_v = dot(normal, view).clamp(MIN_COSINE, 1.0)
    sums = _LobeSums.apply(normal, n_dot_v, alpha2, view, directions, weight, incoming)
    base, facing, grazing = sums  # pyright: ignore[reportGeneralTypeIssues]
    return base, facing, grazing


class _Block:
    """The scalars of some points' rays: rows are rays, columns points."""

    def __init__(
        self,
        normal: Float[Tensor, "3 p"],
        n_dot_v: Float[Tensor, " p"],
        alpha2: Float[Tensor, " p"],
        view: Float[Tensor, "3 p"],
        light: Float[Tensor, "3 S p"],
        weight: Float[Tensor, "S p"],
    ):
        self.n_dot_v, self.alpha2, self.rest = n_dot_v, alpha2, 1.0 - alpha2
        half = [to_view + to_light for to_view, to_light in zip(view, light, strict=True)]
        squared = _dot(half, half).clamp_min_(TINY)
        inverse = squared.rsqrt()
        self.half = [h.mul_(inverse) for h in half]
        away = squared.mul_(inverse).mul_(-0.5).add_(1.0)  # 1 - v.h, as v.h = |v + l| / 2
        fourth = away.square().square_()
        self.schlick = fourth.mul_(away)
        self.signed_cosine = _dot(normal, light)
        self.cosine = self.signed_cosine.clamp(MIN_COSINE, 1.0)
        self.weight = weight * (self.signed_cosine > 0.0)
        chord = [n - h for n, h in zip(normal, self.half, strict=True)]
        self.chord2 = _dot(chord, chord)
        self.sine2 = torch.addcmul(self.chord2, self.chord2, self.chord2, value=-0.25)
        self.sine2.masked_fill_(self.chord2 >= 2.0, 1.0)
        self.spread = torch.addcmul(alpha2, self.sine2, self.rest)
        self.sqrt_l = torch.addcmul(alpha2, self.cosine.square(), self.rest).sqrt_()
        self.sqrt_v = torch.addcmul(alpha2, n_dot_v.square(), self.rest).sqrt_()
        paths = torch.addcmul(n_dot_v * self.sqrt_l, self.cosine, self.sqrt_v)
        self.smith = paths.reciprocal_().mul_(0.5)
        self.lobe = self.spread.square().reciprocal_().mul_(alpha2 / pi).mul_(self.smith)

    def factors(self) -> tuple[Float[Tensor, "S p"], Float[Tensor, "S p"], Float[Tensor, "S p"]]:
        """What multiplies each ray's radiance in the three sums."""
        whole = self.weight * self.cosine
        grazing = whole * self.schlick
        base = whole - grazing
        return base, base * self.lobe, grazing.mul_(self.lobe)

    def gradients(
        self, base: Tensor, facing: Tensor, grazing: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """From those of the factors to those of n.l, squared chord, n.v and alpha^2 [S, p]."""
        weight, lobe, cosine, n_dot_v = self.weight, self.lobe, self.cosine, self.n_dot_v
        mean = torch.lerp(facing, grazing, self.schlick).mul_(lobe)  # of the lobe, times it
        by_cosine = torch.addcmul(mean, base, 1.0 - self.schlick).mul_(weight)
        by_log = mean.mul_(weight).mul_(cosine)
        by_smith = (by_log * self.smith).mul_(-2.0)
        steep_l, steep_v = self.rest / self.sqrt_l, self.rest / self.sqrt_v
        by_cosine.addcmul_(by_smith, torch.addcmul(self.sqrt_v, n_dot_v * cosine, steep_l))
        inside = (self.signed_cosine > MIN_COSINE) & (self.signed_cosine < 1.0)
        by_cosine.mul_(inside)
        by_n_dot_v = torch.addcmul(self.sqrt_l, cosine, n_dot_v * steep_v).mul_(by_smith)
        by_spread = by_log / self.spread
        by_chord2 = (by_spread * self.rest).mul_(torch.rsub(self.chord2, 2.0)).neg_()
        by_chord2.mul_(self.chord2 < 2.0)
        shadow_l = n_dot_v * (1.0 - cosine.square()).div_(self.sqrt_l)
        shadow_v = cosine * ((1.0 - n_dot_v.square()) / self.sqrt_v)
        by_alpha2 = by_log / self.alpha2
        by_alpha2.addcmul_(by_spread, 1.0 - self.sine2, value=-2.0)
        by_alpha2.addcmul_(by_smith, shadow_l.add_(shadow_v), value=0.5)
        return by_cosine, by_chord2, by_n_dot_v, by_alpha2


class _LobeSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, normal, n_dot_v, alpha2, view, directions, weight, incoming):
        ctx.save_for_backward(normal, n_dot_v, alpha2, view, directions, weight, incoming)
        points = len(normal)
        sums = incoming.new_empty(3, 3, points)
        inputs = _planes(normal, view, directions, weight, incoming)
        for some in _blocks(directions):
            block, light = _block(inputs, n_dot_v, alpha2, some)
            for row, factor in enumerate(block.factors()):
                for channel in range(3):
                    torch.sum(factor * light[channel], 0, out=sums[row, channel, some])
        base, facing, grazing = sums.transpose(1, 2)
        return base, facing, grazing

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        normal, n_dot_v, alpha2, view, directions, weight, incoming = ctx.saved_tensors
        of_surface, of_light = any(ctx.needs_input_grad[:3]), ctx.needs_input_grad[6]
        inputs = _planes(normal, view, directions, weight, incoming)
        by_sums = torch.stack([c.t() for c in cotangents])
        by_light = torch.empty_like(inputs[4]) if of_light else None
        by_normal, by_view, by_alpha2 = (
            torch.empty_like(plane) for plane in (inputs[0], n_dot_v, alpha2)
        )
        for some in _blocks(directions):
            block, light = _block(inputs, n_dot_v, alpha2, some)
            pulled = by_sums[:, :, some]
            if by_light is not None:
                factors = block.factors()
                for channel in range(3):
                    target = by_light[channel, :, some]
                    torch.mul(factors[0], pulled[0, channel], out=target)
                    target.addcmul_(factors[1], pulled[1, channel])
                    target.addcmul_(factors[2], pulled[2, channel])
            if of_surface:
                of_factors = (_dot(light, pulled[row]) for row in range(3))
                by_cosine, by_chord2, by_nv, by_a2 = block.gradients(*of_factors)
                torch.sum(by_nv, 0, out=by_view[some])
                torch.sum(by_a2, 0, out=by_alpha2[some])
                twice, toward = by_chord2.mul_(2.0), inputs[2][:, :, some]
                along_normal = twice.sum(0)
                for axis in range(3):
                    pull = (by_cosine * toward[axis]).addcmul_(twice, block.half[axis], value=-1.0)
                    torch.add(
                        pull.sum(0), along_normal * inputs[0][axis, some],
                        out=by_normal[axis, some],
                    )  # fmt: skip
        surface = (by_normal.t(), by_view, by_alpha2) if of_surface else (None, None, None)
        light_back = None if by_light is None else by_light.permute(2, 1, 0)
        return *surface, None, None, None, light_back


def _planes(normal, view, directions, weight, incoming) -> tuple[Tensor, ...]:
    """The same, channels first, then rays, then points; copies only of what lies otherwise."""
    per_point = (normal.t().contiguous(), view.t().contiguous())
    per_ray = (directions.permute(2, 1, 0).contiguous(), weight.t().contiguous())
    return *per_point, *per_ray, incoming.permute(2, 1, 0).contiguous()


def _block(
    inputs: tuple[Tensor, ...], n_dot_v: Tensor, alpha2: Tensor, some: slice
) -> tuple[_Block, Tensor]:
    """The scalars of some points, and their rays' radiance."""
    normal, view, directions, weight, incoming = inputs
    block = _Block(
        normal[:, some], n_dot_v[some], alpha2[some], view[:, some], directions[:, :, some],
        weight[:, some],
    )  # fmt: skip
    return block, incoming[:, :, some]


def _blocks(directions: Float[Tensor, "P S 3"]) -> list[slice]:
    points, rays, _ = directions.shape
    size = max(1, _BLOCK_RAYS // max(1, rays)) if directions.device.type == "cpu" else points
    return [slice(start, start + size) for start in range(0, points, max(1, size))]


def _dot(a, b) -> Tensor:
    """Of coordinates in sequences."""
    return (a[0] * b[0]).addcmul_(a[1], b[1]).addcmul_(a[2], b[2])
