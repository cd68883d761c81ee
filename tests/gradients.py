"""How the tests compare gradients: as vectors, with limits that say what kind of error there is."""

from collections.abc import Mapping

import torch
from scenes import Scene
from torch import Tensor

from relight3d.backends.interface import Rasterizer, RasterOptions
from relight3d.core.types import Raster


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """|actual - expected| / |expected| in the Euclidean norm; 0 when both vanish."""
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).norm() / expected.norm().clamp_min(1e-300))


def cosine(actual: Tensor, expected: Tensor) -> float:
    """Cosine of the angle between two tensors, taken as vectors."""
    return float(
        torch.nn.functional.cosine_similarity(
            actual.double().flatten(), expected.double().flatten(), dim=0, eps=1e-300
        )
    )


def assert_gradients_agree(
    actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], relative: float = 1e-5
) -> None:
    """Every tensor points the same way and is as long.

    A wrong factor shows in the relative error alone, a wrong or missing term in the cosine too.
    """
    assert actual.keys() == expected.keys()
    for name in expected:
        assert actual[name].shape == expected[name].shape, name
        error, angle = (
            relative_error(actual[name], expected[name]),
            cosine(actual[name], expected[name]),
        )
        assert error <= relative, f"{name}: relative error {error:.2e}, cosine {angle:.9f}"
        assert angle >= 1 - relative, f"{name}: cosine {angle:.9f}"


def draw_and_differentiate(
    rasterize: Rasterizer,
    scene: Scene,
    options: RasterOptions = RasterOptions(),
    dtype: torch.dtype = torch.float32,
    seed: int = 1,
) -> tuple[Raster, dict[str, Tensor]]:
    """A raster, and the gradients of its product with random cotangents, whatever the type."""
    scene = scene.leaves(dtype)
    raster = rasterize(scene.gaussians, scene.features, scene.cameras, options)
    generator = torch.Generator().manual_seed(seed)
    outputs = (raster.features, raster.alpha)
    cotangents = [torch.randn(x.shape, generator=generator).to(x) for x in outputs]
    leaves = scene.tensors()
    gradients = torch.autograd.grad(outputs, list(leaves.values()), cotangents)
    return raster, dict(zip(leaves, gradients, strict=True))
