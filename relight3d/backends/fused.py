"""What every training step computes beside drawing, through the CPU kernel where that applies.

Each function is one of `core`'s, or a few of them together, in one pass over memory; where tensors
are not float32 on the CPU, or the kernel is not built, it is those very functions.
"""

from functools import lru_cache
from importlib import import_module

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core import agreement, planes
from relight3d.core.errors import BackendUnavailableError
from relight3d.core.radiance import radiance_srgb
from relight3d.core.ssim import photometric as plain_photometric


@lru_cache
def _kernel_is_built() -> bool:
    try:
        import_module("relight3d.backends.cpu.library").available_isas()
    except BackendUnavailableError:
        return False
    return True


def kernel_serves(*tensors: Tensor) -> bool:
    """Whether the CPU kernel is built and can take these tensors."""
    plain = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    return plain and _kernel_is_built()


def splat_look(
    sh_dc: Float[Tensor, "N 1 3"],
    sh_rest: Float[Tensor, "N K 3"],
    means: Float[Tensor, "N 3"],
    quats_wxyz: Float[Tensor, "N 4"],
    center: Float[Tensor, "3"],
    degree: int,
) -> Float[Tensor, "N 7"]:
    """What a camera at `center` sees of each splat: colour, facing normal, plane distance.

    Differentiable as `core.radiance.radiance_srgb`, `core.planes.splat_normals`, `facing` and
    `plane_distance` are, of which it is the concatenation; `center` is a constant.
    """
    center = center.detach()
    if kernel_serves(sh_dc, sh_rest, means, quats_wxyz, center.to(means.dtype)):
        from relight3d.backends.cpu.training_ops import splat_look as fused

        return fused(sh_dc, sh_rest, means, quats_wxyz, center, degree)
    color = radiance_srgb(sh_dc, sh_rest, means, center, degree)
    normals = planes.facing(planes.splat_normals(quats_wxyz), means, center)
    return torch.cat([color, normals, planes.plane_distance(normals, means, center)], -1)


def photometric(
    image: Float[Tensor, "H W ch"], target: Float[Tensor, "H W ch"], dssim_weight: float
) -> Float[Tensor, ""]:
    """`core.ssim.photometric`."""
    if kernel_serves(image, target):
        from relight3d.backends.cpu.training_ops import photometric as fused

        return fused(image, target, dssim_weight)
    return plain_photometric(image, target, dssim_weight)


def surface_agreement(
    normal: Float[Tensor, "H W 3"],
    distance: Float[Tensor, "H W 1"],
    alpha: Float[Tensor, "H W 1"],
    rays: Float[Tensor, "H W 3"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """`core.agreement.normal_consistency` and `normal_spread`; rays are constants."""
    rays = rays.detach()
    if kernel_serves(normal, distance, alpha, rays) and min(alpha.shape[:2]) >= 3:
        from relight3d.backends.cpu.training_ops import surface_agreement as fused

        return fused(normal, distance, alpha, rays)
    consistency = agreement.normal_consistency(normal, distance, alpha, rays)
    return consistency, agreement.normal_spread(normal, alpha)
