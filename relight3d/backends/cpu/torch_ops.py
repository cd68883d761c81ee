"""The kernel as torch operators: eager, autograd, and fake tensors for `torch.compile` and export.

The forward operator's last output, `state`, stands for the C++ context that the backward pass
needs: a byte whose storage, when torch lets go of it, frees the context. So a context lives exactly
as long as the graph that may still use it.
"""

import ctypes
import weakref

import torch
from torch import Tensor

from relight3d.backends.cpu import library
from relight3d.core.conventions import EPS2D_PX2
from relight3d.core.errors import Relight3dError

ROW_BYTES = 128 << 20
"""Budget of the backward pass's gradient rows; scenes that need more are done in bands of tiles."""

_contexts: dict[int, library.Context] = {}
"""By address of the state's byte. A copy of it has another address: an error, not a crash."""


def _release(address: int) -> None:
    _contexts.pop(address).free()


def _state_of(context: library.Context | None) -> Tensor:
    if context is None:
        return torch.empty(0, dtype=torch.uint8)
    owner = (ctypes.c_uint8 * 1)()
    address = ctypes.addressof(owner)
    _contexts[address] = context
    weakref.finalize(owner, _release, address)
    return torch.frombuffer(owner, dtype=torch.uint8)


def _scene(
    splats: list[Tensor], cameras: tuple[Tensor, Tensor], size: tuple[int, int], antialias: bool,
    near: float, far: float,
) -> library.Scene:  # fmt: skip
    features = splats[-1]
    return library.Scene(
        splats=splats[0].shape[0],
        cameras=cameras[0].shape[0],
        channels=features.shape[-1],
        feature_stride=features[0].numel() if features.dim() == 3 else 0,
        width=size[0],
        height=size[1],
        **{
            name: tensor.data_ptr()
            for name, tensor in zip(
                ("means", "quats_wxyz", "scales", "opacities", "features"), splats, strict=True
            )
        },
        world_to_camera=cameras[0].data_ptr(),
        intrinsics=cameras[1].data_ptr(),
        near=near,
        far=far,
        eps2d=EPS2D_PX2,
        antialias=antialias,
        threads=library.get_num_threads(),
        row_bytes=ROW_BYTES,
    )


@torch.library.custom_op("relight3d::rasterize", mutates_args=(), device_types="cpu")
def rasterize_op(
    means: Tensor,
    quats_wxyz: Tensor,
    scales: Tensor,
    opacities: Tensor,
    features: Tensor,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    antialias: bool,
    near: float,
    far: float,
    keep_state: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw; all float tensors contiguous float32, the cameras float64.

    Returns:
        Features [C, H, W, F], alpha [C, H, W, 1], visible [C, N] and the state.
    """
    cameras, count = world_to_camera.shape[0], means.shape[0]
    drawn = means.new_empty(cameras, height, width, features.shape[-1])
    alpha = means.new_empty(cameras, height, width, 1)
    visible = means.new_empty(cameras, count, dtype=torch.bool)
    splats = [means, quats_wxyz, scales, opacities, features]
    scene = _scene(splats, (world_to_camera, intrinsics), (width, height), antialias, near, far)
    context = library.forward(scene, drawn, alpha, visible, keep_state)
    return drawn, alpha, visible, _state_of(context)


@rasterize_op.register_fake
def _(
    means, quats_wxyz, scales, opacities, features, world_to_camera, intrinsics,
    width, height, antialias, near, far, keep_state,
):  # fmt: skip
    cameras = world_to_camera.shape[0]
    return (
        means.new_empty(cameras, height, width, features.shape[-1]),
        means.new_empty(cameras, height, width, 1),
        means.new_empty(cameras, means.shape[0], dtype=torch.bool),
        means.new_empty(int(keep_state), dtype=torch.uint8),
    )


@torch.library.custom_op("relight3d::rasterize_backward", mutates_args=(), device_types="cpu")
def rasterize_backward_op(
    v_features: Tensor,
    v_alpha: Tensor,
    state: Tensor,
    means: Tensor,
    quats_wxyz: Tensor,
    scales: Tensor,
    opacities: Tensor,
    features: Tensor,
    world_to_camera: Tensor,
    intrinsics: Tensor,
    width: int,
    height: int,
    antialias: bool,
    near: float,
    far: float,
    of_geometry: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the five differentiable inputs of `rasterize_op`, whose `state` this takes.

    Without `of_geometry`, the first four are empty.
    """
    context = _contexts.get(state.data_ptr()) if state.numel() else None
    if context is None:
        raise Relight3dError(
            "The backward pass of the CPU rasterizer found no state of its forward pass: the saved "
            "tensor was copied (hooks on saved tensors?). Run backward on the original graph."
        )
    splats = [means, quats_wxyz, scales, opacities, features]
    gradients = _empty_gradients(splats, of_geometry)
    scene = _scene(splats, (world_to_camera, intrinsics), (width, height), antialias, near, far)
    library.backward(context, scene, v_features, v_alpha, gradients)
    return tuple(gradients)  # pyright: ignore[reportReturnType]


def _empty_gradients(splats: list[Tensor], of_geometry: bool) -> list[Tensor]:
    *geometry, features = splats
    like = [torch.empty_like(x) if of_geometry else x.new_empty(0) for x in geometry]
    return [*like, torch.empty_like(features)]


@rasterize_backward_op.register_fake
def _(
    v_features, v_alpha, state, means, quats_wxyz, scales, opacities, features,
    world_to_camera, intrinsics, width, height, antialias, near, far, of_geometry,
):  # fmt: skip
    return tuple(_empty_gradients([means, quats_wxyz, scales, opacities, features], of_geometry))


def _setup_context(ctx, inputs, output) -> None:
    *tensors, width, height, antialias, near, far, _ = inputs
    drawn, alpha, visible, state = output
    ctx.mark_non_differentiable(visible, state)
    ctx.save_for_backward(*tensors, state)
    ctx.settings = (width, height, antialias, near, far)
    ctx.shapes = (drawn.shape, alpha.shape)


def _backward(ctx, v_features, v_alpha, _v_visible, _v_state):
    *tensors, state = ctx.saved_tensors
    v_features, v_alpha = (
        tensors[0].new_zeros(shape) if v is None else v.contiguous()
        for v, shape in zip((v_features, v_alpha), ctx.shapes, strict=True)
    )
    of_geometry = any(ctx.needs_input_grad[:4])
    gradients = rasterize_backward_op(
        v_features, v_alpha, state, *tensors, *ctx.settings, of_geometry
    )
    if not of_geometry:
        gradients = (*[None] * 4, gradients[4])
    return (*gradients, *[None] * 8)


rasterize_op.register_autograd(_backward, setup_context=_setup_context)
