import math

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.sh import basis, degree_of, even_directions, project, rotate_sh


def random_directions(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


def random_rotation(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return matrix_from_quaternion(torch.randn(4, generator=generator, dtype=torch.float64))


def legendre(degree: int, order: int, x: float) -> float:
    """P_l^m with the Condon-Shortley sign, from the recurrences (independent of `basis`)."""
    value = 1.0
    for k in range(1, order + 1):
        value *= -(2 * k - 1) * math.sqrt(1 - x * x)
    previous, current = 0.0, value
    for low in range(order + 1, degree + 1):
        step = ((2 * low - 1) * x * current - (low + order - 1) * previous) / (low - order)
        previous, current = current, step
    return current


def reference_value(degree: int, order: int, direction: torch.Tensor) -> float:
    x, y, z = direction.tolist()
    azimuth, m = math.atan2(y, x), abs(order)
    scale = math.sqrt(
        (2 * degree + 1) / (4 * math.pi) * math.factorial(degree - m) / math.factorial(degree + m)
    )
    if order == 0:
        return scale * legendre(degree, 0, z)
    wave = math.cos(m * azimuth) if order > 0 else math.sin(m * azimuth)
    return math.sqrt(2) * scale * legendre(degree, m, z) * wave


def test_basis_agrees_with_the_textbook():
    directions = random_directions(20)
    got = basis(directions, 3)
    orders = [(degree, order) for degree in range(4) for order in range(-degree, degree + 1)]
    expected = [[reference_value(*pair, direction) for pair in orders] for direction in directions]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_signs_of_the_first_degree_are_those_of_3dgs():
    x, y, z = torch.eye(3, dtype=torch.float64)
    c1 = math.sqrt(3 / (4 * math.pi))
    torch.testing.assert_close(basis(y, 1)[1].item(), -c1)
    torch.testing.assert_close(basis(z, 1)[2].item(), c1)
    torch.testing.assert_close(basis(x, 1)[3].item(), -c1)


def test_lower_degrees_are_a_prefix():
    directions = random_directions(5)
    for degree in range(3):
        torch.testing.assert_close(
            basis(directions, degree), basis(directions, 3)[:, : (degree + 1) ** 2]
        )


def test_projection_recovers_coefficients():
    directions = even_directions(100_000)
    angles = torch.full((100_000,), 4 * math.pi / 100_000, dtype=torch.float64)
    coefficients = torch.randn(2, 16, 3, dtype=torch.float64, generator=torch.Generator())
    values = basis(directions, 3) @ coefficients
    got = project(values, directions, angles, 3)
    torch.testing.assert_close(got, coefficients, atol=1e-5, rtol=0)


def test_even_directions_are_unit_and_balanced():
    directions = even_directions(1000)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(1000, dtype=torch.float64))
    assert directions.mean(0).abs().max() < 1e-3
    second_moment = directions.T @ directions / 1000
    torch.testing.assert_close(
        second_moment, torch.eye(3, dtype=torch.float64) / 3, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_rotation_turns_the_function_on_held_out_directions(degree):
    sh = torch.randn(5, (degree + 1) ** 2, 3, dtype=torch.float64, generator=torch.Generator())
    rotation, directions = random_rotation(1), random_directions(200, seed=2)
    turned = basis(directions @ rotation.T, degree) @ rotate_sh(sh, rotation)
    torch.testing.assert_close(turned, basis(directions, degree) @ sh, atol=1e-12, rtol=0)


def test_quarter_turn_about_z_by_hand():
    sh = torch.zeros(1, 4, 1, dtype=torch.float64)
    sh[0, 3] = -1.0  # bright towards +x
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)  # +x to +y
    expected = torch.tensor([0.0, -1, 0, 0], dtype=torch.float64)  # bright towards +y
    torch.testing.assert_close(rotate_sh(sh, turn)[0, :, 0], expected)


def test_rotations_compose_and_keep_energy():
    sh = torch.randn(3, 16, 3, dtype=torch.float64, generator=torch.Generator())
    first, second = random_rotation(3), random_rotation(4)
    torch.testing.assert_close(
        rotate_sh(rotate_sh(sh, first), second), rotate_sh(sh, second @ first)
    )
    torch.testing.assert_close(rotate_sh(sh, first).norm(), sh.norm())


def test_rotation_keeps_single_precision_and_has_a_gradient():
    sh = torch.randn(2, 9, 3, generator=torch.Generator())
    assert rotate_sh(sh, torch.eye(3)).dtype == torch.float32
    torch.testing.assert_close(rotate_sh(sh, torch.eye(3)), sh)
    sh64 = sh.double().requires_grad_()
    assert gradcheck(lambda value: rotate_sh(value, random_rotation(5)), (sh64,))


def test_basis_has_a_gradient():
    assert gradcheck(lambda value: basis(value, 3), (random_directions(4).requires_grad_(),))


def test_degree_of_refuses_what_is_no_square():
    assert [degree_of(count) for count in (1, 4, 9, 16)] == [0, 1, 2, 3]
    with pytest.raises(AssertionError):
        degree_of(10)
