"""Settings of inverse rendering. Readable without torch."""

import dataclasses

from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import require_sane_numbers


@dataclasses.dataclass(frozen=True)
class InverseConfig:
    """Monte Carlo inverse rendering: what distillation found, refined past traced shadows."""

    steps: int = 0
    """Steps on scattered pixels; 0 leaves the whole stage out."""
    polish_steps: int = 0
    """Steps on whole parts of frames afterwards, with few rays a pixel and a denoiser."""
    pixels: int = 1024
    """Pixels a step."""
    rays: int = 48
    """Rays a pixel at the start."""
    last_rays: int = 96
    """Rays a pixel at the end; doubled until then at even distances."""
    polish_px: int = 9000
    """Pixels of a part of a frame."""
    polish_rays: int = 16
    """Rays a pixel while polishing."""
    environment_height: int = 32
    """Rows of each environment map: a power of two, not less than the decomposition's."""
    occlusion: bool = True
    """Trace shadows. Off only to measure what they are worth."""
    indirect: bool = True
    """Let surfaces light each other. Off only to measure what that is worth."""
    seen_views: int = 4
    """Where fewer photos saw a surface, the light it sends on is what its material would send
    under the present light, rather than what the radiance field shows."""
    material_rate: float = 0.03
    """Learning rate of albedo, roughness and metalness logits."""
    light_rate: float = 0.06
    """Learning rate of log radiance."""
    light_levels: int = 3
    """Coarser copies of each environment that learn with it, each half as fine as the one before:
    rays are few for one texel, and many for its neighbourhood. 0: texels learn alone."""
    gain_rate: float = 0.005
    """Learning rate of the log gain of all light."""
    normal_rate: float = 0.01
    """Learning rate of shading normals. 0 keeps those of the geometry."""
    normal_roughness: float = 0.4
    """Only surfaces that distillation found glossier than this bend their normals: reflections say
    where they face. Matt ones would bend to explain shadows."""
    normal_weight: float = 0.5
    """Pull of shading normals to where they started."""
    albedo_smoothness: float = 0.01
    """Weight of log-albedo differences across pixels where the photo has no edge."""
    gloss_smoothness: float = 0.05
    """The same for roughness and metalness."""
    metallic_weight: float = 0.01
    """Pull of metalness to 0: what dielectrics explain needs no metal."""
    light_weight: float = 0.003
    """Pull of the environment to grey (its deviation from the mean of its channels)."""
    light_smoothness: float = 0.0005
    """Weight of differences between neighbouring log radiances of the environment."""
    consistency_weight: float = 0.1
    """Weight of the radiometric loss: what surfaces send out by physics, against what the radiance
    field shows there, from anywhere a photo saw them."""
    consistency_points: int = 128
    """Surface points of that loss a step."""
    dssim_weight: float = 0.2
    """Share of 1 - SSIM in the loss of polishing."""

    def __post_init__(self) -> None:
        """Refuse the impossible before any work is done."""
        require_sane_numbers(self, "inverse")
        if self.steps < 0 or self.polish_steps < 0 or (self.polish_steps and not self.steps):
            raise ConfigurationError(
                "inverse.steps and inverse.polish_steps must not be negative, and only what was "
                f"refined can be polished, got {self.steps} and {self.polish_steps}."
            )
        if not 4 <= self.rays <= self.last_rays <= 4096 or not 4 <= self.polish_rays <= 4096:
            raise ConfigurationError(
                "inverse.rays must be from 4 to inverse.last_rays, which like inverse.polish_rays "
                f"is from 4 to 4096, got {self.rays}, {self.last_rays} and {self.polish_rays}."
            )
        if min(self.pixels, self.polish_px) < 1 or self.consistency_points < 0:
            raise ConfigurationError(
                "inverse.pixels and inverse.polish_px must be positive and "
                f"inverse.consistency_points not negative, got {self.pixels}, {self.polish_px} and "
                f"{self.consistency_points}."
            )
        height = self.environment_height
        if height < 4 or height & (height - 1):
            raise ConfigurationError(
                f"inverse.environment_height must be a power of two >= 4, got {height}."
            )
        if self.light_levels < 0 or height >> self.light_levels < 1:
            raise ConfigurationError(
                "inverse.light_levels halves the environment so often, and "
                f"{height} rows cannot be halved {self.light_levels} times."
            )

    @property
    def all_steps(self) -> int:
        """Of the whole stage."""
        return self.steps + self.polish_steps

    def rays_at(self, step: int) -> int:
        """Rays a pixel at a step: `rays`, doubled at even distances up to `last_rays`."""
        doublings = (self.last_rays // self.rays).bit_length() - 1
        return self.rays << min(doublings, step * (doublings + 1) // max(1, self.steps))
