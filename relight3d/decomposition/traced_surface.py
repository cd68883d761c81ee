"""The surface behind a view's pixels as rays meet it: splats say how it looks, the mesh where."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.backends.tracing.interface import Tracer
from relight3d.core.surface import Proxy, interpolate
from relight3d.decomposition.gbuffer import Drawn, unit
from relight3d.decomposition.lit_view import depth_of
from relight3d.shading.montecarlo.estimator import SurfacePoints

SNAP_VOXELS = 3.0
"""Splats this far before the mesh are on their own; nearer, or behind it, they are on it."""
MESH_SHARE = 1.0 / 3.0
"""Of the shading normal: splats tell detail, and wobble; fused from all views, the mesh does not.
They err apart, so that their mean is nearer to the truth than either."""
LIFT_SNAPPED, LIFT_FREE = 0.5, 1.5
"""Voxels above the surface where rays start: of points on the mesh, and of those that are not."""


def surface_points(
    drawn: Drawn,
    center: Float[Tensor, "3"],
    proxy: Proxy,
    tracer: Tracer,
    rows: Int[Tensor, " P"] | None = None,
) -> SurfacePoints:
    """Covered pixels as points that light falls on, lifted off the surface that is traced.

    Differentiable in the drawn normal, albedo, roughness and metallic; places are fixed.

    Args:
        drawn: With the channels of `physics.channels_of` and the plain ones 'plane_normal' and
            'plane_distance'.
        center: Of the camera.
        proxy: What is traced.
        tracer: Of its mesh.
        rows: Which of the covered pixels; None: all.
    """

    def chosen(values: Float[Tensor, "C ch"]) -> Float[Tensor, "P ch"]:
        return values if rows is None else values.index_select(0, rows)

    view = chosen(drawn.view_directions())
    position, geometric = place(drawn, center, proxy, tracer, view, chosen)
    shown = unit(chosen(drawn.at_covered("normal")), 1e-6)
    return SurfacePoints(
        position=position,
        normal=unit(torch.lerp(shown, geometric, MESH_SHARE), 1e-6),
        geometric_normal=geometric,
        view=view,
        albedo=chosen(drawn.at_covered("albedo")).clamp(0.0, 1.0),
        roughness=chosen(drawn.at_covered("roughness")).clamp(0.0, 1.0),
        metallic=chosen(drawn.at_covered("metallic")).clamp(0.0, 1.0),
    )


@torch.no_grad()
def place(
    drawn: Drawn,
    center: Float[Tensor, "3"],
    proxy: Proxy,
    tracer: Tracer,
    view: Float[Tensor, "P 3"],
    chosen: Callable[[Float[Tensor, "C ch"]], Float[Tensor, "P ch"]],
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Where rays start, and the geometric normal there, on the viewer's side."""
    depth = chosen(drawn.pick(depth_of(drawn)))
    along = (depth * chosen(drawn.pick(drawn.rays))).norm(dim=-1)
    planes = unit(chosen(drawn.at_covered("plane_normal")), 1e-6)
    hits = tracer.hit(center.expand_as(view).contiguous(), -view.contiguous())
    # At outlines depth is a mean of near and far, which may lie inside the body: not free.
    on_mesh = (hits.triangle >= 0) & (along > hits.distance - SNAP_VOXELS * proxy.voxel)
    index = on_mesh.nonzero()[:, 0]
    weights = hits.triangle[index].long(), hits.barycentrics[index].to(view)
    smooth = interpolate(proxy.normals.to(view), proxy.mesh.faces, *weights)
    away = (smooth * view[index]).sum(-1, keepdim=True) < 0
    geometric = planes.index_copy(0, index, unit(torch.where(away, -smooth, smooth), 1e-6))
    distance = torch.where(on_mesh, hits.distance.to(along), along)[:, None]
    lift = proxy.voxel * torch.where(on_mesh, LIFT_SNAPPED, LIFT_FREE)[:, None]
    return center - distance * view + lift * geometric, geometric
