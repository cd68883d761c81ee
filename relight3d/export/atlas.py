"""A place in a square texture for every triangle: charts cut and flattened by xatlas.

The method is that of thekla_atlas (Castano): charts grow over faces of like normals, are flattened
by least squares conformal maps (Levy et al. 2002), and packed as bitmaps, so that none overlap.
"""

import dataclasses
import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.core.errors import OutputError
from relight3d.core.surface import Mesh

TEXELS_PER_DETAIL = 25
"""Texels that a triangle, or a splat, gets on average: five by five."""
FILLED = 0.6
"""Share of the texture that charts cover, about: xatlas reaches 0.58 to 0.68 on rough surfaces."""
SIZES_PX = (256, 512, 1024, 2048, 4096)
PADDING_PX = 6
"""Between charts, before the atlas is scaled to its square (by 0.7 to 1)."""
CHARTS_AT_LEAST = 60
"""No chart is larger than this fraction of the surface. Growing charts costs the square of their
size: 60,000 noisy triangles take a fifth of the time that unlimited charts take."""


@dataclasses.dataclass(frozen=True)
class Atlas:
    """A mesh whose vertices are cut apart along the borders of charts."""

    vertex: Int[Tensor, " W"]
    """Which vertex of the mesh each one is."""
    faces: Int[Tensor, "F 3"]
    """Corners as rows of `vertex`; triangles keep their order and winding."""
    uv: Float[Tensor, "W 2"]
    """In [0, 1]; v runs down, as glTF's: (0, 0) is the upper left corner of the texture."""
    size_px: int
    """Edge of the texture that the padding was made for."""


def triangle_areas(mesh: Mesh) -> Float[Tensor, " F"]:
    """In square world units."""
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return 0.5 * torch.cross(b - a, c - a, dim=-1).norm(dim=-1)


def triangles_at_edges(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "F 3"]:
    """How many triangles share the edge from each corner to the next: 1 on a rim."""
    low, high = torch.stack([faces, faces.roll(-1, 1)], -1).sort(-1).values.unbind(-1)
    key = low * (int(faces.max()) + 1) + high
    _, which, counts = key.unique(return_inverse=True, return_counts=True)
    return counts[which]


def texture_size(details: int) -> int:
    """The smallest edge in pixels, a power of two, that gives every detail its texels.

    Args:
        details: Number of triangles or of splats, whichever is larger.
    """
    wanted = math.sqrt(details * TEXELS_PER_DETAIL / FILLED)
    return next((size for size in SIZES_PX if size >= wanted), SIZES_PX[-1])


def unwrap(mesh: Mesh, size_px: int) -> Atlas:
    """Cut a mesh into charts and pack them into a square. Deterministic.

    Args:
        mesh: At least one triangle; every triangle has an area.
        size_px: Edge of the texture.

    Raises:
        OutputError: The triangles cannot be laid out in one texture.
    """
    import xatlas

    atlas = xatlas.Atlas()
    vertices = np.ascontiguousarray(mesh.vertices.detach().cpu().numpy(), np.float32)
    atlas.add_mesh(vertices, np.ascontiguousarray(mesh.faces.cpu().numpy(), np.uint32))
    charts, pack = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_chart_area = float(triangle_areas(mesh).sum()) / CHARTS_AT_LEAST
    pack.resolution, pack.padding, pack.bilinear = size_px, PADDING_PX, True
    atlas.generate(charts, pack)
    if atlas.atlas_count != 1:
        raise OutputError(
            f"The {len(mesh):,} triangles of the surface do not fit into one texture of {size_px} "
            "pixels. Fuse a coarser surface (a larger voxel)."
        )
    vertex, faces, uv = atlas[0]
    longer = max(atlas.width, atlas.height)
    square = uv.astype(np.float64) * [atlas.width / longer, atlas.height / longer]
    return Atlas(
        vertex=torch.from_numpy(vertex.astype(np.int64)),
        faces=torch.from_numpy(faces.astype(np.int64)),
        uv=torch.from_numpy(square.clip(0.0, 1.0).astype(np.float32)),
        size_px=size_px,
    )
