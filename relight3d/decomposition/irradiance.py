"""Occluded irradiance by whichever code serves the tensors: the CPU kernel, else plain torch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.backends.fused import kernel_serves
from relight3d.shading import chunked_irradiance


def irradiance(
    weights: Float[Tensor, "N D"],
    normals: Float[Tensor, "n 3"],
    directions: Float[Tensor, "D 3"],
    radiance: Float[Tensor, "D C"],
    rows: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, "n C"]:
    """`backends.cpu.irradiance.irradiance`, of tensors of any type and on any device."""
    here = rows is None or (rows.device.type == "cpu" and rows.dtype == torch.int64)
    if here and kernel_serves(weights, normals, directions, radiance):
        from relight3d.backends.cpu.irradiance import irradiance as compiled

        return compiled(weights, normals, directions, radiance, rows)
    chosen = weights if rows is None else weights.index_select(0, rows)
    return chunked_irradiance.irradiance(chosen, normals, directions, radiance)
