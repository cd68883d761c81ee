"""Tangents as MikkTSpace makes them, so that a normal texture means the same in every program."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from relight3d.shading.reference import tangent_frame


def vertex_tangents(
    positions: Float[Tensor, "W 3"],
    normals: Float[Tensor, "W 3"],
    uv: Float[Tensor, "W 2"],
    faces: Int[Tensor, "F 3"],
) -> Float[Tensor, "W 4"]:
    """TANGENT of glTF: unit tangent along +u, and the sign of the bitangent w cross(n, t).

    Source: Mikkelsen 2008, "Simulation of Wrinkled Surfaces Revisited", as in mikktspace.c: each
    corner gives its triangle's direction of +u, laid into the plane of its normal, the angle of the
    corner as weight. The bitangent runs up the texture, against glTF's v.

    Args:
        positions: One row for every vertex of the atlas, in any frame.
        normals: Unit, in the same frame.
        uv: Texture coordinates, v down. Charts are not mirrored within themselves: all triangles of
            a vertex have one handedness (else the larger angle wins).
        faces: Corners.
    """
    corners, flat = positions[faces], uv[faces]
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    (s1, t1), (s2, t2) = _upward(flat[:, 1] - flat[:, 0]), _upward(flat[:, 2] - flat[:, 0])
    hand = torch.sign(s1 * t2 - s2 * t1)
    along_u = normalize((t2 * edge1 - t1 * edge2) * hand, dim=-1, eps=1e-30)
    tangents, hands = torch.zeros_like(positions), torch.zeros_like(positions[:, 0])
    for corner in range(3):
        here, normal = faces[:, corner], normals[faces[:, corner]]
        to_next = corners[:, (corner + 1) % 3] - corners[:, corner]
        to_last = corners[:, (corner + 2) % 3] - corners[:, corner]
        cosine = (_in_plane(to_next, normal) * _in_plane(to_last, normal)).sum(-1, keepdim=True)
        angle = cosine.clamp(-1.0, 1.0).arccos()
        tangents = tangents.index_add(0, here, angle * _in_plane(along_u, normal))
        hands = hands.index_add(0, here, angle[:, 0] * hand[:, 0])
    any_tangent, _ = tangent_frame(normals)
    lost = tangents.norm(dim=-1, keepdim=True) < 1e-8
    unit = torch.where(lost, any_tangent, _in_plane(tangents, normals))
    return torch.cat([unit, torch.where(hands < 0, -1.0, 1.0)[:, None].to(unit)], -1)


def to_tangent_space(
    wanted: Float[Tensor, "T 3"],
    normals: Float[Tensor, "T 3"],
    tangents: Float[Tensor, "T 4"],
) -> Float[Tensor, "T 3"]:
    """Normals as a normal texture holds them: unit, z along the mesh's normal, y up the texture.

    Inverts what viewers do: n = x t + y b + z n0, where t, n0 and b = w cross(n0, t) are
    interpolated between vertices, made unit, and no longer quite at right angles.

    Args:
        wanted: Unit normals.
        normals: The mesh's, interpolated; any length but 0.
        tangents: The mesh's, interpolated.
    """
    up = normalize(normals, dim=-1)
    along = normalize(tangents[:, :3], dim=-1)
    across = normalize(torch.cross(up, along, dim=-1), dim=-1) * tangents[:, 3:].sign()
    local = torch.linalg.solve(torch.stack([along, across, up], -1), wanted)
    steep = local[:, 2:].clamp_min(0.05)  # what leans over the edge would be lit from inside
    return normalize(torch.cat([local[:, :2], steep], -1), dim=-1)


def _upward(delta: Float[Tensor, "F 2"]) -> tuple[Tensor, Tensor]:
    """A step in (u, v) as columns, v turned up."""
    return delta[:, :1], -delta[:, 1:]


def _in_plane(vectors: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """The unit part at right angles to unit normals; 0 where there is none."""
    return normalize(vectors - normals * (normals * vectors).sum(-1, keepdim=True), dim=-1)
