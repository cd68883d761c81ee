"""Quaternions (wxyz) and rotation matrices. Pure, differentiable, any floating type."""

import torch
from jaxtyping import Float
from torch import Tensor


def matrix_from_quaternion(quats_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions of any non-zero length."""
    w, x, y, z = torch.nn.functional.normalize(quats_wxyz, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def quaternion_from_matrix(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions with w >= 0. Differentiable away from half turns.

    Picks, per matrix, the largest of the four possible pivots (Shepperd 1978), which never divides
    by less than 1.
    """
    m = rotation.flatten(-2)
    xx, xy, xz, yx, yy, yz, zx, zy, zz = m.unbind(-1)
    pivots = torch.stack(
        [1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], -1
    )
    candidates = torch.stack(
        [
            torch.stack([pivots[..., 0], zy - yz, xz - zx, yx - xy], -1),
            torch.stack([zy - yz, pivots[..., 1], xy + yx, xz + zx], -1),
            torch.stack([xz - zx, xy + yx, pivots[..., 2], yz + zy], -1),
            torch.stack([yx - xy, xz + zx, yz + zy, pivots[..., 3]], -1),
        ],
        -2,
    )
    best = pivots.argmax(-1)[..., None, None].expand(*pivots.shape[:-1], 1, 4)
    quats = torch.nn.functional.normalize(candidates.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(quats[..., :1] < 0, -quats, quats)


def multiply_quaternions(
    first_wxyz: Float[Tensor, "*batch 4"], second_wxyz: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch 4"]:
    """Hamilton product: the rotation `second`, then `first`."""
    aw, ax, ay, az = first_wxyz.unbind(-1)
    bw, bx, by, bz = second_wxyz.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )
