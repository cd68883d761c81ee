"""The CUDA rasterizer: gsplat's own kernels (Apache-2.0). The only file that imports gsplat.

Speaks gsplat 1.4 to 1.6, told apart by the signature of `gsplat.rasterization` rather than by the
version. Never uses gsplat's wrappers around other people's rasterizers.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.backends.interface import RasterOptions
from relight3d.core.conventions import EPS2D_PX2
from relight3d.core.errors import BackendUnavailableError, ConfigurationError
from relight3d.core.types import Cameras, Gaussians, Raster

HOW_TO_INSTALL = (
    "`pip install relight3d[cuda]` brings gsplat 1.4 to 1.6, whose kernels are compiled on first "
    "use and need CUDA's nvcc (or a wheel of gsplat's own that matches torch and CUDA). "
    "`--backend cpu` draws the same pictures without a GPU."
)

_REQUIRED = (
    "means", "quats", "scales", "opacities", "colors", "viewmats", "Ks", "width", "height",
    "near_plane", "far_plane", "eps2d", "rasterize_mode",
)  # fmt: skip

_IF_KNOWN: Mapping[str, Any] = {
    "sh_degree": None,  # colours are features of any number of channels
    "packed": False,  # radii by camera and splat
    "radius_clip": 0.0,
    "render_mode": "RGB",
    "absgrad": False,
    "sparse_grad": False,
    "distributed": False,
    "camera_model": "pinhole",
    "with_ut": False,
    "with_eval3d": False,
}
"""Said explicitly where this gsplat knows the word, so that its defaults may change."""


@lru_cache
def _load() -> tuple[Callable[..., tuple[Tensor, Tensor, dict]], dict[str, Any]]:
    """Gsplat's function, and the arguments that never vary."""
    try:
        gsplat = import_module("gsplat")
        kernels = getattr(import_module("gsplat.cuda._backend"), "_C", None)
    except Exception as error:  # a failed compilation raises anything
        raise BackendUnavailableError(
            f"gsplat did not import ({type(error).__name__}: {error}). {HOW_TO_INSTALL}"
        ) from error
    version = getattr(gsplat, "__version__", "of unknown version")
    if kernels is None:
        raise BackendUnavailableError(
            f"gsplat {version} is installed, but has no kernels and found no CUDA toolkit. "
            f"{HOW_TO_INSTALL}"
        )
    known = inspect.signature(gsplat.rasterization).parameters
    missing = [name for name in _REQUIRED if name not in known]
    if missing:
        raise BackendUnavailableError(
            f"gsplat {version} has a `rasterization` without {', '.join(missing)}; 1.4 to 1.6 have "
            f"it. {HOW_TO_INSTALL}"
        )
    return gsplat.rasterization, {k: v for k, v in _IF_KNOWN.items() if k in known}


def gsplat_version() -> str:
    """The installed version, or why there is none (as BackendUnavailableError)."""
    _load()
    return getattr(import_module("gsplat"), "__version__", "unknown")


def _visible(radii: Tensor) -> Bool[Tensor, "C N"]:
    """Gsplat 1.4 gives one radius per camera and splat, later ones a radius per axis."""
    return (radii > 0).all(-1) if radii.dim() == 3 else radii > 0


def _nothing(features: Tensor, cameras: Cameras) -> Raster:
    """No splats: gsplat would launch an empty grid, which CUDA refuses."""
    size = (len(cameras), cameras.height_px, cameras.width_px)
    return Raster(
        features=features.new_zeros(*size, features.shape[-1]) + features.sum(),
        alpha=features.new_zeros(*size, 1),
        visible=torch.zeros(len(cameras), 0, dtype=torch.bool, device=features.device),
    )


def rasterize(
    gaussians: Gaussians,
    features: Float[Tensor, "N F"] | Float[Tensor, "C N F"],
    cameras: Cameras,
    options: RasterOptions = RasterOptions(),
) -> Raster:
    """Draw with gsplat on an NVIDIA GPU. See `interface.Rasterizer` for the contract.

    Works in float32, on the Gaussians' device; the cameras are moved there.

    Raises:
        BackendUnavailableError: gsplat is missing, of another kind, or without kernels.
        ConfigurationError: The Gaussians are not on a GPU, or not where the features are.
    """
    draw, fixed = _load()
    device = gaussians.means.device
    if device.type != "cuda" or features.device != device:
        raise ConfigurationError(
            f"The gsplat rasterizer was given Gaussians on '{device}' and features on "
            f"'{features.device}'. Move both to one GPU, or use the cpu backend."
        )
    return _draw(draw, fixed, gaussians, features, cameras, options)


def _draw(
    draw: Callable[..., tuple[Tensor, Tensor, dict]],
    fixed: Mapping[str, Any],
    gaussians: Gaussians,
    features: Tensor,
    cameras: Cameras,
    options: RasterOptions,
) -> Raster:
    """The mapping of arguments and results, on any device."""
    if len(gaussians) == 0:
        return _nothing(features.float(), cameras)
    cameras = cameras.to(gaussians.means.device, torch.float32)
    drawn, alpha, meta = draw(
        means=gaussians.means.float().contiguous(),
        quats=gaussians.quats_wxyz.float().contiguous(),
        scales=gaussians.scales.float().contiguous(),
        opacities=gaussians.opacities.float().contiguous(),
        colors=features.float().contiguous(),
        viewmats=cameras.world_to_camera.detach().contiguous(),
        Ks=cameras.intrinsics.detach().contiguous(),
        width=cameras.width_px,
        height=cameras.height_px,
        near_plane=options.near,
        far_plane=options.far,
        eps2d=EPS2D_PX2,
        rasterize_mode="antialiased" if options.antialias else "classic",
        **fixed,
    )
    return Raster(features=drawn, alpha=alpha, visible=_visible(meta["radii"]))
