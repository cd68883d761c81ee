"""Fitted splats and the cameras of their photos to the proxy mesh."""

from collections.abc import Sequence

import torch

from relight3d.backends.interface import Rasterizer
from relight3d.core.errors import SurfaceError
from relight3d.core.surface import Proxy
from relight3d.core.types import Cameras, Splats
from relight3d.decomposition.proxy.config import ProxyConfig
from relight3d.decomposition.proxy.extract import extract
from relight3d.decomposition.proxy.radiance import spread_to_unseen, vertex_radiance
from relight3d.decomposition.proxy.silhouettes import silhouette_offset
from relight3d.decomposition.proxy.topology import pieces_with
from relight3d.decomposition.proxy.tsdf import fuse_volume
from relight3d.decomposition.proxy.views import draw_views
from relight3d.decomposition.scope import Scope


@torch.no_grad()
def build_proxy(
    splats: Splats,
    cameras: Sequence[Cameras],
    *,
    rasterize: Rasterizer,
    scope: Scope,
    config: ProxyConfig,
) -> Proxy:
    """The surface of fitted splats as triangles, with the light that left it under the photos.

    Deterministic, and not differentiable. What no view saw is closed by the visual hull.

    Args:
        splats: Fitted planar Gaussians with their radiance field.
        cameras: Of the training photos, one camera each.
        rasterize: Any backend.
        scope: What lies outside is left away.
        config: Resolution and budgets.

    Returns:
        A proxy without materials. Where no view saw a vertex, `views` is 0 and its radiance is
        spread from its neighbours.

    Raises:
        SurfaceError: The views show no surface.
    """
    views = draw_views(
        splats, cameras, rasterize=rasterize, max_views=config.max_views, view_px=config.view_px
    )
    volume = fuse_volume(
        views,
        scope,
        resolution=config.resolution,
        coarse_resolution=config.coarse_resolution,
        truncation_voxels=config.truncation_voxels,
    )
    # Without masks, rims of what is not drawn are no silhouettes: black things may be left away.
    masked = scope.sphere is None
    offset = silhouette_offset(volume, views) if config.fit_silhouettes and masked else 0.0
    mesh = extract(
        volume,
        level=offset,
        floater_share=config.floater_share,
        smoothing=config.smoothing,
        triangles=config.triangles,
    )
    normals, voxel = mesh.vertex_normals(), volume.grid.voxel
    radiance, count = vertex_radiance(mesh.vertices, normals, views, voxel)
    if not (count > 0).any():
        raise SurfaceError(
            "A mesh was asked of the splats' surface, but no view sees any of what was made: the "
            "views do not agree where it is. Light cannot be traced without. Fit the photos with "
            "more steps (field.steps), and look whether the poses are right."
        )
    mesh, rows = pieces_with(mesh, count[:, 0] > 0)
    normals, radiance, count = normals[rows], radiance[rows], count[rows]
    radiance = spread_to_unseen(radiance, count, mesh.faces)
    return Proxy(mesh, normals, radiance, count, voxel)
