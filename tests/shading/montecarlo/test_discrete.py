import pytest
import scipy.stats
import torch
from sampling import uniform

from relight3d.shading.montecarlo.discrete import Discrete


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("power", [0, 1, 12])
def test_ends_give_the_weights(count, power):
    weights = uniform(count, seed=count) ** power
    found = Discrete.of(weights)
    torch.testing.assert_close(found.probability, weights / weights.sum())
    widths = found.ends.diff(prepend=torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(widths, found.probability, rtol=1e-9, atol=1e-12)
    assert float(found.ends[-1]) == 1.0


def test_one_weight_above_all_others_and_many_zeros():
    weights = torch.zeros(5000, dtype=torch.float64)
    weights[1234], weights[7] = 1e9, 1.0
    picked = Discrete.of(weights).pick(uniform(100000))
    assert set(picked.tolist()) <= {1234, 7}


def test_no_weight_at_all_means_all_alike():
    assert Discrete.of(torch.zeros(8)).probability.tolist() == pytest.approx([0.125] * 8)


def test_picks_follow_the_weights():
    weights = uniform(200, seed=5) ** 3
    choice = Discrete.of(weights)
    picked = choice.pick(uniform(100000, seed=6))
    found = torch.bincount(picked, minlength=200).double()
    keep = choice.probability * 100000 > 5
    found = torch.cat([found[keep], found[~keep].sum()[None]])
    expected = torch.cat([choice.probability[keep], choice.probability[~keep].sum()[None]]) * 100000
    assert scipy.stats.chisquare(found.numpy(), expected.numpy()).pvalue > 1e-3


def test_even_numbers_pick_every_item_as_often_as_it_is_due():
    choice = Discrete.of(uniform(50, seed=2) ** 6)
    samples, shift = 16, uniform(400, seed=3)
    even = (torch.arange(samples)[:, None] / samples + shift) % 1.0
    picked = choice.pick(even)
    for item in range(50):
        times = (picked == item).sum(0)
        due = float(choice.probability[item]) * samples
        assert int(due) <= int(times.min()) <= int(times.max()) <= int(due) + 1


@pytest.mark.parametrize(("weights", "items"), [([1, 1, 1], [0, 2]), ([0, 1, 2, 0, 0], [1, 2])])
def test_the_ends_of_the_unit_interval_are_items(weights, items):
    choice = Discrete.of(torch.tensor(weights, dtype=torch.float64))
    ends = torch.tensor([0.0, 1.0 - 2**-53], dtype=torch.float64)
    assert choice.pick(ends).tolist() == items
