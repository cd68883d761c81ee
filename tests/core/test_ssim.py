"""SSIM against an independent implementation and against finite differences."""

import numpy as np
import pytest
import torch

from relight3d.core.ssim import photometric, ssim


def _images(size: int = 17) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, size, size + 4, 3, generator=generator, dtype=torch.float64)
    return x, y


def test_equal_images_score_one():
    x, _ = _images()
    assert ssim(x, x).item() == pytest.approx(1.0, abs=1e-12)


def test_value_at_one_pixel_by_hand():
    """A single pixel sees only the centre tap of the window (zero padding)."""
    tap = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    weight = (tap[5] / tap.sum()) ** 2
    x, y = 0.3, 0.8
    mu_x, mu_y = weight * x, weight * y
    var_x, var_y = weight * x * x - mu_x**2, weight * y * y - mu_y**2
    cov = weight * x * y - mu_x * mu_y
    expected = ((2 * mu_x * mu_y + 1e-4) * (2 * cov + 9e-4)) / (
        (mu_x**2 + mu_y**2 + 1e-4) * (var_x + var_y + 9e-4)
    )
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    assert ssim(x * one, y * one).item() == pytest.approx(expected, rel=1e-12)


def test_gradient_matches_finite_differences():
    x, y = _images(8)
    assert torch.autograd.gradcheck(lambda image: ssim(image, y), (x.requires_grad_(),), atol=1e-8)


def test_photometric_of_equal_pictures_is_zero(generator):
    image = torch.rand(16, 16, 3, generator=generator)
    assert float(photometric(image, image, 0.2)) == pytest.approx(0.0, abs=1e-6)
    assert float(photometric(image, image, 0.0)) == 0.0


def test_photometric_mixes_l1_and_ssim(generator):
    image, target = torch.rand(2, 16, 16, 3, generator=generator)
    l1 = float((image - target).abs().mean())
    structure = 1 - float(ssim(image, target))
    for weight in (0.0, 0.2, 1.0):
        expected = (1 - weight) * l1 + weight * structure
        assert float(photometric(image, target, weight)) == pytest.approx(expected, rel=1e-5)
