"""The kernel's functions for training beside drawing; see `backends.fused`, which chooses them.

float32 on the CPU only. The number of threads changes no bit.
"""

import torch
from torch import Tensor

from relight3d.backends.cpu import library
from relight3d.core.agreement import BEND
from relight3d.core.planes import GRAZING, JUMP_RATIO, JUMP_SHARE

# pyright: reportIncompatibleMethodOverride=false, reportReturnType=false


class _SplatLook(torch.autograd.Function):
    @staticmethod
    def forward(ctx, dc: Tensor, rest: Tensor, means: Tensor, quats: Tensor, center, degree: int):
        splats = [tensor.contiguous() for tensor in (dc, rest, means, quats, center)]
        features = means.new_empty(len(means), 7)
        ctx.save_for_backward(*splats)
        ctx.sizes = (len(means), rest[:1].numel(), degree, library.get_num_threads())
        library.call("r3d_look", *splats, *ctx.sizes, features)
        return features

    @staticmethod
    def backward(ctx, v_features: Tensor):
        splats = ctx.saved_tensors
        gradients = [torch.empty_like(tensor) for tensor in splats[:4]]
        library.call("r3d_look_backward", *splats, *ctx.sizes, v_features.contiguous(), *gradients)
        return *gradients, None, None


def splat_look(
    sh_dc: Tensor, sh_rest: Tensor, means: Tensor, quats_wxyz: Tensor, center: Tensor, degree: int
) -> Tensor:
    """See `backends.fused.splat_look`."""
    assert (degree + 1) ** 2 - 1 <= sh_rest.shape[1] <= 15, (degree, sh_rest.shape)
    return _SplatLook.apply(
        sh_dc, sh_rest, means, quats_wxyz, center.detach().to(torch.float32), degree
    )


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image: Tensor, target: Tensor, dssim_weight: float):
        needed = any(ctx.needs_input_grad)
        gradient = torch.empty_like(image) if needed else None
        of_target = torch.empty_like(target) if ctx.needs_input_grad[1] else None
        loss = image.new_empty(())
        library.call(
            "r3d_photo_loss", image, target, *image.shape, dssim_weight,
            library.get_num_threads(), loss, gradient, of_target,
        )  # fmt: skip
        ctx.gradients = (gradient, of_target)
        return loss

    @staticmethod
    def backward(ctx, v_loss: Tensor):
        return *(None if part is None else part * v_loss for part in ctx.gradients), None


def photometric(image: Tensor, target: Tensor, dssim_weight: float) -> Tensor:
    """See `core.ssim.photometric`."""
    assert image.shape == target.shape, (image.shape, target.shape)
    return _Photometric.apply(image.contiguous(), target.contiguous(), float(dssim_weight))


class _SurfaceAgreement(torch.autograd.Function):
    @staticmethod
    def forward(ctx, normal: Tensor, distance: Tensor, alpha: Tensor, rays: Tensor):
        maps = [tensor.contiguous() for tensor in (normal, distance, alpha, rays)]
        maps.append(torch.tensor([GRAZING, JUMP_RATIO, JUMP_SHARE, BEND]))
        terms = normal.new_empty(2)
        ctx.save_for_backward(*maps)
        ctx.sizes = (*normal.shape[:2], library.get_num_threads())
        library.call("r3d_surface_loss", *maps, *ctx.sizes, terms)
        return terms

    @staticmethod
    def backward(ctx, v_terms: Tensor):
        maps = ctx.saved_tensors
        gradients = [torch.empty_like(tensor) for tensor in maps[:3]]
        library.call(
            "r3d_surface_loss_backward", *maps, *ctx.sizes, v_terms.contiguous(), *gradients
        )
        return *gradients, None


def surface_agreement(
    normal: Tensor, distance: Tensor, alpha: Tensor, rays: Tensor
) -> tuple[Tensor, Tensor]:
    """See `backends.fused.surface_agreement`. At least 3 x 3 pixels."""
    consistency, spread = _SurfaceAgreement.apply(normal, distance, alpha, rays).unbind()
    return consistency, spread
