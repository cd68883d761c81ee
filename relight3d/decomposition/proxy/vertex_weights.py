"""Between splats and the proxy: what splats carry, at its vertices, and splats lifted onto it."""

import dataclasses

import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.surface import Proxy, SurfaceMaterials
from relight3d.core.types import Gaussians, Materials

NEIGHBOURS = 12
"""Splats that are looked at per vertex."""
LAYER_VOXELS = 2.0
"""Standard deviation, across a splat's plane, of how far a vertex may lie from it."""
FALLBACK = 1e-6
"""What the nearest splat counts where no splat reaches a vertex."""


@dataclasses.dataclass(frozen=True)
class VertexWeights:
    """Which splats a vertex takes its values from. Weights of a vertex sum to 1."""

    indices: Int[Tensor, "V k"]
    weights: Float[Tensor, "V k"]

    def gather(self, values: Float[Tensor, "N ch"]) -> Float[Tensor, "V ch"]:
        """Values of splats, at the vertices. Differentiable in the values."""
        return (values[self.indices] * self.weights[..., None]).sum(1)


@torch.no_grad()
def vertex_weights(
    proxy: Proxy,
    gaussians: Gaussians,
    outward: Float[Tensor, "N 3"],
    neighbours: int = NEIGHBOURS,
) -> VertexWeights:
    """The splats that cover each vertex, by opacity and by their Gaussian at its place.

    Splats that face away from the vertex' normal are the other side of a sheet, and count only
    where all do.

    Args:
        proxy: Surface of the same splats.
        gaussians: The splats.
        outward: Their unit normals, outward.
        neighbours: How many splats around each vertex are looked at, by their centres.
    """
    vertices, means = proxy.mesh.vertices, gaussians.means
    count = min(neighbours, len(gaussians))
    tree = KDTree(means.double().cpu().numpy())
    found = tree.query(vertices.double().cpu().numpy(), k=count)[1]
    indices = torch.as_tensor(found, device=means.device).view(len(vertices), count)
    offset = vertices[:, None] - means[indices]
    axes = matrix_from_quaternion(gaussians.quats_wxyz)[indices]
    local = (axes * offset[..., None]).sum(-2)
    spread = gaussians.scales.clone()
    spread[:, 2] = spread[:, 2].clamp_min(LAYER_VOXELS * proxy.voxel)
    spread = spread.clamp_min(0.5 * proxy.voxel)[indices]
    weights = gaussians.opacities[indices] * torch.exp(-0.5 * (local / spread).square().sum(-1))
    agree = (outward[indices] * proxy.normals[:, None]).sum(-1) > 0
    closeness = 1.0 / (offset.square().sum(-1) + (0.1 * proxy.voxel) ** 2)
    closeness = closeness / closeness.amax(1, keepdim=True)
    weights = weights + FALLBACK * closeness
    weights = weights * torch.where(agree, 1.0, FALLBACK)
    return VertexWeights(indices, weights / weights.sum(1, keepdim=True))


def with_materials(proxy: Proxy, materials: Materials, gaussians: Gaussians) -> Proxy:
    """The proxy with the splats' materials at its vertices. Differentiable in the materials."""
    at = vertex_weights(proxy, gaussians, materials.normals)
    surface = SurfaceMaterials(
        albedo_linear=at.gather(materials.albedo_linear),
        roughness=at.gather(materials.roughness),
        metallic=at.gather(materials.metallic),
    )
    return dataclasses.replace(proxy, materials=surface)


@torch.no_grad()
def lifted(
    points: Float[Tensor, "N 3"], proxy: Proxy, clearance_voxels: float = 1.5
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Points of the splats' layer as rays may start from them: so far outside of the proxy.

    Splats lie in a layer about the surface, many of them below the proxy, where everything is dark.

    Args:
        points: Such as splat centres.
        proxy: Their surface.
        clearance_voxels: Least height above the plane of the nearest vertex.

    Returns:
        The points, moved along that vertex' normal where they were lower, and the normals.
    """
    vertices = proxy.mesh.vertices
    found = KDTree(vertices.double().cpu().numpy()).query(points.double().cpu().numpy())[1]
    nearest = torch.as_tensor(found, device=points.device)
    normals = proxy.normals[nearest]
    height = ((points - vertices[nearest]) * normals).sum(-1, keepdim=True)
    return points + normals * (clearance_voxels * proxy.voxel - height).clamp_min(0.0), normals
