"""Closed-form priors for tests: small, double precision, not round in any direction."""

from math import cos, pi, sin

import torch

from relight3d.decomposition.priors.gaussian import GaussianPrior
from relight3d.decomposition.priors.spec import MapSpec, PriorSpec

SIZE = 2
SPEC = PriorSpec(
    name="oracle",
    maps=(MapSpec("albedo", 3, "srgb"), MapSpec("roughness", 1, "linear"),
          MapSpec("metallic", 1, "linear")),
    conditions=(MapSpec("photo", 3, "srgb"),),
    predicts="v", zero_terminal_snr=True, licence="Apache-2.0", source="closed form",
)  # fmt: skip


def oracle(seed: int = 0) -> GaussianPrior:
    """Mean linear in the photo, full covariances."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    d, e = 5 * SIZE * SIZE, 3 * SIZE * SIZE
    narrow, wide = 0.1 * draw(d, d), 0.2 * draw(d, d)
    eye = torch.eye(d, dtype=torch.float64)
    return GaussianPrior(
        SPEC, 0.3 * draw(d, e), 0.1 * draw(d), narrow @ narrow.T + 0.01 * eye,
        wide @ wide.T + 0.02 * eye, (5, SIZE, SIZE),
    )  # fmt: skip


def maps_and_condition(
    prior: GaussianPrior, batch: int = 2, seed: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Some rendered maps, 0.2 to 0.8, and a prepared condition."""
    generator = torch.Generator().manual_seed(seed)
    maps = 0.2 + 0.6 * torch.rand((batch, 5, SIZE, SIZE), generator=generator, dtype=torch.float64)
    photo = torch.rand((batch, 3, SIZE, SIZE), generator=generator, dtype=torch.float64)
    return maps, prior.prepare({"photo": photo})


def noise_like(x: torch.Tensor, seed: int = 2) -> torch.Tensor:
    """Normal, of `x`'s type."""
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)


def clean_on_paper(
    prior: GaussianPrior, x_t: torch.Tensor, t: float, condition: torch.Tensor | None
) -> torch.Tensor:
    """The expected clean maps, by eigenvectors instead of a linear system."""
    covariance = prior.null_covariance if condition is None else prior.covariance
    values, vectors = torch.linalg.eigh(covariance)
    a, s = 0.0 if t >= 1.0 else cos(pi * t / 2), sin(pi * t / 2)
    mean = prior.bias if condition is None else condition @ prior.weight.T + prior.bias
    away = (x_t.flatten(1) - a * mean) @ vectors
    shrunk = away * (a * values / (a**2 * values + s**2))
    return (mean + shrunk @ vectors.T).reshape(x_t.shape)
