"""What a prior is, declared: maps, conditions, colour spaces, parametrisation, licence."""

import dataclasses
from typing import Literal

from relight3d.core.errors import ConfigurationError

Space = Literal["srgb", "linear", "unit_normal"]
"""How values are coded: display-referred, proportional to what they measure, or as a direction."""
Target = Literal["v", "eps", "x0"]
"""What the network gives: velocity a * eps - s * x0, the noise, or the clean maps."""
MAP_CHANNELS = {"albedo": 3, "roughness": 1, "metallic": 1}


@dataclasses.dataclass(frozen=True)
class MapSpec:
    """One map that a prior knows, or one picture that it looks at."""

    name: str
    channels: int
    space: Space

    def __post_init__(self) -> None:
        """Refuse what no tensor could hold."""
        if not 1 <= self.channels <= 64:
            raise ConfigurationError(
                f"Map '{self.name}' of a prior has {self.channels} channels; 1 to 64 are possible."
            )
        wanted = MAP_CHANNELS.get(self.name, self.channels)
        if self.channels != wanted:
            raise ConfigurationError(
                f"Map '{self.name}' has {wanted} channels, the prior declares {self.channels}."
            )


@dataclasses.dataclass(frozen=True)
class PriorSpec:
    """A prior's conventions; everything that talks to it reads them here."""

    name: str
    maps: tuple[MapSpec, ...]
    """In the order of the channels of `x`."""
    conditions: tuple[MapSpec, ...]
    """In the order of the channels that the network sees."""
    predicts: Target
    zero_terminal_snr: bool
    """Whether t = 1 is pure noise, so that a prediction from there knows nothing but conditions."""
    licence: str
    source: str
    """Paper, hub id or folder: where the weights are from."""
    latent: bool = False
    """Whether `encode` leads to something smaller than pixels."""
    guidance: float = 1.0
    """Classifier-free guidance that it was made for; 1: none."""
    steps: int = 1
    """Sampling steps that it was made for."""
    size_multiple: int = 1
    """Heights and widths must be multiples of this."""

    def __post_init__(self) -> None:
        """Refuse declarations that contradict themselves."""
        names = [one.name for one in self.maps]
        if not names or len(set(names)) != len(names):
            raise ConfigurationError(f"Prior '{self.name}' must name each of its maps once.")
        if self.zero_terminal_snr and self.predicts == "eps":
            raise ConfigurationError(
                f"Prior '{self.name}' predicts noise and says that t = 1 is nothing but noise; "
                "clean maps cannot be had from that. Such models predict v or x0."
            )
        if self.steps < 1 or self.size_multiple < 1:
            raise ConfigurationError(
                f"Prior '{self.name}': steps and size_multiple must be positive, got {self.steps} "
                f"and {self.size_multiple}."
            )

    @property
    def channels(self) -> int:
        """Of all maps."""
        return sum(one.channels for one in self.maps)

    def slice_of(self, name: str) -> slice:
        """Where a map lies among the channels.

        Raises:
            ConfigurationError: The prior does not know it.
        """
        start = 0
        for one in self.maps:
            if one.name == name:
                return slice(start, start + one.channels)
            start += one.channels
        raise ConfigurationError(
            f"Prior '{self.name}' knows {', '.join(one.name for one in self.maps)}, not '{name}'."
        )
