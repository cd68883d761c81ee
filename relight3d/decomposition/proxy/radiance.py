"""The light that left each vertex toward the cameras, by the fitted radiance field."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.decomposition.proxy.views import SurfaceView

SEEN_VOXELS = 3.0
"""A vertex this near the plane drawn in its pixel is what that pixel shows."""
LEAST_COSINE = 0.15
"""Seen flatter than this, a vertex's pixel shows its surroundings as well."""
MOST_ROUNDS = 400
"""Of spreading colour from vertex to vertex: more than any unseen underside is wide."""


def vertex_radiance(
    vertices: Float[Tensor, "V 3"],
    normals: Float[Tensor, "V 3"],
    views: Sequence[SurfaceView],
    voxel: float,
) -> tuple[Float[Tensor, "V 3"], Float[Tensor, "V 1"]]:
    """Mean linear radiance toward the views that see each vertex, and how many do.

    A view sees a vertex that faces it and lies next to the plane drawn in its pixel. Views count by
    the cosine at which they see it, and by alpha; 0 where none does.

    Args:
        vertices: Of the proxy.
        normals: Unit, outward.
        views: From `draw_views`.
        voxel: World units.
    """
    total, weights = torch.zeros_like(vertices), torch.zeros_like(vertices[:, :1])
    count, points = torch.zeros_like(weights), vertices.t().contiguous()
    for view in views:
        at = view.look_up(points)
        cosine = -(normals.t() * at.offset).sum(0) / at.offset.norm(dim=0)
        near = (at.along - at.plane).abs() < SEEN_VOXELS * voxel
        seen = (near & at.framed & (at.trust > 0) & (cosine > LEAST_COSINE)).to(vertices)
        weight = (cosine * at.trust * seen)[:, None]
        total += weight * view.radiance_linear[:, at.pixel].t()
        weights += weight
        count += seen[:, None]
    return total / weights.clamp_min(1e-9), count


def spread_to_unseen(
    values: Float[Tensor, "V ch"], known: Float[Tensor, "V 1"], faces: Int[Tensor, "F 3"]
) -> Float[Tensor, "V ch"]:
    """Give vertices without a value the mean of the neighbours that have one, ring by ring."""
    start = torch.cat([faces[:, [0, 1, 2]].flatten(), faces[:, [1, 2, 0]].flatten()])
    end = torch.cat([faces[:, [1, 2, 0]].flatten(), faces[:, [0, 1, 2]].flatten()])
    known = (known > 0).to(values)
    values = values * known
    for _ in range(MOST_ROUNDS):
        if bool(known.all()):
            break
        border = (known[start, 0] > 0) & (known[end, 0] == 0)
        if not bool(border.any()):
            break
        total = torch.zeros_like(values).index_add_(0, end[border], values[start[border]])
        count = torch.zeros_like(known).index_add_(0, end[border], known[start[border]])
        values = torch.where((known == 0) & (count > 0), total / count.clamp_min(1.0), values)
        known = torch.maximum(known, (count > 0).to(known))
    return values
