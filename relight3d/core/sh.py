"""Real spherical harmonics up to degree 3: the one basis in the package.

Signs and order are those of 3DGS and gsplat: per degree l the orders m = -l..l, with the
Condon-Shortley sign, so that Y_1 = C1 * (-y, z, -x). (nerfstudio's basis differs by -1 on every
odd order.) Orthonormal over the sphere: the integral of Y_i Y_j over solid angle is delta_ij.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005,
      -1.0925484305920792, 0.5462742152960396)  # fmt: skip
C3 = (-0.5900435899266435, 2.890611442640554, -0.4570457994644658, 0.3731763325901154,
      -0.4570457994644658, 1.445305721320277, -0.5900435899266435)  # fmt: skip


def basis(directions: Float[Tensor, "*batch 3"], degree: int) -> Float[Tensor, "*batch K"]:
    """Evaluate the (degree + 1)^2 basis functions at unit directions. Differentiable."""
    x, y, z = directions.unbind(-1)
    values = [torch.full_like(x, C0)]
    if degree >= 1:
        values += [-C1 * y, C1 * z, -C1 * x]
    if degree >= 2:
        xx, yy, zz = x * x, y * y, z * z
        values += [
            C2[0] * x * y, C2[1] * y * z, C2[2] * (2 * zz - xx - yy), C2[3] * x * z,
            C2[4] * (xx - yy),
        ]  # fmt: skip
        if degree >= 3:
            values += [
                C3[0] * y * (3 * xx - yy), C3[1] * x * y * z, C3[2] * y * (4 * zz - xx - yy),
                C3[3] * z * (2 * zz - 3 * xx - 3 * yy), C3[4] * x * (4 * zz - xx - yy),
                C3[5] * z * (xx - yy), C3[6] * x * (xx - 3 * yy),
            ]  # fmt: skip
    return torch.stack(values, -1)


def degree_of(count: int) -> int:
    """The degree that has `count` = (degree + 1)^2 coefficients."""
    degree = round(count**0.5) - 1
    assert (degree + 1) ** 2 == count, count
    return degree


def project(
    values: Float[Tensor, "*batch D C"],
    directions: Float[Tensor, "D 3"],
    solid_angles: Float[Tensor, " D"],
    degree: int,
) -> Float[Tensor, "*batch K C"]:
    """Coefficients of a function known at unit directions that cover the sphere evenly.

    The integral over the sphere of value * basis, as a sum weighted with the solid angle (sr) that
    each direction stands for; these sum to 4 pi. Differentiable.
    """
    return (basis(directions, degree) * solid_angles[:, None]).T @ values


def rotate_sh(sh: Float[Tensor, "N K C"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "N K C"]:
    """Coefficients of the functions turned by `rotation`: g(R d) = f(d).

    Each degree turns within itself, by the matrix that maps the basis at fixed directions to the
    basis at these directions turned back, solved in float64. Differentiable in `sh`.
    """
    degree = degree_of(sh.shape[1])
    directions = even_directions(64)
    rotation64 = rotation.detach().to(device="cpu", dtype=torch.float64)
    there, back = basis(directions, degree), basis(directions @ rotation64, degree)
    rotated = []
    for low in range(degree + 1):
        band = slice(low * low, (low + 1) * (low + 1))
        matrix = torch.linalg.lstsq(there[:, band], back[:, band]).solution
        rotated.append(matrix.to(sh) @ sh[:, band])
    return torch.cat(rotated, 1)


def even_directions(count: int) -> Float[Tensor, "count 3"]:
    """`count` unit directions spread evenly over the sphere (Fibonacci spiral), float64.

    Each stands for 4 pi / count of solid angle.
    """
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * index / count
    azimuth = index * (math.pi * (3 - math.sqrt(5)))
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], -1)
