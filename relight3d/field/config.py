"""Settings of the radiance fit."""

import dataclasses

from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import require_sane_numbers, require_window


@dataclasses.dataclass(frozen=True)
class FieldConfig:
    """Planar Gaussians fitted to the photos: stage 1 of progressive radiance distillation."""

    steps: int = 7000
    """Optimisation steps, one photo each."""
    max_splats: int = 150_000
    """Cap on the number of splats (MCMC, arXiv:2404.09591): bounds time and memory."""
    initial_splats: int = 60_000
    """Splats to start with, from sparse points, the visual hull or at random."""
    window_px: int = 250_000
    """Most pixels of a photo that one step looks at: of larger ones, a random part. 0: no limit."""
    sh_degree: int = 3
    """Degree of the view-dependent colour, 0 to 3."""
    sh_interval: int = 500
    """Steps after which one more degree of view dependence is released."""
    densify_from: int = 300
    """First step at which faint splats are relocated and new ones are added."""
    densify_until_fraction: float = 0.75
    """Last such step, as a fraction of all steps."""
    densify_every: int = 100
    """Steps between two rounds of relocation and growth."""
    growth: float = 0.05
    """Fraction of splats added in one round until the cap is reached."""
    dssim_weight: float = 0.2
    """Share of 1 - SSIM in the photometric loss; the rest is L1."""
    mask_weight: float = 0.1
    """Weight of the difference between rendered coverage and mask, where photos have one."""
    thinness_weight: float = 10.0
    """Weight of the mean thickness of splats (world units): keeps them planar."""
    opacity_weight: float = 0.002
    """Weight of mean opacity: lets useless splats fade so that they can be relocated."""
    scale_weight: float = 0.02
    """Weight of mean splat size relative to the scene."""
    normal_weight: float = 0.12
    """Weight of the disagreement of rendered normals and normals of the rendered depth."""
    spread_weight: float = 0.05
    """Weight of the disagreement among the normals blended into a pixel."""
    normal_from_fraction: float = 0.15
    """Fraction of the steps after which normals must agree with depth."""
    normal_every: int = 1
    """Steps from one comparison of normals with depth to the next; its weight grows likewise. Not a
    multiple of 7, for every seventh step looks at whole frames."""
    normal_scale: float = 1.0
    """Size, relative to the photo, of the picture in which normals are compared with depth: the
    comparison smooths what is narrower than three of its pixels."""
    means_rate: tuple[float, float] = (4e-4, 4e-6)
    """Learning rate of positions at the first and last step, relative to the scene's size."""
    scales_rate: float = 1e-2
    """Learning rate of log scales."""
    quats_rate: float = 1e-2
    """Learning rate of rotations."""
    opacities_rate: float = 5e-2
    """Learning rate of opacity logits."""
    sh_rate: float = 5e-3
    """Learning rate of the constant colour; view-dependent colour learns 10 times slower."""
    noise: float = 1e5
    """Exploration noise on positions, in units of their learning rate."""
    exposure: bool = True
    """Fit one brightness per photo where the capture is of kind 'scene' or says so."""

    def __post_init__(self) -> None:
        """Refuse the impossible before any work is done."""
        if self.steps < 1 or self.max_splats < 1 or self.initial_splats < 1:
            raise ConfigurationError(
                f"field.steps, field.max_splats and field.initial_splats must be positive, got "
                f"{self.steps}, {self.max_splats}, {self.initial_splats}."
            )
        if not 0 <= self.sh_degree <= 3:
            raise ConfigurationError(f"field.sh_degree must be 0 to 3, got {self.sh_degree}.")
        if not 0.0 <= self.dssim_weight <= 1.0:
            raise ConfigurationError(
                f"field.dssim_weight must be in [0, 1], got {self.dssim_weight}."
            )
        require_sane_numbers(self, "field")
        require_window(self.window_px, "field.window_px")
        if min(self.densify_every, self.sh_interval, self.normal_every) < 1:
            raise ConfigurationError(
                "field.densify_every, field.sh_interval and field.normal_every must be at least 1 "
                f"step, got {self.densify_every}, {self.sh_interval} and {self.normal_every}."
            )
        if not 0.25 <= self.normal_scale <= 4.0:
            raise ConfigurationError(
                f"field.normal_scale must be 0.25 to 4, got {self.normal_scale}."
            )
        if min(self.means_rate) <= 0.0:
            raise ConfigurationError(f"field.means_rate must be positive, got {self.means_rate}.")
