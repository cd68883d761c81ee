import math

import torch

from relight3d.core import sh
from relight3d.core.radiance import radiance_srgb


def color(dc, rest, mean, center, degree):
    rows = torch.tensor(rest, dtype=torch.float32).view(1, -1, 3)
    return radiance_srgb(
        torch.tensor([[dc]]), rows, torch.tensor([mean]), torch.tensor(center), degree
    )[0]


def test_constant_part_is_half_plus_c0():
    found = color([1.0, 0.0, -1.0], [0.0] * 9, [0.0, 0.0, 0.0], [0.0, 0.0, 5.0], 1)
    expected = torch.tensor([0.5 + 0.28209479, 0.5, 0.5 - 0.28209479])
    torch.testing.assert_close(found, expected)


def test_first_degree_has_the_signs_of_3dgs():
    """Coefficients 1 to 3 multiply -C1 y, C1 z, -C1 x of the direction camera -> splat."""
    for place, axis, sign in ((0, 1, -1), (1, 2, 1), (2, 0, -1)):
        rest = torch.zeros(3, 3)
        rest[place] = 0.3
        mean = [0.0, 0.0, 0.0]
        mean[axis] = 4.0
        found = color([0.0] * 3, rest.tolist(), mean, [0.0, 0.0, 0.0], 1)
        expected = 0.5 + sign * 0.3 * math.sqrt(3 / (4 * math.pi))
        torch.testing.assert_close(found, torch.full((3,), expected))


def test_lower_degree_ignores_the_rest(generator):
    dc = torch.randn(5, 1, 3, generator=generator)
    rest = torch.randn(5, 15, 3, generator=generator)
    means = torch.randn(5, 3, generator=generator)
    center = torch.tensor([0.0, 3.0, 1.0])
    for degree in range(4):
        count = (degree + 1) ** 2 - 1
        short = radiance_srgb(dc, rest[:, :count], means, center, degree)
        assert torch.equal(short, radiance_srgb(dc, rest, means, center, degree))
    flat = radiance_srgb(dc, rest, means, center, 0)
    torch.testing.assert_close(flat, (0.5 + sh.C0 * dc[:, 0]).clamp_min(0.0))


def test_never_negative():
    assert color([-9.0, 0.0, 0.0], [0.0] * 9, [1.0, 0.0, 0.0], [0.0] * 3, 1)[0] == 0


def test_gradients_reach_colour_but_not_means(generator):
    leaves = [torch.rand(6, 1, 3, generator=generator), torch.rand(6, 8, 3, generator=generator)]
    means = torch.randn(6, 3, generator=generator).requires_grad_()
    leaves = [leaf.requires_grad_() for leaf in leaves]
    radiance_srgb(leaves[0], leaves[1], means, torch.tensor([0.0, 0.0, 9.0]), 2).sum().backward()
    assert means.grad is None
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in leaves)
