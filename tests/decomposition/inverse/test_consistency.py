import dataclasses

import pytest
import torch
from balls import ball

from relight3d.core.color import linear_from_srgb
from relight3d.core.radiance import radiance_srgb
from relight3d.decomposition.inverse.consistency import chosen_splats, disagreement, splat_points
from relight3d.decomposition.proxy.vertex_weights import lifted
from tests.decomposition.inverse import toys

SPLATS, CENTER = ball(300), torch.tensor([3.0, 0.5, 1.0])
OUTWARD = torch.nn.functional.normalize(SPLATS.means, dim=-1)
EVERY = torch.arange(300)


def choose(count=1000, rows=EVERY, gaussians=None, progress=None, seed=0):
    progress = torch.ones(300, 1) if progress is None else progress
    generator = torch.Generator().manual_seed(seed)
    gaussians = gaussians or SPLATS.gaussians()
    return chosen_splats(gaussians, rows, OUTWARD, CENTER, progress, count, generator)


def test_physics_that_shows_what_the_field_does_agrees():
    turned = dataclasses.replace(SPLATS, sh=SPLATS.sh + 0.1)  # the field depends on direction
    rows = choose()
    shown = radiance_srgb(turned.sh[:, :1], turned.sh[:, 1:], turned.means, CENTER, 1)[rows]
    physics = linear_from_srgb(shown.clamp(0.0, 1.0))
    assert float(disagreement(physics, turned, rows, CENTER)) == pytest.approx(0.0, abs=1e-6)
    assert float(disagreement(1.3 * physics, turned, rows, CENTER)) > 0.03


def test_gradients_pull_physics_to_the_field():
    rows = choose(50)
    radiance = torch.full((len(rows), 3), 5.0, requires_grad=True)
    disagreement(radiance, SPLATS, rows, CENTER).backward()
    assert radiance.grad is not None and (radiance.grad > 0).all()
    dark = torch.zeros(len(rows), 3, requires_grad=True)
    disagreement(dark, SPLATS, rows, CENTER).backward()
    assert dark.grad is not None and dark.grad.isfinite().all() and (dark.grad <= 0).all()


def test_splats_that_turn_away_are_not_chosen():
    found = choose()
    facing = ((CENTER - SPLATS.means) * OUTWARD).sum(-1) > 0
    assert sorted(found.tolist()) == facing.nonzero()[:, 0].tolist()
    assert 50 < len(found) < 200


def test_faint_or_untrusted_or_hidden_splats_are_not_chosen():
    facing = choose()
    gaussians = SPLATS.gaussians()
    opacities, progress = torch.full((300,), 0.9), torch.ones(300, 1)
    opacities[facing[:20]], progress[facing[20:40]] = 0.4, 0.2
    shown = facing[10:60]
    found = choose(
        rows=shown, gaussians=dataclasses.replace(gaussians, opacities=opacities),
        progress=progress,
    )  # fmt: skip
    assert sorted(found.tolist()) == sorted(facing[40:60].tolist())


def test_so_many_at_most_and_by_the_generator():
    first, again, other = choose(20), choose(20), choose(20, seed=1)
    assert len(first) == 20 and len(set(first.tolist())) == 20
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(choose(0)) == 0 and len(choose(20, rows=EVERY[:0])) == 0


def test_points_start_outside_of_the_mesh():
    asset = toys.start()
    assert asset.materials is not None
    rows = torch.tensor([5, 0, 77])
    places = lifted(asset.splats.means, toys.PROXY)
    points = splat_points(asset.materials, places, rows, CENTER)
    assert float(points.position.norm(dim=-1).min()) > 1.0
    torch.testing.assert_close(points.normal, asset.materials.normals[rows])
    toward = torch.nn.functional.normalize(CENTER - points.position, dim=-1)
    torch.testing.assert_close(points.view, toward)
    assert torch.equal(points.roughness, asset.materials.roughness[rows])
