"""Structural similarity (Wang et al. 2004), separable and with a closed-form gradient.

Gaussian window 11 x 11, sigma 1.5, constants for images in [0, 1], zero padding: the settings of
3DGS and of the TensoIR, IRGS and Mip-NeRF families of evaluators.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2
_WEIGHTS = [math.exp(-0.5 * ((k - WINDOW // 2) / SIGMA) ** 2) for k in range(WINDOW)]
TAPS = tuple(weight / sum(_WEIGHTS) for weight in _WEIGHTS)
CACHED = 1 << 18
"""Values blurred at a time: about what a processor's second-level cache holds, 1 MB."""


def _blur(maps: Float[Tensor, "M H W"]) -> Float[Tensor, "M H W"]:
    """Gaussian window, one axis after the other; symmetric, hence its own adjoint.

    Sums of shifted copies, a few maps at a time: on a CPU two to three times faster than torch's
    depthwise convolution, which is made for many channels of few pixels.
    """
    together = max(1, CACHED // (maps.shape[1] * maps.shape[2]))
    return torch.cat([_blur_axis(_blur_axis(part, 2), 1) for part in maps.split(together)])


def _blur_axis(maps: Float[Tensor, "M H W"], axis: int) -> Float[Tensor, "M H W"]:
    length, half = maps.shape[axis], WINDOW // 2
    padding = (half, half) if axis == 2 else (0, 0, half, half)
    padded = torch.nn.functional.pad(maps, padding)
    total = padded.narrow(axis, 0, length) * TAPS[0]
    for k in range(1, WINDOW):
        total.add_(padded.narrow(axis, k, length), alpha=TAPS[k])
    return total


class _MeanSsim(torch.autograd.Function):
    """Mean SSIM of `x` against a constant `y`; saves three maps instead of a graph of thirty."""

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor) -> Tensor:
        count = x.shape[0]
        mu_x, mu_y, xx, yy, xy = _blur(torch.cat([x, y, x * x, y * y, x * y])).split(count)
        a1 = 2 * mu_x * mu_y + C1
        a2 = 2 * (xy - mu_x * mu_y) + C2
        b1 = mu_x**2 + mu_y**2 + C1
        b2 = (xx - mu_x**2) + (yy - mu_y**2) + C2
        value = (a1 * a2) / (b1 * b2)
        if ctx.needs_input_grad[0]:
            # d value / d (blurred x, blurred x^2, blurred x y), the only roads from x to value.
            d_xx = -value / b2
            d_xy = 2 * a1 / (b1 * b2)
            d_mu = 2 * mu_y * (a2 - a1) / (b1 * b2) - 2 * mu_x * value * (1 / b1 - 1 / b2)
            ctx.save_for_backward(x, y, torch.cat([d_mu, d_xx, d_xy]))
        return value.mean()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, y, partials = ctx.saved_tensors
        d_mu, d_xx, d_xy = _blur(partials).split(x.shape[0])
        return (d_mu + 2 * x * d_xx + y * d_xy) * (grad / x.numel()), None


def ssim(image: Float[Tensor, "H W ch"], target: Float[Tensor, "H W ch"]) -> Float[Tensor, ""]:
    """Mean structural similarity, 1 for equal images.

    Args:
        image: Values in [0, 1]; the gradient flows here.
        target: Values in [0, 1]; a constant.
    """
    return _MeanSsim.apply(image.movedim(-1, 0).contiguous(), target.movedim(-1, 0).contiguous())  # pyright: ignore[reportReturnType]


def photometric(
    image: Float[Tensor, "H W ch"], target: Float[Tensor, "H W ch"], dssim_weight: float
) -> Float[Tensor, ""]:
    """(1 - w) L1 + w (1 - SSIM), as in 3DGS. Display-referred values.

    Differentiable in `image`, and through L1 alone in `target`.
    """
    l1 = (image - target).abs().mean()
    return torch.lerp(l1, 1 - ssim(image, target), dssim_weight) if dssim_weight else l1
