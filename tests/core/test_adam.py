import pytest
import torch

from relight3d.core.adam import Adam

RATES = {"a": 0.05, "b": 0.01}


def loss_of(parameters):
    a, b = parameters["a"], parameters["b"]
    return (a.cos() * a.exp()).sum() + (b - a[:, :1]).square().sum() + 3 * b.sum()


def descend(optimizer, parameters, steps):
    for _ in range(steps):
        for parameter in parameters.values():
            parameter.grad = None
        loss_of(parameters).backward()
        optimizer.step(parameters, RATES)


def start(generator=None):
    generator = generator or torch.Generator().manual_seed(3)
    return {
        "a": torch.randn(4, 2, generator=generator).requires_grad_(),
        "b": torch.randn(4, 1, generator=generator).requires_grad_(),
    }


@pytest.mark.parametrize("eps", [1e-15, 1e-2])
def test_equals_torch(eps):
    ours, theirs = start(), start()
    descend(Adam(eps=eps), ours, 30)
    groups = [{"params": [theirs[name]], "lr": rate} for name, rate in RATES.items()]
    torch_adam = torch.optim.Adam(groups, eps=eps)
    for _ in range(30):
        torch_adam.zero_grad()
        loss_of(theirs).backward()
        torch_adam.step()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


def test_only_what_has_a_rate_and_a_gradient_moves():
    parameters = start()
    before = {name: p.detach().clone() for name, p in parameters.items()}
    optimizer = Adam()
    parameters["a"].sum().backward()
    optimizer.step(parameters, {"a": 0.0, "b": 0.1})
    assert all(torch.equal(parameters[name], before[name]) for name in parameters)
    assert optimizer.moments == {}
    optimizer.step(parameters, {"a": 0.1})
    torch.testing.assert_close(parameters["a"].detach(), before["a"] - 0.1)


def test_forgotten_rows_have_no_momentum():
    parameters, optimizer = start(), Adam()
    descend(optimizer, parameters, 5)
    optimizer.forget(torch.tensor([1, 3]), ["a", "never seen"])
    for moment in optimizer.moments["a"]:
        assert moment[[1, 3]].abs().sum() == 0
        assert moment[[0, 2]].abs().min() > 0
    assert optimizer.moments["b"][0].abs().min() > 0


def test_growth_appends_rows_without_momentum():
    parameters, optimizer = start(), Adam()
    descend(optimizer, parameters, 5)
    before = optimizer.moments["a"][0].clone()
    optimizer.grow(2, ["a", "never seen"])
    for moment in optimizer.moments["a"]:
        assert moment.shape == (6, 2)
        assert moment[4:].abs().sum() == 0
    assert torch.equal(optimizer.moments["a"][0][:4], before)
    assert optimizer.moments["b"][0].shape == (4, 1)


def test_state_round_trip():
    undisturbed, interrupted = start(), start()
    descend(Adam(), undisturbed, 12)
    first, second = Adam(), Adam()
    descend(first, interrupted, 5)
    saved = {name: tensor.clone() for name, tensor in first.state_tensors().items()}
    second.load_state_tensors(saved)
    descend(second, interrupted, 7)
    for name in undisturbed:
        assert torch.equal(undisturbed[name], interrupted[name])
    assert saved["a.steps"] == 5
    assert second.steps == {"a": 12, "b": 12}


def test_a_loaded_state_is_a_copy():
    parameters, first = start(), Adam()
    descend(first, parameters, 2)
    second = Adam()
    second.load_state_tensors(first.state_tensors())
    second.forget(torch.arange(4), ["a"])
    assert first.moments["a"][0].abs().min() > 0
