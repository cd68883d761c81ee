"""Settings of the proxy mesh. Readable without torch."""

import dataclasses

from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import require_sane_numbers

MAX_RESOLUTION = 1024
LEAST_TRIANGLES = 100


@dataclasses.dataclass(frozen=True)
class ProxyConfig:
    """How the splats' surface becomes triangles."""

    resolution: int = 128
    """Voxels along the longest side of the surface's box: a multiple of coarse_resolution."""
    coarse_resolution: int = 32
    """Cells along that side of the grid that finds where fine voxels are needed."""
    truncation_voxels: float = 4.0
    """How far in front of and behind the seen surface depth says anything, in voxels."""
    max_views: int = 128
    """Most views to fuse; of more, some are taken evenly."""
    view_px: int = 100_000
    """Most pixels of a view that depth is drawn at; larger ones are reduced."""
    fit_silhouettes: bool = True
    """Grow the surface until it reaches the silhouettes: drawn depth lies a little too deep."""
    floater_share: float = 0.01
    """Pieces with less than this share of the largest piece's area are removed."""
    smoothing: int = 8
    """Rounds of Taubin smoothing, which keeps the volume. 0: none."""
    triangles: int = 60_000
    """Most triangles of the result."""

    def __post_init__(self) -> None:
        """Refuse the impossible before any work is done."""
        require_sane_numbers(self, "proxy")
        fine, coarse = self.resolution, self.coarse_resolution
        if not (8 <= coarse <= fine <= MAX_RESOLUTION and fine % coarse == 0):
            raise ConfigurationError(
                f"proxy.resolution must be at most {MAX_RESOLUTION} and a multiple of "
                f"proxy.coarse_resolution, which must be at least 8, got {fine} and {coarse}."
            )
        if self.truncation_voxels < 2.0:
            raise ConfigurationError(
                "proxy.truncation_voxels must be at least 2, so that every voxel beside the "
                f"surface is told its distance, got {self.truncation_voxels}."
            )
        if self.max_views < 1 or self.view_px < 256:
            raise ConfigurationError(
                "proxy.max_views must be at least 1 and proxy.view_px at least 256, got "
                f"{self.max_views} and {self.view_px}."
            )
        if self.floater_share > 1.0:
            raise ConfigurationError(
                f"proxy.floater_share must be in [0, 1], got {self.floater_share}."
            )
        if self.triangles < LEAST_TRIANGLES:
            raise ConfigurationError(
                f"proxy.triangles must be at least {LEAST_TRIANGLES}, got {self.triangles}."
            )
