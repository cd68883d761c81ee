"""Surfaces as triangles: what carries light transport, and what leaves as a mesh.

Splats are seen, a mesh is hit: visibility and bounced light are asked of a proxy mesh, for which
every machine has a fast tracer. Shape letters: V vertices, F triangles, R rays.
"""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles in the capture's frame."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    """Corners, counter-clockwise seen from outside."""

    def __len__(self) -> int:
        """Number of triangles."""
        return self.faces.shape[0]

    def face_normals(self, rows: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n 3"]:
        """Unit normals of some triangles, or of all, outward; 0 for those without area."""
        faces = self.faces if rows is None else self.faces[rows]
        a, b, c = self.vertices[faces].unbind(1)
        return torch.nn.functional.normalize(torch.cross(b - a, c - a, dim=-1), dim=-1, eps=1e-20)

    def vertex_normals(self) -> Float[Tensor, "V 3"]:
        """Unit normals of the vertices, the mean of their triangles' by area; 0 for loose ones."""
        a, b, c = self.vertices[self.faces].unbind(1)
        weighted = torch.cross(b - a, c - a, dim=-1)
        total = torch.zeros_like(self.vertices)
        total = total.index_add(0, self.faces.flatten(), weighted.repeat_interleave(3, 0))
        return torch.nn.functional.normalize(total, dim=-1, eps=1e-20)


@dataclasses.dataclass(frozen=True)
class SurfaceMaterials:
    """glTF metallic-roughness material at the vertices of a mesh."""

    albedo_linear: Float[Tensor, "V 3"]
    """Base colour, linear Rec. 709, in [0, 1]."""
    roughness: Float[Tensor, "V 1"]
    """Perceptual roughness in [0, 1]; alpha = roughness^2."""
    metallic: Float[Tensor, "V 1"]
    """In [0, 1]."""


@dataclasses.dataclass(frozen=True)
class Proxy:
    """The surface that stands for an asset's splats where rays are traced."""

    mesh: Mesh
    normals: Float[Tensor, "V 3"]
    """Unit, outward."""
    radiance_linear: Float[Tensor, "V 3"]
    """Mean radiance that leaves each vertex toward the cameras that see it, by the fitted field
    under the photos' light."""
    views: Float[Tensor, "V 1"]
    """How many training views saw the vertex: where few did, its radiance is a guess."""
    voxel: float
    """Edge of the voxels it was fused in, world units: how far it may be off."""
    materials: SurfaceMaterials | None = None
    """None before decomposition."""


def interpolate(
    values: Float[Tensor, "V ch"],
    faces: Int[Tensor, "F 3"],
    triangle: Int[Tensor, " R"],
    barycentrics: Float[Tensor, "R 2"],
) -> Float[Tensor, "R ch"]:
    """Values of vertices at points on triangles. Differentiable in values and barycentrics.

    Args:
        values: Per vertex.
        faces: Corners of the triangles.
        triangle: Which triangle each point is on; must be a hit, not -1.
        barycentrics: Weights of the second and third corner.
    """
    corners = values[faces[triangle]]
    u, v = barycentrics[:, 0, None], barycentrics[:, 1, None]
    return (1.0 - u - v) * corners[:, 0] + u * corners[:, 1] + v * corners[:, 2]
