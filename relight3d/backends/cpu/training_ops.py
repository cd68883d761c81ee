"""The kernel's functions for training beside drawing; see `backends.fused`, which chooses them.

float32 on the CPU only. The number of threads changes no bit.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from relight3d.backends.cpu import library
from relight3d.core.agreement import BEND
from relight3d.core.planes import GRAZING, JUMP_RATIO, JUMP_SHARE

# pyright: reportIncompatibleMethodOverride=false, reportReturnType=false


def _planes(image: Tensor) -> Tensor:
    """[H, W, ch] as contiguous [ch, H, W]; no copy where channels already are planes in memory."""
    return image.movedim(-1, 0).contiguous()


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
    @once_differentiable
    def backward(ctx, v_features: Tensor):
        splats = ctx.saved_tensors
        gradients = [torch.empty_like(tensor) for tensor in splats[:4]]
        library.call("r3d_look_backward", *splats, *ctx.sizes, v_features.contiguous(), *gradients)
        return *gradients, None, None


def splat_look(
    sh_dc: Tensor, sh_rest: Tensor, means: Tensor, quats_wxyz: Tensor, center: Tensor, degree: int
) -> Tensor:
    """See `backends.fused.splat_look`."""
    shapes = [tuple(tensor.shape) for tensor in (sh_dc, sh_rest, means, quats_wxyz, center)]
    count, given = len(means), sh_rest.shape[1]
    assert shapes == [(count, 1, 3), (count, given, 3), (count, 3), (count, 4), (3,)], shapes
    assert 0 <= degree <= 3 and given >= (degree + 1) ** 2 - 1, (degree, given)
    return _SplatLook.apply(
        sh_dc, sh_rest, means, quats_wxyz, center.detach().to(torch.float32), degree
    )


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image: Tensor, target: Tensor, dssim_weight: float, differentiate: bool):
        gradient = torch.empty_like(image) if differentiate else None
        of_target = torch.empty_like(target) if differentiate and target.requires_grad else None
        loss = image.new_empty(())
        library.call(
            "r3d_photo_loss", image, target, *image.shape[1:], len(image), dssim_weight,
            library.get_num_threads(), loss, gradient, of_target,
        )  # fmt: skip
        ctx.save_for_backward(gradient, of_target)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, v_loss: Tensor):
        of_image, of_target = ctx.saved_tensors
        return of_image * v_loss, None if of_target is None else of_target * v_loss, None, None


def photometric(image: Tensor, target: Tensor, dssim_weight: float) -> Tensor:
    """See `core.ssim.photometric`."""
    assert image.dim() == 3 and image.shape == target.shape, (image.shape, target.shape)
    differentiate = torch.is_grad_enabled() and (image.requires_grad or target.requires_grad)
    return _Photometric.apply(_planes(image), _planes(target), float(dssim_weight), differentiate)


class _SurfaceAgreement(torch.autograd.Function):
    @staticmethod
    def forward(ctx, normal: Tensor, distance: Tensor, alpha: Tensor, rays: Tensor):
        constants = torch.tensor([GRAZING, JUMP_RATIO, JUMP_SHARE, BEND])
        maps = (normal, distance, alpha, rays, constants)
        terms = normal.new_empty(2)
        ctx.save_for_backward(*maps)
        ctx.sizes = (*alpha.shape[1:], library.get_num_threads())
        library.call("r3d_surface_loss", *maps, *ctx.sizes, terms)
        return terms

    @staticmethod
    @once_differentiable
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
    size = tuple(alpha.shape[:2])
    shapes = [tuple(tensor.shape) for tensor in (normal, distance, alpha, rays)]
    assert shapes == [(*size, 3), (*size, 1), (*size, 1), (*size, 3)] and min(size) >= 3, shapes
    maps = [_planes(map) for map in (normal, distance, alpha, rays)]
    consistency, spread = _SurfaceAgreement.apply(*maps).unbind()
    return consistency, spread
