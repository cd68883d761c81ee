"""The door of the CPU rasterizer: checks what comes in, converts it, calls the operator."""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.backends.cpu import library, torch_ops
from relight3d.backends.interface import RasterOptions
from relight3d.core.errors import ConfigurationError
from relight3d.core.types import Cameras, Gaussians, Raster

MAX_SIDE_PX = 1 << 16


def _check(gaussians: Gaussians, features: Tensor, cameras: Cameras) -> None:
    count, views = len(gaussians), len(cameras)
    fits = features.shape[-2] == count and (features.dim() == 2 or features.shape[0] == views)
    if not fits or features.shape[-1] < 1:
        raise ConfigurationError(
            f"Features must be [{count}, F] or [{views}, {count}, F] with F >= 1 for {count} "
            f"Gaussians and {views} cameras, got {list(features.shape)}."
        )
    if not (1 <= cameras.width_px <= MAX_SIDE_PX and 1 <= cameras.height_px <= MAX_SIDE_PX):
        raise ConfigurationError(
            f"An image must be 1 to {MAX_SIDE_PX} pixels wide and high, got "
            f"{cameras.width_px} x {cameras.height_px}."
        )
    if count >= 1 << 31:
        raise ConfigurationError(f"The CPU rasterizer counts splats in 31 bits, got {count}.")
    for name, tensor in (("means", gaussians.means), ("features", features)):
        if tensor.device.type != "cpu":
            raise ConfigurationError(
                f"The CPU rasterizer was given {name} on '{tensor.device}'. Move the scene to the "
                "CPU, or use the gsplat backend."
            )


def rasterize(
    gaussians: Gaussians,
    features: Float[Tensor, "N F"] | Float[Tensor, "C N F"],
    cameras: Cameras,
    options: RasterOptions = RasterOptions(),
) -> Raster:
    """Draw with the SIMD kernel. See `interface.Rasterizer` for the contract.

    Works in float32 (camera positions in float64) and returns float32, whatever comes in. Splats
    whose geometry is not finite are skipped; features that are not finite spread to the pixels
    around them. Results do not depend on the number of threads.

    Raises:
        ConfigurationError: Shapes, image size or device do not fit.
        BackendUnavailableError: The kernel is not built.
        Relight3dError: More intersections than 32-bit counters hold.
    """
    _check(gaussians, features, cameras)
    splats = [
        tensor.to(torch.float32).contiguous()
        for tensor in (
            gaussians.means,
            gaussians.quats_wxyz,
            gaussians.scales,
            gaussians.opacities,
            features,
        )
    ]
    poses, intrinsics = (
        tensor.detach().to("cpu", torch.float64).contiguous()
        for tensor in (cameras.world_to_camera, cameras.intrinsics)
    )
    keep_state = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in splats)
    drawn, alpha, visible, _ = torch_ops.rasterize_op(
        *splats, poses, intrinsics, cameras.width_px, cameras.height_px,
        options.antialias, options.near, options.far, keep_state,
    )  # fmt: skip
    return Raster(features=drawn, alpha=alpha, visible=visible)


__all__ = ["library", "rasterize"]
