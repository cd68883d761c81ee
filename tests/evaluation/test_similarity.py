import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from relight3d.core.errors import ConfigurationError, EvaluationError
from relight3d.core.ssim import ssim as core_ssim
from relight3d.evaluation.similarity import (
    GAUSSIAN_VALID,
    GAUSSIAN_ZERO,
    KORNIA_3,
    SsimConvention,
    ssim,
)

BOX_7 = SsimConvention(7, None, "valid")


def shaded_disc(height: int = 60, width: int = 83) -> np.ndarray:
    """A lit, textured disc with a highlight on a dark gradient: edges, smooth parts and detail."""
    y, x = np.mgrid[:height, :width] / height
    radius = np.hypot(x - 0.7, y - 0.5)
    shade = np.clip(1.0 - 2.0 * radius, 0, 1) ** 0.5 * (0.8 + 0.2 * np.sin(40 * x) * np.cos(31 * y))
    gloss = 0.5 * np.exp(-200 * ((x - 0.6) ** 2 + (y - 0.4) ** 2))
    ground = 0.1 + 0.2 * y[..., None] * np.array([1.0, 0.8, 0.5])
    disc = np.clip(shade[..., None] * np.array([0.9, 0.5, 0.2]) + gloss[..., None], 0, 1)
    return np.where(radius[..., None] < 0.4, disc, ground)


def degraded(picture: np.ndarray, kind: str) -> np.ndarray:
    if kind == "noise":
        noise = 0.05 * np.random.default_rng(0).standard_normal(picture.shape)
        return np.clip(picture + noise, 0, 1)
    if kind == "blur":
        return (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1)) / 3
    if kind == "8 bits":
        return np.round(picture * 255) / 255
    return picture**1.3 * 0.8


KINDS = pytest.mark.parametrize("kind", ["noise", "blur", "8 bits", "tone"])


@KINDS
def test_zero_padding_is_that_of_core(kind):
    truth = shaded_disc().astype(np.float32)
    picture = degraded(truth, kind).astype(np.float32)
    expected = core_ssim(torch.from_numpy(picture), torch.from_numpy(truth))
    assert ssim(picture, truth, GAUSSIAN_ZERO) == pytest.approx(float(expected), abs=2e-5)


@KINDS
def test_valid_windows_agree_with_scikit_image(kind):
    truth = shaded_disc()
    picture = degraded(truth, kind)
    expected = structural_similarity(
        picture,
        truth,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=-1,
    )
    assert ssim(picture, truth, GAUSSIAN_VALID) == pytest.approx(expected, abs=1e-9)


@KINDS
def test_a_box_agrees_with_scikit_image(kind):
    truth = shaded_disc()
    picture = degraded(truth, kind)
    expected = structural_similarity(
        picture, truth, win_size=7, use_sample_covariance=False, data_range=1, channel_axis=-1
    )
    assert ssim(picture, truth, BOX_7) == pytest.approx(expected, abs=1e-9)


def brute_force_reflected(picture: np.ndarray, truth: np.ndarray) -> float:
    """Window 3 with sigma 1.5, mirrored border: two loops over pixels."""
    taps = np.exp(-0.5 * (np.arange(-1, 2) / 1.5) ** 2)
    weights = np.outer(taps, taps) / taps.sum() ** 2
    found = []
    for c in range(3):
        x, y = (np.pad(p[..., c], 1, mode="reflect") for p in (picture, truth))
        for i in range(picture.shape[0]):
            for j in range(picture.shape[1]):
                a, b = x[i : i + 3, j : j + 3], y[i : i + 3, j : j + 3]
                mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
                var_a = (weights * (a - mean_a) ** 2).sum()
                var_b = (weights * (b - mean_b) ** 2).sum()
                both = (weights * (a - mean_a) * (b - mean_b)).sum()
                top = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
                found.append(top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)))
    return float(np.mean(found))


def test_the_mirrored_border_by_brute_force():
    truth = shaded_disc(17, 21)
    picture = degraded(truth, "noise")
    assert ssim(picture, truth, KORNIA_3) == pytest.approx(brute_force_reflected(picture, truth))


@pytest.mark.parametrize("convention", [GAUSSIAN_VALID, KORNIA_3, BOX_7])
def test_constants_by_hand(convention):
    """No variance: only the term of means is left."""
    picture, truth = np.full((12, 13, 3), 0.25), np.full((12, 13, 3), 0.75)
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(picture, truth, convention) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("convention", [GAUSSIAN_ZERO, GAUSSIAN_VALID, KORNIA_3, BOX_7])
def test_equal_pictures_have_1_and_order_does_not_matter(convention):
    truth = shaded_disc(24, 24)
    picture = degraded(truth, "noise")
    assert ssim(truth, truth, convention) == pytest.approx(1.0, abs=1e-12)
    assert ssim(picture, truth, convention) == pytest.approx(ssim(truth, picture, convention))


@pytest.mark.parametrize("convention", [GAUSSIAN_ZERO, GAUSSIAN_VALID, KORNIA_3, BOX_7])
def test_the_window_must_fit(convention):
    size = convention.window
    ssim(np.zeros((size, size, 3)), np.zeros((size, size, 3)), convention)
    small = np.zeros((size - 1, 40, 3))
    with pytest.raises(EvaluationError, match=f"40 x {size - 1}"):
        ssim(small, small, convention)


def test_nan_is_refused():
    picture = np.zeros((16, 16, 3))
    broken = picture.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(EvaluationError, match="NaN"):
        ssim(picture, broken)


@pytest.mark.parametrize(
    ("window", "sigma"), [(0, 1.5), (10, 1.5), (11, 0.0), (11, float("nan")), (-3, None)]
)
def test_impossible_windows_are_refused(window, sigma):
    with pytest.raises(ConfigurationError):
        SsimConvention(window, sigma, "zero")
