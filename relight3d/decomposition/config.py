"""Settings of the decomposition. Readable without torch."""

import dataclasses

from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import require_sane_numbers, require_window


@dataclasses.dataclass(frozen=True)
class DecompositionConfig:
    """Progressive radiance distillation (arXiv:2408.07595), stages 2 to 4."""

    specular_steps: int = 2000
    """Stage 2: reflections of a rough white metal are mixed in where they explain the photos."""
    diffuse_steps: int = 4000
    """Stage 3: with baked visibility, diffuse light and metalness join; progress is driven to 1."""
    joint_steps: int = 4000
    """Stage 4: everything together, progress moving slowly."""
    window_px: int = 250_000
    """Most pixels of a photo that one step looks at: of larger ones, a random part. 0: no limit."""
    environment_height: int = 32
    """Rows of each recovered environment map (twice as many columns): a power of two."""
    visibility_directions: int = 192
    """Directions in which each splat's visibility is baked."""
    shadow_map_px: int = 192
    """Side of the shadow maps that visibility is read from."""
    initial_progress: float = 0.01
    """Share of physics in the image when distillation starts."""
    progress_weight: float = 0.08
    """Pull of progress to 1 inside the object, stages 3 and 4."""
    light_weight: float = 0.015
    """Pull of the environment to grey (its deviation from the mean of its channels)."""
    light_smoothness: float = 0.0005
    """Weight of differences between neighbouring log radiances of the environment."""
    albedo_smoothness: float = 0.01
    """Weight of log-albedo differences across pixels where the photo has no edge."""
    roughness_smoothness: float = 0.01
    """The same for roughness and metalness."""
    metallic_weight: float = 0.01
    """Pull of metalness to 0: what dielectrics explain needs no metal."""
    normal_weight: float = 0.02
    """Pull of shading normals to the normals of the geometry."""
    dssim_weight: float = 0.2
    """Share of 1 - SSIM in the photometric loss."""
    bounce: bool = True
    """Let occluded directions reflect the object's mean radiosity instead of black."""
    light_rate: float = 0.06
    """Learning rate of log radiance."""
    material_rate: float = 0.02
    """Learning rate of albedo, roughness and metalness logits."""
    gain_rate: float = 0.01
    """Learning rate of the log gain between all light and all albedo."""
    progress_rate: float = 0.02
    """Learning rate of progress logits; a tenth of it in stage 4."""
    normal_rate: float = 0.0
    """Learning rate of shading normals. 0 keeps the geometry's: freeing them
    made normals worse and relit no better on the one capture measured."""

    def __post_init__(self) -> None:
        """Refuse the impossible before any work is done."""
        if min(self.specular_steps, self.diffuse_steps, self.joint_steps) < 0 or self.steps < 1:
            raise ConfigurationError(
                "decomposition.specular_steps, diffuse_steps and joint_steps must not be negative "
                f"and not all zero, got {self.specular_steps}, {self.diffuse_steps}, "
                f"{self.joint_steps}."
            )
        require_sane_numbers(self, "decomposition")
        require_window(self.window_px, "decomposition.window_px")
        if self.visibility_directions < 8 or self.shadow_map_px < 8:
            raise ConfigurationError(
                "decomposition.visibility_directions and decomposition.shadow_map_px must be at "
                f"least 8, got {self.visibility_directions} and {self.shadow_map_px}."
            )
        height = self.environment_height
        if height < 4 or height & (height - 1):
            raise ConfigurationError(
                f"decomposition.environment_height must be a power of two >= 4, got {height}."
            )
        if not 0.0 < self.initial_progress < 1.0:
            raise ConfigurationError(
                f"decomposition.initial_progress must be in (0, 1), got {self.initial_progress}."
            )

    @property
    def steps(self) -> int:
        """All steps of the three stages."""
        return self.specular_steps + self.diffuse_steps + self.joint_steps
