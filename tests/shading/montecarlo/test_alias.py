import pytest
import scipy.stats
import torch
from sampling import uniform

from relight3d.shading.montecarlo.alias import alias_table


def implied(table) -> torch.Tensor:
    """The probabilities that the columns of a table really give."""
    shares = table.threshold.index_add(0, table.other, 1.0 - table.threshold)
    return shares / len(shares)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("power", [0, 1, 12])
def test_columns_give_the_weights(count, power):
    weights = uniform(count, seed=count) ** power
    table = alias_table(weights)
    torch.testing.assert_close(table.probability, weights / weights.sum())
    torch.testing.assert_close(implied(table), table.probability, rtol=1e-9, atol=1e-12)
    assert float(table.threshold.min()) >= 0.0 and float(table.threshold.max()) <= 1.0


def test_one_weight_above_all_others_and_many_zeros():
    weights = torch.zeros(5000, dtype=torch.float64)
    weights[1234], weights[7] = 1e9, 1.0
    table = alias_table(weights)
    torch.testing.assert_close(implied(table), table.probability, rtol=1e-6, atol=1e-15)
    picked = table.pick(uniform(100000))
    assert set(picked.tolist()) <= {1234, 7}


def test_no_weight_at_all_means_all_alike():
    assert implied(alias_table(torch.zeros(8))).tolist() == pytest.approx([0.125] * 8)


def test_picks_follow_the_weights():
    weights = uniform(200, seed=5) ** 3
    table = alias_table(weights)
    picked = table.pick(uniform(100000, seed=6))
    found = torch.bincount(picked, minlength=200).double()
    keep = table.probability * 100000 > 5
    found = torch.cat([found[keep], found[~keep].sum()[None]])
    expected = torch.cat([table.probability[keep], table.probability[~keep].sum()[None]]) * 100000
    assert scipy.stats.chisquare(found.numpy(), expected.numpy()).pvalue > 1e-3


def test_the_ends_of_the_unit_interval_are_items():
    picked = alias_table(torch.ones(3)).pick(torch.tensor([0.0, 1.0 - 2**-53]).double())
    assert picked.tolist() == [0, 2]
