"""Every setting of a training run. Readable without torch."""

import dataclasses
from typing import Literal

from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import require_spp, require_window
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.decomposition.proxy.config import ProxyConfig
from relight3d.field.config import FieldConfig

BackendName = Literal["auto", "reference", "cpu", "gsplat"]
"""As `backends.interface.BackendName`, which cannot be imported without torch."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Photos to a relightable asset. What is not said here depends on the capture alone."""

    seed: int = 0
    """Same seed, same settings, same machine: same result, bit for bit."""
    backend: BackendName = "auto"
    """Rasterizer: 'cpu' (fast, no GPU), 'gsplat' (NVIDIA), 'reference' (slow, readable torch);
    'auto' takes the fastest that works here."""
    photo_px: int = 0
    """Photos of more pixels are reduced to about so many for training; 0: none. Few steps on small
    parts of large photos learn less than as many on the whole of small ones. Scores and renders
    keep the capture's size."""
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    """First stage: the radiance of the photos."""
    decomposition: DecompositionConfig = dataclasses.field(default_factory=DecompositionConfig)
    """Second stage: materials and light."""
    proxy: ProxyConfig = dataclasses.field(default_factory=ProxyConfig)
    """The mesh that rays are traced against, and that leaves as .glb."""
    inverse: InverseConfig = dataclasses.field(default_factory=InverseConfig)
    """Third stage, if it has steps: materials and light refined by traced rays."""
    score_spp: int = 0
    """Rays a pixel of relit pictures in scores and report, 2 to 512; 0: fast shading without."""

    def __post_init__(self) -> None:
        """Refuse the impossible before any work is done."""
        if not 0 <= self.seed < 2**31:
            raise ConfigurationError(f"seed must be in [0, 2^31), got {self.seed}.")
        if self.inverse.environment_height < self.decomposition.environment_height:
            raise ConfigurationError(
                "inverse.environment_height must not be less than decomposition.environment_height "
                f"({self.decomposition.environment_height}), got "
                f"{self.inverse.environment_height}: what was found would be lost."
            )
        require_window(self.photo_px, "photo_px")
        if self.score_spp:
            require_spp(self.score_spp, "score_spp")
