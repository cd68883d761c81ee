"""A signed distance to triangles: marching cubes, floaters off, smoothed, reduced, checked."""

import numpy as np
import torch

from relight3d.core.errors import SurfaceError
from relight3d.core.surface import Mesh
from relight3d.decomposition.proxy.topology import (
    Faces,
    Vertices,
    adjacency,
    areas,
    compact,
    labels,
    mended,
    volumes,
)
from relight3d.decomposition.proxy.tsdf import Volume

SHRINK, GROW = 0.5, -0.53
"""Steps of a round of Taubin smoothing ("A Signal Processing Approach to Fair Surface Design",
1995): what the first takes from low frequencies, the second gives back."""


def extract(
    volume: Volume, *, level: float = 0.0, floater_share: float, smoothing: int, triangles: int
) -> Mesh:
    """The surface where the distance changes its sign, facing outward.

    Args:
        volume: What lies beyond its box counts as outside.
        floater_share: Pieces with a smaller share of the largest one's area are removed, and so
            are the walls of cavities, which nothing outside ever sees.
        smoothing: Rounds of Taubin smoothing.
        triangles: Most triangles of the result, but for the few that close what reducing broke.
        level: Distance at which the surface is taken, world units.

    Raises:
        SurfaceError: The distance nowhere changes its sign.
    """
    vertices, faces = march(volume, level)
    vertices, faces = without_floaters(vertices, faces, floater_share)
    vertices = smoothed(vertices, faces, smoothing)
    vertices, faces = reduced(vertices, faces, triangles)
    origin, device = volume.grid.origin, volume.distance.device
    world = torch.from_numpy(vertices).to(device) * volume.grid.voxel + origin.double()
    return Mesh(world.to(volume.distance.dtype), torch.from_numpy(faces).to(device).long())


def march(volume: Volume, level: float = 0.0) -> tuple[Vertices, Faces]:
    """Marching cubes (Lewiner et al., 2003), in voxels from the grid's lower corner.

    Raises:
        SurfaceError: The distance nowhere changes its sign.
    """
    from skimage.measure import marching_cubes

    distance = volume.distance.float().cpu().numpy() - level
    outside = float(max(np.abs(distance).max(initial=0.0), 1e-12))
    padded = np.pad(distance, 1, constant_values=outside)
    if not (padded < 0).any():
        raise SurfaceError(
            "A mesh was asked of the splats' surface, but no voxel lies inside it: what the views "
            "show as near is seen through by others. Light cannot be traced without. Fit the "
            "photos with more steps (field.steps), and look whether poses and masks are right."
        )
    # A vertex on a grid point belongs to several cells, whose triangles there have no area.
    padded = np.where(np.abs(padded) < 1e-4 * outside, 1e-4 * outside, padded)
    vertices, faces, _, _ = marching_cubes(
        padded, 0.0, gradient_direction="descent", allow_degenerate=False
    )
    return vertices.astype(np.float64) - 0.5, faces.astype(np.int64)


def without_floaters(vertices: Vertices, faces: Faces, share: float) -> tuple[Vertices, Faces]:
    """The pieces that are bodies of some size."""
    piece = labels(faces, len(vertices))[faces[:, 0]]
    area = np.bincount(piece, areas(vertices, faces))
    solid = np.bincount(piece, volumes(vertices, faces)) > 0
    kept = solid & (area >= share * area[solid].max(initial=0.0))
    return compact(vertices, faces, kept[piece])


def smoothed(vertices: Vertices, faces: Faces, rounds: int) -> Vertices:
    """Taubin's smoothing with uniform weights."""
    joined = adjacency(faces, len(vertices))
    joined = ((joined + joined.T) > 0).astype(np.float64)
    degree = np.maximum(np.diff(joined.indptr), 1)[:, None]
    for _ in range(rounds):
        for step in (SHRINK, GROW):
            vertices = vertices + step * (joined @ vertices / degree - vertices)
    return vertices


def reduced(vertices: Vertices, faces: Faces, triangles: int) -> tuple[Vertices, Faces]:
    """At most so many triangles, by quadric error (Garland & Heckbert, 1997), and mended."""
    if len(faces) > triangles:
        from fast_simplification import simplify

        result = simplify(vertices, faces.astype(np.int32), target_count=triangles)
        vertices, faces = result[0].astype(np.float64), result[1].astype(np.int64)
    return mended(vertices, faces)
