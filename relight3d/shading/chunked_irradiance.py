"""Occluded irradiance of many points, chunk by chunk in the cache, with its gradient by hand.

The plain expression `(V * max(0, n.d)) @ L` makes autograd keep and revisit five [N, D] tensors;
here each chunk is recomputed in the backward pass and nothing of that size is kept.
"""

import torch
from jaxtyping import Float
from torch import Tensor

_CHUNK = 2048


class _Irradiance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights: Tensor, normals: Tensor, directions: Tensor, radiance: Tensor):
        ctx.save_for_backward(weights, normals, directions, radiance)
        axes, out = directions.t().contiguous(), []
        for weight, normal in zip(weights.split(_CHUNK), normals.split(_CHUNK), strict=True):
            out.append((normal @ axes).clamp_min_(0.0).mul_(weight) @ radiance)
        return torch.cat(out)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        weights, normals, directions, radiance = ctx.saved_tensors
        turning = ctx.needs_input_grad[1]
        axes = directions.t().contiguous()
        back = radiance.t().contiguous()
        grad_radiance, grad_normals = torch.zeros_like(radiance), []
        chunks = zip(weights.split(_CHUNK), normals.split(_CHUNK), grad.split(_CHUNK), strict=True)
        for weight, normal, part in chunks:
            cosine = normal @ axes
            lit = (cosine > 0).to(weight.dtype).mul_(weight)
            grad_radiance += (cosine.mul_(lit)).t() @ part
            if turning:
                grad_normals.append(lit.mul_(part @ back) @ directions)
        return None, torch.cat(grad_normals) if turning else None, None, grad_radiance


def irradiance(
    weights: Float[Tensor, "N D"],
    normals: Float[Tensor, "N 3"],
    directions: Float[Tensor, "D 3"],
    radiance: Float[Tensor, "D C"],
) -> Float[Tensor, "N C"]:
    """Sum over directions of weight * max(0, n.d) * radiance.

    Args:
        weights: Visibility in [0, 1] times the solid angle of each direction's cell. Constant.
        normals: Unit. Differentiable.
        directions: Unit. Constant.
        radiance: Any number of channels. Differentiable.
    """
    return _Irradiance.apply(weights, normals, directions, radiance)  # pyright: ignore[reportReturnType]
