"""Which side of a splat is its outside, and whether its back is ever seen.

Splats are blended over a few pixels, so at the rim of a closed body those from just behind the
horizon shine through. Turned to the camera like the others, their normals point the wrong way, and
rims are shaded as if they leaned inward. What the photos show settles it: the skin of a body is
seen from one side alone, a leaf or a sheet of paper from both.
"""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core.types import Cameras, Gaussians, Materials
from relight3d.decomposition.gbuffer import MIN_CONTRIBUTION_PX, contributions

SHEET_SHARE = 0.4
"""Share of appearances from behind at which a splat fully counts as a sheet."""
OPEN_SKY_PX = 1.0
"""A splat that the photos hardly show faces the open sky: that guess counts as so many pixels."""
NEEDLE_FLOOR = 0.05
"""What the thinnest needle still counts, of a disc's 1."""
BACK_FLOOR = 0.02
"""What the back of a closed surface still counts: where nothing else is seen, it must do."""


@dataclasses.dataclass(frozen=True)
class Sides:
    """How N splats were seen."""

    outward: Float[Tensor, "N 3"]
    """Their axes, turned to the side that the cameras see more of."""
    double_sided: Float[Tensor, "N 1"]
    """1 for sheets, `BACK_FLOOR` for the skin of closed bodies."""
    rows_of_view: list[Int[Tensor, " _"]]
    """Per camera, the splats that its picture really shows."""


def seen_sides(
    gaussians: Gaussians,
    axes: Float[Tensor, "N 3"],
    cameras: Sequence[Cameras],
    to_sky: Float[Tensor, "N 3"],
    *,
    rasterize: Rasterizer,
) -> Sides:
    """Sum up, over the cameras of the photos, how much of each splat was seen from either side.

    Args:
        gaussians: The splats.
        axes: Their thin axes, of arbitrary sign.
        cameras: One camera each.
        to_sky: Their axes, turned to where more of the sky is open.
        rasterize: Any backend.
    """
    front, back = torch.zeros_like(axes[:, :1]), torch.zeros_like(axes[:, :1])
    rows_of_view = []
    for camera in cameras:
        weights = contributions(rasterize, gaussians, camera)
        rows_of_view.append((weights > MIN_CONTRIBUTION_PX).nonzero()[:, 0])
        behind = sees_back(axes, gaussians.means, camera.centers[0])
        front += weights[:, None].where(~behind, 0.0)
        back += weights[:, None].where(behind, 0.0)
    guess = OPEN_SKY_PX * (axes * to_sky).sum(-1, keepdim=True)
    outward = torch.where(front - back + guess < 0, -axes, axes)
    share = torch.minimum(front, back) / (front + back).clamp_min(1e-12)
    return Sides(outward, (share / SHEET_SHARE).square().clamp(BACK_FLOOR, 1.0), rows_of_view)


def sees_back(
    outward: Float[Tensor, "n 3"], means: Float[Tensor, "n 3"], center: Float[Tensor, "3"]
) -> Bool[Tensor, "n 1"]:
    """Whether a camera at `center` is behind each splat."""
    return ((center - means) * outward).sum(-1, keepdim=True) < 0


def surface_weight(
    materials: Materials, gaussians: Gaussians, center: Float[Tensor, "3"]
) -> Float[Tensor, "n 1"]:
    """How much each splat's surface counts in a picture taken from `center`.

    Less from behind; and less for needles, whose normals may be anywhere around their long axis.
    """
    axes = gaussians.scales[:, :2]
    roundness = (axes.amin(-1, keepdim=True) / axes.amax(-1, keepdim=True).clamp_min(1e-12)).sqrt()
    behind = sees_back(materials.normals, gaussians.means, center)
    weight = roundness.clamp_min(NEEDLE_FLOOR) * torch.where(behind, materials.double_sided, 1.0)
    return weight.detach()
