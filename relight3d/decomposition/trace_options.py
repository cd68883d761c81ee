"""How light is traced, and what an asset must have for it."""

import dataclasses
from typing import Literal

from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import DEFAULT_BOUNCES, require_spp
from relight3d.core.surface import Proxy
from relight3d.core.types import Asset


@dataclasses.dataclass(frozen=True)
class TraceOptions:
    """How light is sampled."""

    spp: int = 32
    """Rays a pixel, from 2 to 512."""
    bounces: int = DEFAULT_BOUNCES
    """0: what hides the light is black; more: it sends back light itself."""
    denoise: bool = True
    """Filter the noise of the samples."""
    seed: int = 0
    floor: float | Literal["lowest"] | None = None
    """Height of a floor that catches shadow and reflection, z in the capture's frame; 'lowest' is
    that of the asset's lowest point. None: no floor."""

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled."""
        require_spp(self.spp, "--spp")
        if self.bounces < 0 or self.seed < 0:
            raise ConfigurationError(
                f"--bounces and --seed must be >= 0, got {self.bounces} and {self.seed}."
            )


def required_proxy(asset: Asset) -> Proxy:
    """The proxy of an asset.

    Raises:
        ConfigurationError: It has none, or one without triangles.
    """
    if asset.proxy is None or len(asset.proxy.mesh) == 0 or asset.proxy.materials is None:
        raise ConfigurationError(
            "--spp traces rays against the asset's proxy mesh, and this run has none: it was made "
            "before there were any, or without. Run `relight3d decompose RUN --overwrite`, or "
            "leave --spp away for fast shading without it."
        )
    return asset.proxy
