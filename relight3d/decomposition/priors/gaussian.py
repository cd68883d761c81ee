"""A prior in closed form: given the condition, maps are Gaussian. The oracle for every loss.

x_0 ~ N(mean(c), cov) gives x_t ~ N(a mean, a^2 cov + s^2), so that the expected clean maps are
mean + a cov (a^2 cov + s^2)^-1 (x_t - a mean). Everything that is built on `denoise` can be worked
out on paper for it.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.decomposition.priors.interface import Denoised, cosine_marginals
from relight3d.decomposition.priors.spec import PriorSpec


class GaussianPrior:
    """Linear and Gaussian, of maps of one small size. Implements `DiffusionPrior`."""

    def __init__(
        self,
        spec: PriorSpec,
        weight: Float[Tensor, "D E"],
        bias: Float[Tensor, " D"],
        covariance: Float[Tensor, "D D"],
        null_covariance: Float[Tensor, "D D"],
        shape: tuple[int, int, int],
    ) -> None:
        """State the distribution.

        Args:
            spec: What its channels are.
            weight: From flattened conditions to the mean of flattened `x`.
            bias: The rest of that mean, and the mean where no condition is given.
            covariance: Given a condition; symmetric, not negative.
            null_covariance: Without one.
            shape: (C, H, W) of `x`, D of them in all.
        """
        self.spec, self.weight, self.bias, self.shape = spec, weight, bias, shape
        self.covariance, self.null_covariance = covariance, null_covariance

    def prepare(self, pictures: Mapping[str, Float[Tensor, "B ch H W"]]) -> Float[Tensor, "B E"]:
        """All conditions of a batch in one row each."""
        return torch.cat([pictures[one.name].flatten(1) for one in self.spec.conditions], 1)

    def encode(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """From 0..1 to -1..1."""
        return 2.0 * maps - 1.0

    def decode(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """From -1..1 to 0..1."""
        return 0.5 * (x + 1.0)

    def marginals(self, t: Float[Tensor, " B"]) -> tuple[Tensor, Tensor]:
        """Those of the cosine schedule."""
        return cosine_marginals(t)

    def mean(self, condition: Float[Tensor, "B E"] | None, batch: int) -> Float[Tensor, "B D"]:
        """Of the clean maps."""
        if condition is None:
            return self.bias.expand(batch, -1)
        return condition @ self.weight.T + self.bias

    def denoise(
        self,
        x_t: Float[Tensor, "B C H W"],
        t: Float[Tensor, " B"],
        condition: Float[Tensor, "B E"] | None,
    ) -> Denoised:
        """The posterior mean, and the noise that goes with it."""
        covariance = self.null_covariance if condition is None else self.covariance
        a, s = (part[:, 0, 0] for part in self.marginals(t))  # [B, 1]
        mean, flat = self.mean(condition, len(x_t)), x_t.flatten(1)
        eye = torch.eye(len(covariance)).to(covariance)
        spread = (a**2)[:, :, None] * covariance + (s**2)[:, :, None] * eye
        away = torch.linalg.solve(spread, flat - a * mean)
        x0 = mean + a * (away @ covariance)
        return Denoised(x0.reshape(-1, *self.shape), (s * away).reshape(-1, *self.shape))
