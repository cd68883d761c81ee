"""Light known by samples: its estimate, and what the estimate's two halves say of its noise."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.shading.montecarlo.estimator import Rays, SampleCounts, SurfacePoints, gather


@dataclasses.dataclass(frozen=True)
class LightBySamples:
    """Reflected light of P points."""

    radiance: Float[Tensor, "P 3"]
    difference: Float[Tensor, "P 3"]
    """Of the sums over either half of the samples: its square is an unbiased estimate, of one
    degree of freedom, of the radiance's variance, as far as the halves are independent."""

    @classmethod
    def joined(cls, parts: Sequence["LightBySamples"]) -> "LightBySamples":
        """Of all parts' points."""
        return cls(
            torch.cat([part.radiance for part in parts]),
            torch.cat([part.difference for part in parts]),
        )


def gather_with_noise(
    points: SurfacePoints, rays: Rays, incoming: Float[Tensor, "P S 3"], counts: SampleCounts
) -> tuple[LightBySamples, LightBySamples]:
    """`estimator.gather` as (diffuse, specular), with the noise of both.

    Halves are the earlier and the later samples of each strategy, which fill its square as evenly
    as the whole does. Where a count is odd, the halves differ by more than noise.
    """
    first: list[int] = []
    second: list[int] = []
    start = 0
    for count in (counts.cosine, counts.ggx, counts.light):
        first += range(start, start + count // 2)
        second += range(start + count // 2, start + count)
        start += count
    halves = [gather(points, *_some(rays, incoming, which)) for which in (first, second)]
    diffuse, specular = (
        LightBySamples(one + other, one - other) for one, other in zip(*halves, strict=True)
    )
    return diffuse, specular


def _some(
    rays: Rays, incoming: Float[Tensor, "P S 3"], which: list[int]
) -> tuple[Rays, Float[Tensor, "P s 3"]]:
    index = torch.tensor(which, dtype=torch.long, device=incoming.device)

    def chosen(values: Tensor) -> Tensor:
        """Along the rays, rays before points in memory."""
        planes = values.movedim((1, 0), (-2, -1)).index_select(-2, index)
        return planes.movedim((-2, -1), (1, 0))

    some = Rays(**{name: chosen(values) for name, values in vars(rays).items()})
    return some, chosen(incoming)
