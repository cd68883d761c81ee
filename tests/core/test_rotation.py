import math

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.core.rotation import (
    matrix_from_quaternion,
    multiply_quaternions,
    quaternion_from_matrix,
)


def random_quaternions(count: int) -> torch.Tensor:
    values = torch.randn(count, 4, generator=torch.Generator(), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


def test_quarter_turn_about_z_moves_x_to_y():
    half = math.sqrt(0.5)
    turn = matrix_from_quaternion(torch.tensor([half, 0.0, 0.0, half]))
    torch.testing.assert_close(turn @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]))


def test_matrices_are_proper_rotations_whatever_the_length():
    matrices = matrix_from_quaternion(7 * random_quaternions(50))
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(matrices @ matrices.transpose(1, 2), identity)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(50, dtype=torch.float64))


def test_round_trip():
    quats = random_quaternions(200)
    back = quaternion_from_matrix(matrix_from_quaternion(quats))
    assert (back[:, 0] >= 0).all()
    torch.testing.assert_close(back, torch.where(quats[:, :1] < 0, -quats, quats))


@pytest.mark.parametrize("axis", [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (0.6, 0, 0.8)])
def test_half_turns_survive(axis):
    direction = torch.tensor(axis, dtype=torch.float64)
    half_turn = 2 * torch.outer(direction, direction) - torch.eye(3, dtype=torch.float64)
    back = matrix_from_quaternion(quaternion_from_matrix(half_turn))
    torch.testing.assert_close(back, half_turn)


def test_product_is_second_then_first():
    first, second = random_quaternions(20), random_quaternions(40)[20:]
    torch.testing.assert_close(
        matrix_from_quaternion(multiply_quaternions(first, second)),
        matrix_from_quaternion(first) @ matrix_from_quaternion(second),
    )


def test_gradients():
    quats = random_quaternions(5).requires_grad_()
    assert gradcheck(matrix_from_quaternion, (quats,))
    assert gradcheck(lambda q: quaternion_from_matrix(matrix_from_quaternion(q)), (quats,))
