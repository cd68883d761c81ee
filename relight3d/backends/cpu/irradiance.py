"""Occluded irradiance in the compiled kernel, as a differentiable function.

What `shading.chunked_irradiance` computes, without copying the chosen rows of the weights.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from relight3d.backends.cpu import library

CHANNELS = 4
"""Of radiance, in the kernel; fewer are padded with zeros."""


class _Irradiance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights, rows, normals, directions, radiance):
        inputs = (weights, rows, normals, directions, radiance)
        ctx.save_for_backward(*inputs)
        out = normals.new_empty(len(normals), CHANNELS)
        library.call("r3d_irradiance", *inputs, out, *_sizes(weights, normals))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # pyright: ignore[reportIncompatibleMethodOverride]
        weights, rows, normals, directions, radiance = ctx.saved_tensors
        v_normals = torch.empty_like(normals) if ctx.needs_input_grad[2] else None
        v_radiance = torch.empty_like(radiance)
        library.call(
            "r3d_irradiance_backward", weights, rows, normals, directions, radiance,
            grad.contiguous(), v_normals, v_radiance, *_sizes(weights, normals),
        )  # fmt: skip
        return None, None, v_normals, None, v_radiance


def _sizes(weights: Tensor, normals: Tensor) -> tuple[int, int, int, int]:
    return len(normals), *weights.shape, library.get_num_threads()  # pyright: ignore[reportReturnType]


def irradiance(
    weights: Float[Tensor, "N D"],
    normals: Float[Tensor, "n 3"],
    directions: Float[Tensor, "D 3"],
    radiance: Float[Tensor, "D C"],
    rows: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, "n C"]:
    """Sum over directions of weight * max(0, n.d) * radiance. All in float32 on the CPU.

    Results do not depend on the number of threads.

    Args:
        weights: Visibility in [0, 1] times the solid angle of each direction's cell. Constant.
        normals: Unit. Differentiable.
        directions: Unit. Constant.
        radiance: At most four channels. Differentiable.
        rows: The row of `weights` of each point; None: one after the other.
    """
    channels, points = radiance.shape[1], len(weights) if rows is None else len(rows)
    assert normals.shape == (points, 3), (normals.shape, points)
    assert weights.shape[1:] == directions.shape[:1] == radiance.shape[:1], weights.shape
    assert directions.shape[1:] == (3,) and channels <= CHANNELS, radiance.shape
    assert rows is None or rows.dtype == torch.int64, rows
    padded = torch.nn.functional.pad(radiance, (0, CHANNELS - channels))
    found = _Irradiance.apply(
        weights.contiguous(), None if rows is None else rows.contiguous(),
        normals.contiguous(), directions.contiguous(), padded.contiguous(),
    )  # fmt: skip
    return found[:, :channels]  # pyright: ignore[reportOptionalSubscript]
