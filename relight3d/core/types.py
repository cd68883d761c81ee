"""What passes through the door between rooms: cameras, Gaussians, splats, lights, assets.

All records are frozen; stages return new ones. Shape letters: N splats, C cameras, H W pixels,
F feature channels, K SH coefficients.
"""

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.core.surface import Proxy


@dataclasses.dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras of one image size. OpenCV axes, world-to-camera."""

    world_to_camera: Float[Tensor, "C 4 4"]
    intrinsics: Float[Tensor, "C 3 3"]
    """Pixels; the principal point counts pixel centres at +0.5."""
    width_px: int
    height_px: int

    def __len__(self) -> int:
        """Number of cameras."""
        return self.world_to_camera.shape[0]

    def __getitem__(self, index: slice | list[int]) -> "Cameras":
        """Some of the cameras, still as a batch."""
        return dataclasses.replace(
            self, world_to_camera=self.world_to_camera[index], intrinsics=self.intrinsics[index]
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None):
        """The same cameras on another device or in another floating type."""
        return dataclasses.replace(
            self,
            world_to_camera=self.world_to_camera.to(device=device, dtype=dtype),
            intrinsics=self.intrinsics.to(device=device, dtype=dtype),
        )

    @property
    def centers(self) -> Float[Tensor, "C 3"]:
        """Camera positions in the world."""
        rotation = self.world_to_camera[:, :3, :3]
        return -(rotation.transpose(1, 2) @ self.world_to_camera[:, :3, 3:]).squeeze(-1)

    def scaled(self, factor: float) -> "Cameras":
        """The same views at another resolution (width and height rounded)."""
        width, height = (
            max(1, round(self.width_px * factor)),
            max(1, round(self.height_px * factor)),
        )
        scale = self.intrinsics.new_tensor(
            [[width / self.width_px], [height / self.height_px], [1.0]]
        )
        return dataclasses.replace(
            self, intrinsics=self.intrinsics * scale, width_px=width, height_px=height
        )


@dataclasses.dataclass(frozen=True)
class Gaussians:
    """Activated geometry, as every rasterizer takes it."""

    means: Float[Tensor, "N 3"]
    quats_wxyz: Float[Tensor, "N 4"]
    """Need not be of unit length; rasterizers normalise."""
    scales: Float[Tensor, "N 3"]
    """Standard deviations along the local axes, world units, positive."""
    opacities: Float[Tensor, " N"]
    """In (0, 1)."""

    def __len__(self) -> int:
        """Number of Gaussians."""
        return self.means.shape[0]


@dataclasses.dataclass(frozen=True)
class Raster:
    """What a rasterizer returns, for C cameras of H x W pixels."""

    features: Float[Tensor, "C H W F"]
    """Composited front to back over nothing: not divided by alpha, no background added."""
    alpha: Float[Tensor, "C H W 1"]
    """Coverage in [0, 1)."""
    visible: Bool[Tensor, "C N"]
    """Which Gaussians touched at least one pixel's list. Not differentiable."""


@dataclasses.dataclass(frozen=True)
class Splats:
    """Fitted planar Gaussians with a radiance field, as stored (pre-activation names say so)."""

    means: Float[Tensor, "N 3"]
    quats_wxyz: Float[Tensor, "N 4"]
    log_scales: Float[Tensor, "N 3"]
    opacity_logits: Float[Tensor, " N"]
    sh: Float[Tensor, "N K 3"]
    """SH of display-referred (sRGB-encoded) colour minus 0.5, as in 3DGS: colour = 0.5 + SH."""

    def __len__(self) -> int:
        """Number of splats."""
        return self.means.shape[0]

    def gaussians(self) -> Gaussians:
        """Activated geometry."""
        return Gaussians(
            means=self.means,
            quats_wxyz=self.quats_wxyz,
            scales=self.log_scales.exp(),
            opacities=self.opacity_logits.sigmoid(),
        )


@dataclasses.dataclass(frozen=True)
class Materials:
    """Per-splat glTF metallic-roughness material, activated, and where to trust it."""

    albedo_linear: Float[Tensor, "N 3"]
    """Base colour, linear Rec. 709, in [0, 1]."""
    roughness: Float[Tensor, "N 1"]
    """Perceptual roughness in [0, 1]; alpha = roughness^2."""
    metallic: Float[Tensor, "N 1"]
    """In [0, 1]."""
    normals: Float[Tensor, "N 3"]
    """Unit shading normals in the world, facing outward (toward the cameras that saw the splat)."""
    progress: Float[Tensor, "N 1"]
    """Distillation progress in [0, 1]: how far physics explains this splat (PRD's alpha)."""
    double_sided: Float[Tensor, "N 1"]
    """What the splat's back counts in a picture, in (0, 1]: 1 for sheets, seen from both sides in
    the photos; next to 0 for the skin of closed bodies, whose back is inside."""


@dataclasses.dataclass(frozen=True)
class EnvironmentLight:
    """Light from infinitely far away; see `conventions` for the lat-long layout."""

    radiance_linear: Float[Tensor, "H W 3"]
    """W = 2 H, linear, >= 0."""


@dataclasses.dataclass(frozen=True)
class PointLight:
    """An isotropic point light."""

    position: tuple[float, float, float]
    intensity_linear: tuple[float, float, float]
    """Radiant intensity in W/sr per channel: irradiance at distance d facing it is I / d^2."""


@dataclasses.dataclass(frozen=True)
class DirectionalLight:
    """Parallel light, as a distant sun's without its disc."""

    direction: tuple[float, float, float]
    """Toward the light, of any length but 0."""
    irradiance_linear: tuple[float, float, float]
    """On a surface that faces it."""


@dataclasses.dataclass(frozen=True)
class LobeLight:
    """A distant soft light whose radiance is a spherical Gaussian about its axis.

    radiance(d) = peak_linear * exp(sharpness * (d . axis - 1)); its half width at half maximum is
    about sqrt(2 ln 2 / sharpness) radians.
    """

    axis: tuple[float, float, float]
    """Toward the light's middle, of any length but 0."""
    sharpness: float
    """Greater than 0."""
    peak_linear: tuple[float, float, float]
    """Radiance in the middle."""


@dataclasses.dataclass(frozen=True)
class Asset:
    """The relightable result: what export, relighting, viewing and scoring take."""

    splats: Splats
    materials: Materials | None
    """None before decomposition: such an asset can be viewed but not relit."""
    environments: dict[str, EnvironmentLight]
    """Recovered capture lights by name; empty when every light was a known point light."""
    visibility_sh: Float[Tensor, "N 9"] | None = None
    """Baked visibility of the sky from each splat, SH of degree 2; None before decomposition."""
    exposure: float = 1.0
    """Factor on linear radiance before encoding, shared by all photos."""
    proxy: Proxy | None = None
    """The surface that rays hit; None where none was made."""
