import math

import pytest
import torch
from balls import ball

from relight3d.backends.registry import get_rasterizer
from relight3d.core.adam import Adam
from relight3d.core.types import Cameras, Gaussians
from relight3d.field.splats import densify


def parameters_of(count=40):
    splats = ball(count)
    return {
        "means": splats.means.clone(),
        "quats_wxyz": splats.quats_wxyz.clone(),
        "log_scales": splats.log_scales.clone(),
        "opacity_logits": torch.linspace(-2.0, 2.0, count),
        "sh_dc": splats.sh[:, :1].clone(),
        "sh_rest": splats.sh[:, 1:].clone(),
    }


def with_moments(parameters):
    """An optimizer whose every moment is 1."""
    optimizer = Adam()
    for name, parameter in parameters.items():
        optimizer.moments[name] = (torch.ones_like(parameter), torch.ones_like(parameter))
        optimizer.steps[name] = 1
    return optimizer


@pytest.mark.parametrize("copies", [1, 2, 3, 7, 51])
@pytest.mark.parametrize("opacity", [0.01, 0.3, 0.9, 0.995])
def test_copies_together_are_as_opaque_as_the_one(opacity, copies):
    new, factor = densify.split_opacity_and_scale(
        torch.tensor([opacity]), torch.tensor([float(copies)])
    )
    assert 1 - (1 - float(new)) ** copies == pytest.approx(opacity, rel=1e-4)
    assert 0 < float(factor) <= 1 + 1e-6
    if copies == 1:
        assert float(factor) == pytest.approx(1.0)


@pytest.mark.parametrize("copies", [2, 5, 12])
def test_copies_let_as_much_through_along_a_line(copies):
    """Eq. 9 keeps the integral over x of what n Gaussians composite to, by brute force."""
    opacity, x = 0.8, torch.linspace(-12, 12, 20001, dtype=torch.float64)
    new, factor = densify.split_opacity_and_scale(
        torch.tensor([opacity]), torch.tensor([float(copies)])
    )
    one = opacity * torch.exp(-0.5 * x**2)
    many = 1 - (1 - float(new) * torch.exp(-0.5 * (x / float(factor)) ** 2)) ** copies
    assert float(many.sum() / one.sum()) == pytest.approx(1.0, abs=1e-4)


def test_more_copies_than_the_table_are_cut_to_it():
    many = densify.split_opacity_and_scale(torch.tensor([0.5]), torch.tensor([400.0]))
    most = densify.split_opacity_and_scale(torch.tensor([0.5]), torch.tensor([51.0]))
    assert many == most


def test_growing_one_splat_keeps_its_picture():
    """Peak and total of the drawn splat, four copies against the one."""
    camera = Cameras(
        torch.eye(4)[None], torch.tensor([[[40.0, 0, 16.5], [0, 40.0, 16.5], [0, 0, 1]]]), 33, 33
    )
    parameters = {
        "means": torch.tensor([[0.0, 0.0, 4.0]]),
        "quats_wxyz": torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        "log_scales": torch.tensor([[0.4, 0.4, 0.01]]).log(),
        "opacity_logits": torch.logit(torch.tensor([0.8])),
        "sh_dc": torch.zeros(1, 1, 3),
        "sh_rest": torch.zeros(1, 0, 3),
    }

    def alpha(p):
        shape = (p["means"], p["quats_wxyz"], p["log_scales"].exp(), p["opacity_logits"].sigmoid())
        ones = torch.ones(len(shape[0]), 1)
        return get_rasterizer("cpu")(Gaussians(*shape), ones, camera).alpha[0, ..., 0]

    before = alpha(parameters)
    generator = torch.Generator().manual_seed(0)
    grown = densify.grow(parameters, Adam(), 3, generator)
    after = alpha(grown)
    assert len(grown["means"]) == 4
    assert float(after[16, 16]) == pytest.approx(float(before[16, 16]), rel=1e-3)
    # Eq. 9 keeps the integral along a line through the centre, not the profile.
    assert float(after[16].sum() / before[16].sum()) == pytest.approx(1.0, abs=0.02)


def test_relocation_moves_all_dead_and_keeps_the_number(generator):
    parameters = parameters_of()
    dead = torch.arange(1, 31, 2)
    parameters["opacity_logits"][dead] = -9.0
    parameters["means"][dead[1]] = math.nan
    old = parameters["means"].clone()
    optimizer = with_moments(parameters)
    assert densify.relocate_dead(parameters, optimizer, generator) == 15
    assert {len(p) for p in parameters.values()} == {40}
    assert all(torch.isfinite(p).all() for p in parameters.values())
    assert parameters["opacity_logits"].sigmoid().min() > densify.DEAD_OPACITY
    living = torch.ones(40, dtype=torch.bool).index_fill(0, dead, False)
    assert torch.equal(parameters["means"][living], old[living])
    for row in dead:
        onto = (parameters["means"][row] == old[living]).all(-1)
        assert int(onto.sum()) == 1
        twin = living.nonzero()[:, 0][onto][0]
        for values in parameters.values():
            assert torch.equal(values[row], values[twin])
        assert optimizer.moments["means"][0][twin].abs().sum() == 0
    assert optimizer.moments["means"][0][dead].abs().sum() == 0
    assert optimizer.moments["means"][0].sum() >= 3 * (40 - 2 * len(dead))


def test_nothing_to_relocate(generator):
    parameters = parameters_of()
    before = {name: p.clone() for name, p in parameters.items()}
    assert densify.relocate_dead(parameters, Adam(), generator) == 0
    parameters["opacity_logits"].fill_(-9.0)
    assert densify.relocate_dead(parameters, Adam(), generator) == 0, "no living splat to go to"
    assert torch.equal(parameters["means"], before["means"])


def test_growth_adds_as_many_as_asked(generator):
    parameters = parameters_of()
    old = parameters["means"].clone()
    optimizer = with_moments(parameters)
    grown = densify.grow(parameters, optimizer, 9, generator)
    assert {len(p) for p in grown.values()} == {49}
    assert torch.equal(grown["means"][:40], old)
    assert all((row == old).all(-1).any() for row in grown["means"][40:])
    assert {len(m[0]) for m in optimizer.moments.values()} == {49}
    assert optimizer.moments["sh_dc"][0][40:].abs().sum() == 0


def test_growth_prefers_the_opaque(generator):
    parameters = parameters_of(2)
    parameters["opacity_logits"] = torch.tensor([-4.0, 4.0])
    grown = densify.grow(parameters, Adam(), 30, generator)
    assert int((grown["means"][2:] == parameters["means"][1]).all(-1).sum()) >= 27


def test_exploration_shakes_only_the_faint_within_their_shape(generator):
    parameters = parameters_of(60)
    parameters["opacity_logits"] = torch.where(torch.arange(60) < 30, -7.0, 2.0)
    parameters["log_scales"] = torch.tensor([0.3, 0.1, 0.001]).log().expand(60, 3).clone()
    parameters["quats_wxyz"] = torch.tensor([1.0, 0, 0, 0]).expand(60, 4).clone()
    before = parameters["means"].clone()
    densify.explore(parameters, 1.0, generator)
    moved = (parameters["means"] - before).abs()
    assert float(moved[30:].max()) < 1e-6
    assert float(moved[:30].norm(dim=-1).min()) > 1e-4
    spread = moved[:30].mean(0)
    assert spread[0] > 4 * spread[1] > 100 * spread[2]
