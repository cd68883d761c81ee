"""The kernel as torch operators: eager, autograd, and fake tensors for `torch.compile` and export.

The forward operator's last output, `state`, stands for the C++ context that the backward pass
needs: a byte whose storage, when torch lets go of it, frees the context. So a context lives exactly
as long as the graph that may still use it.
"""

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

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


def _operator(name: str, on_cpu: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Make it known to torch.

    Not by `torch.library.custom_op`: at its first call that loads torch's compiler, which takes two
    seconds.
    """
    torch.library.define(name, torch.library.infer_schema(on_cpu, mutates_args=()))
    torch.library.impl(name, "cpu", on_cpu)
    torch.library.register_fake(name, fake)
    namespace, operator = name.split("::")
    return getattr(getattr(torch.ops, namespace), operator).default


def _rasterize(
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
        Features [C, H, W, F], each channel a plane of its own in memory, alpha [C, H, W, 1],
        visible [C, N] and the state.
    """
    cameras, count = world_to_camera.shape[0], means.shape[0]
    drawn = means.new_empty(cameras, features.shape[-1], height, width)
    alpha = means.new_empty(cameras, height, width, 1)
    visible = means.new_empty(cameras, count, dtype=torch.bool)
    splats = [means, quats_wxyz, scales, opacities, features]
    scene = _scene(splats, (world_to_camera, intrinsics), (width, height), antialias, near, far)
    context = library.forward(scene, drawn, alpha, visible, keep_state)
    return drawn.movedim(1, -1), alpha, visible, _state_of(context)


def _fake_rasterize(
    means, quats_wxyz, scales, opacities, features, world_to_camera, intrinsics,
    width, height, antialias, near, far, keep_state,
):  # fmt: skip
    cameras = world_to_camera.shape[0]
    return (
        means.new_empty(cameras, features.shape[-1], height, width).movedim(1, -1),
        means.new_empty(cameras, height, width, 1),
        means.new_empty(cameras, means.shape[0], dtype=torch.bool),
        means.new_empty(int(keep_state), dtype=torch.uint8),
    )


rasterize_op = _operator("relight3d::rasterize", _rasterize, _fake_rasterize)


def _rasterize_backward(
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

    `v_features` is in planes, [C, F, H, W]. Without `of_geometry`, the first four are empty.
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


def _fake_backward(
    v_features, v_alpha, state, means, quats_wxyz, scales, opacities, features,
    world_to_camera, intrinsics, width, height, antialias, near, far, of_geometry,
):  # fmt: skip
    return tuple(_empty_gradients([means, quats_wxyz, scales, opacities, features], of_geometry))


rasterize_backward_op = _operator(
    "relight3d::rasterize_backward", _rasterize_backward, _fake_backward
)


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
        tensors[0].new_zeros(shape) if v is None else v
        for v, shape in zip((v_features, v_alpha), ctx.shapes, strict=True)
    )
    v_features, v_alpha = v_features.movedim(-1, 1).contiguous(), v_alpha.contiguous()
    of_geometry = any(ctx.needs_input_grad[:4])
    gradients = rasterize_backward_op(
        v_features, v_alpha, state, *tensors, *ctx.settings, of_geometry
    )
    if not of_geometry:
        gradients = (*[None] * 4, gradients[4])
    return (*gradients, *[None] * 8)


torch.library.register_autograd("relight3d::rasterize", _backward, setup_context=_setup_context)
