"""The one call by which splats become pixels, whatever the machine.

EWA splatting with gsplat's semantics: perspective Jacobian clamped to 1.3 x the frustum (gsplat's
limits), `EPS2D_PX2` added to the projected covariance, alpha = min(0.999, opacity * exp(-sigma)),
contributions below 1/255 skipped, compositing stopped before transmittance reaches 1e-4, depth
order by the centre's camera z. Gradients flow to means, quats, scales, opacities and features.
Not differentiable in the cameras.
"""

import dataclasses
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import Cameras, Gaussians, Raster

BackendName = Literal["auto", "reference", "cpu", "gsplat"]


@dataclasses.dataclass(frozen=True)
class RasterOptions:
    """What a caller may vary."""

    antialias: bool = False
    """Scale opacity by sqrt(det before / det after) the dilation, as Mip-Splatting and gsplat."""
    near: float = 0.01
    """World units; splats whose centre is nearer are skipped."""
    far: float = 1e10


@runtime_checkable
class Rasterizer(Protocol):
    """Draw any per-splat features: radiance, albedo, normals, plane distance, progress."""

    def __call__(
        self,
        gaussians: Gaussians,
        features: Float[Tensor, "N F"] | Float[Tensor, "C N F"],
        cameras: Cameras,
        options: RasterOptions = ...,
    ) -> Raster:
        """Composite `features` front to back into every camera.

        Args:
            gaussians: The geometry, shared by all cameras.
            features: Any number F >= 1 of channels, per splat, or per camera and splat.
            cameras: A batch of cameras of one size.
            options: See `RasterOptions`.
        """
        ...
