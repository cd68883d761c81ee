import dataclasses

import pytest
import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.planes import splat_normals
from relight3d.core.types import Cameras, Gaussians, Materials
from relight3d.decomposition.sides import BACK_FLOOR, Sides, seen_sides, surface_weight


def one_by_one(cameras: Cameras) -> list[Cameras]:
    return [cameras[index : index + 1] for index in range(len(cameras))]


def sides_of(gaussians: Gaussians, cameras: Cameras, to_sky=None) -> Sides:
    axes = splat_normals(gaussians.quats_wxyz)
    told = torch.nn.functional.normalize(gaussians.means, dim=-1) if to_sky is None else to_sky
    rasterize = get_rasterizer("cpu")
    return seen_sides(gaussians, axes, one_by_one(cameras), told, rasterize=rasterize)


def flip(quats_wxyz: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """Half a turn about the local x axis where the sign is -1: the disc is the same, z is not."""
    w, x, y, z = quats_wxyz.unbind(-1)
    turned = torch.stack([-x, w, z, -y], -1)
    return torch.where(signs < 0, turned, quats_wxyz)


def sheet(count: int = 80) -> Gaussians:
    """Small opaque discs in the plane x = 0; `orbit` circles about z, so both sides are seen."""
    flat = ball(count).gaussians()
    means = flat.means * torch.tensor([0.0, 1.0, 1.0])
    half = 0.5**0.5
    quats = torch.tensor([half, 0.0, half, 0.0]).expand(count, 4)  # z to x
    return dataclasses.replace(flat, means=means, quats_wxyz=quats)


def test_a_ball_is_seen_from_outside_whatever_the_signs_of_its_axes():
    gaussians, cameras = ball(400).gaussians(), orbit(8, 32, 32)
    signs = torch.where(torch.arange(400) % 2 == 0, 1.0, -1.0)[:, None]
    inward = -torch.nn.functional.normalize(gaussians.means, dim=-1)
    sides = sides_of(gaussians, cameras, to_sky=inward)
    flipped = dataclasses.replace(gaussians, quats_wxyz=flip(gaussians.quats_wxyz, signs))
    again = sides_of(flipped, cameras, to_sky=inward)
    torch.testing.assert_close(again.outward, sides.outward)
    outward = torch.nn.functional.normalize(gaussians.means, dim=-1)
    toward = torch.nn.functional.normalize(cameras.centers[:, None] - gaussians.means, dim=-1)
    shown = ((toward * outward).sum(-1) > 0.3).any(0).nonzero()[:, 0]
    assert len(shown) > 200
    assert float((sides.outward * outward).sum(-1)[shown].min()) > 0.9
    assert float(sides.double_sided[shown].median()) == pytest.approx(BACK_FLOOR)


def test_a_sheet_counts_from_both_sides():
    gaussians = sheet()
    sides = sides_of(gaussians, orbit(8, 32, 32))
    assert float(sides.double_sided.median()) > 0.8
    axis = splat_normals(gaussians.quats_wxyz)
    torch.testing.assert_close(axis.abs(), torch.tensor([1.0, 0.0, 0.0]).expand(80, 3))


def test_the_unseen_face_the_sky():
    gaussians = ball(50).gaussians()
    away = orbit(3, 16, 16)
    turn = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    away = dataclasses.replace(away, world_to_camera=turn @ away.world_to_camera)
    told = torch.nn.functional.normalize(torch.ones(50, 3), dim=-1)
    sides = sides_of(gaussians, away, told)
    assert float((sides.outward * told).sum(-1).min()) >= 0.0
    assert float(sides.double_sided.max()) == pytest.approx(BACK_FLOOR)
    assert all(len(rows) == 0 for rows in sides.rows_of_view)


def test_backs_and_needles_weigh_less():
    flat = torch.tensor([[0.1, 0.1, 0.001]]).expand(2, 3)
    discs = Gaussians(torch.zeros(2, 3), torch.ones(2, 4), flat, torch.ones(2))
    up = torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3)
    one, double = torch.ones(2, 1), torch.tensor([[0.02], [0.7]])
    materials = Materials(one.expand(2, 3), one, one, up, one, double)
    over, under = torch.tensor([0.3, 0.0, 2.0]), torch.tensor([0.3, 0.0, -2.0])
    assert torch.equal(surface_weight(materials, discs, over), one)
    assert torch.equal(surface_weight(materials, discs, under), double)
    needles = dataclasses.replace(discs, scales=flat * torch.tensor([0.25, 1.0, 1.0]))
    torch.testing.assert_close(surface_weight(materials, needles, over), 0.5 * one)
