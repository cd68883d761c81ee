"""A trainable environment, as log radiance."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.core.types import EnvironmentLight

_DARKEST = 1e-4
_LOG_BRIGHTEST = 20.0


@dataclasses.dataclass(frozen=True)
class EnvironmentParameters:
    """radiance = exp(log_radiance): always positive, a step changes it by a ratio.

    Optimise `log_radiance`; everything else here is a view of it.
    """

    log_radiance: Float[Tensor, "H W 3"]

    @classmethod
    def neutral(
        cls, height: int, radiance: float = 1.0, device: torch.device | str | None = None
    ) -> "EnvironmentParameters":
        """Uniform white light, a leaf that requires gradients."""
        if height < 1 or radiance <= 0.0:
            raise ConfigurationError(
                f"A neutral environment needs height >= 1 and radiance > 0, got {height} and "
                f"{radiance}."
            )
        shape = (height, 2 * height, 3)
        value = torch.tensor(radiance).log().item()
        return cls(torch.full(shape, value, device=device).requires_grad_())

    @classmethod
    def from_light(cls, light: EnvironmentLight) -> "EnvironmentParameters":
        """Start from a known map; black texels start at a very dark grey. A leaf."""
        log_radiance = light.radiance_linear.detach().clamp_min(_DARKEST).log()
        return cls(log_radiance.requires_grad_())

    @property
    def radiance(self) -> Float[Tensor, "H W 3"]:
        """Linear radiance. Differentiable; cut where exp would leave float32's tame range."""
        return self.log_radiance.clamp_max(_LOG_BRIGHTEST).exp()

    def light(self) -> EnvironmentLight:
        """The current map as a plain value."""
        return EnvironmentLight(self.radiance.detach())
