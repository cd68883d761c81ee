import torch
from torch.nn.functional import normalize

from relight3d.export.tangents import to_tangent_space, vertex_tangents

QUAD = torch.tensor([[0.0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]])
"""Facing +z, x to the right, y up."""
UP = torch.tensor([[0.0, 0, 1]]).repeat(4, 1)
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
UPRIGHT = torch.tensor([[0.0, 1], [1, 1], [1, 0], [0, 0]])
"""As a picture hangs: u to the right, v down."""


def test_an_upright_picture():
    """Tangent to the right; cross(normal, tangent) w is up, as glTF wants it."""
    tangents = vertex_tangents(QUAD, UP, UPRIGHT, FACES)
    torch.testing.assert_close(tangents, torch.tensor([[1.0, 0, 0, 1]]).repeat(4, 1))


def test_a_turned_and_a_mirrored_picture():
    turned = UPRIGHT.roll(1, 0)  # corner 0 shows the picture's upper left
    tangents = vertex_tangents(QUAD, UP, turned, FACES)
    torch.testing.assert_close(tangents, torch.tensor([[0.0, 1, 0, 1]]).repeat(4, 1))
    mirrored = UPRIGHT * torch.tensor([-1.0, 1]) + torch.tensor([1.0, 0])
    tangents = vertex_tangents(QUAD, UP, mirrored, FACES)
    torch.testing.assert_close(tangents, torch.tensor([[-1.0, 0, 0, -1]]).repeat(4, 1))


def test_corners_count_by_their_angle():
    """Three triangles about a vertex that agree in all but their angles and directions of u."""
    apex = torch.tensor([[0.0, 0, 0]])
    spokes = torch.tensor([0.0, 30.0, 120.0]).deg2rad()
    rim = torch.stack([spokes.cos(), spokes.sin(), torch.zeros(3)], -1)
    positions = torch.cat([apex, rim])
    uv = torch.tensor([[0.0, 0], [1, 0], [0.3, -0.9], [-0.8, -0.4]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    normals = torch.tensor([[0.0, 0, 1]]).repeat(4, 1)
    tangent = vertex_tangents(positions, normals, uv, faces)[0]
    alone = [vertex_tangents(positions, normals, uv, faces[k : k + 1])[0, :3] for k in (0, 1)]
    torch.testing.assert_close(tangent[:3], normalize(30 * alone[0] + 90 * alone[1], dim=-1))


def test_unit_and_at_right_angles_even_where_textures_are_degenerate():
    normals = normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    for uv in (UPRIGHT, torch.zeros(4, 2)):
        tangents = vertex_tangents(QUAD, normals, uv, FACES)
        torch.testing.assert_close(tangents[:, :3].norm(dim=-1), torch.ones(4))
        torch.testing.assert_close((tangents[:, :3] * normals).sum(-1), torch.zeros(4))
        assert (tangents[:, 3].abs() == 1).all()


def test_what_viewers_do_gives_the_normal_back():
    generator = torch.Generator().manual_seed(1)

    def unit(count):
        return normalize(torch.randn(count, 3, generator=generator), dim=-1)

    normals, along = unit(100), unit(100)
    wanted = normalize(normals + 0.5 * unit(100), dim=-1)
    hand = torch.where(torch.arange(100) % 2 == 0, 1.0, -1.0)[:, None]
    sound = torch.cross(normals, along, dim=-1).norm(dim=-1) > 0.5
    local = to_tangent_space(wanted, normals, torch.cat([along, hand], -1))
    across = normalize(torch.cross(normals, along, dim=-1), dim=-1) * hand
    back = local[:, :1] * along + local[:, 1:2] * across + local[:, 2:] * normals
    held = sound & (local[:, 2] > 0.1)
    assert held.sum() > 40
    torch.testing.assert_close(normalize(back, dim=-1)[held], wanted[held], atol=1e-4, rtol=0)


def test_normals_that_cannot_be_told_stay_the_meshs():
    up = torch.tensor([[0.0, 0, 1]])
    crushed = to_tangent_space(torch.tensor([[1.0, 0, 0]]), up, torch.tensor([[0.0, 0, 1, 1]]))
    torch.testing.assert_close(crushed, up)
    beyond = to_tangent_space(torch.tensor([[0.6, 0, -0.8]]), up, torch.tensor([[1.0, 0, 0, 1]]))
    assert 0 < beyond[0, 2] < 0.1
