"""The materials of splats as glTF's three textures of a mesh."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from relight3d.core.color import srgb_from_linear
from relight3d.core.surface import Mesh, interpolate
from relight3d.core.types import Gaussians, Materials
from relight3d.export.atlas import Atlas
from relight3d.export.resample import ENOUGH, nearest_splat, resample
from relight3d.export.tangents import to_tangent_space
from relight3d.export.texels import Texels, chart_texels, spread


@dataclasses.dataclass(frozen=True)
class PbrTextures:
    """Pictures in glTF's encodings, 8 bits a channel; row 0 is the top, at v = 0."""

    base_color_srgb: UInt8[np.ndarray, "S S 3"]
    metallic_roughness: UInt8[np.ndarray, "S S 3"]
    """Linear; green: perceptual roughness, blue: metallic, red: full (unoccluded)."""
    normal: UInt8[np.ndarray, "S S 3"]
    """0.5 n + 0.5 in tangent space, green up (OpenGL)."""


def bake_textures(
    mesh: Mesh,
    normals: Float[Tensor, "W 3"],
    tangents: Float[Tensor, "W 4"],
    atlas: Atlas,
    gaussians: Gaussians,
    materials: Materials,
    tolerance: float,
) -> PbrTextures:
    """Resample the splats' materials at every texel: finer than the mesh's vertices.

    Args:
        mesh: Its vertices cut apart as the atlas cuts them.
        normals: Unit, of the vertices.
        tangents: Of the vertices.
        atlas: Where the triangles lie.
        gaussians: The splats, in the frame of the mesh.
        materials: Of the splats.
        tolerance: How far the mesh may be off the splats, world units.
    """
    texels = chart_texels(atlas.uv, atlas.faces, atlas.size_px)

    def at_texels(values: Tensor) -> Tensor:
        return interpolate(values, mesh.faces, texels.triangle, texels.barycentrics)

    points, up = at_texels(mesh.vertices), normalize(at_texels(normals), dim=-1)
    channels = [materials.albedo_linear, materials.roughness, materials.metallic, materials.normals]
    values = torch.cat(channels, -1)
    means, weights = resample(points, up, gaussians, materials.normals, values, tolerance)
    lost = weights[:, 0] < ENOUGH
    if lost.any():
        means[lost] = values[_nearest(mesh, texels, lost, gaussians)]
        means[lost, 5:] = up[lost]
    local = to_tangent_space(normalize(means[:, 5:], dim=-1), up, at_texels(tangents))
    whole = spread(torch.cat([means[:, :5], local], -1), texels)
    surface = torch.cat([torch.ones_like(whole[..., :1]), whole[..., 3:5]], -1)
    return PbrTextures(
        base_color_srgb=_bytes(srgb_from_linear(whole[..., :3].clamp(0.0, 1.0))),
        metallic_roughness=_bytes(surface),
        normal=_bytes(0.5 * normalize(whole[..., 5:], dim=-1) + 0.5),
    )


def _nearest(mesh: Mesh, texels: Texels, lost: Tensor, gaussians: Gaussians) -> Tensor:
    """The splat nearest to the middle of each lost texel's triangle."""
    triangles, which = texels.triangle[lost].unique(return_inverse=True)
    middles = mesh.vertices[mesh.faces[triangles]].mean(1)
    return nearest_splat(middles, gaussians)[which]


def _bytes(values: Float[Tensor, "S S 3"]) -> UInt8[np.ndarray, "S S 3"]:
    return (values.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8).numpy()
