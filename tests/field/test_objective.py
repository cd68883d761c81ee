import dataclasses

import pytest
import torch
from scenes import orbit

from relight3d.core.planes import pixel_rays
from relight3d.core.ssim import ssim
from relight3d.core.types import Cameras
from relight3d.field.config import FieldConfig
from relight3d.field.splats.objective import (
    Rendered,
    bending,
    loss_terms,
    normal_consistency,
    normal_spread,
    photometric,
)

DEFAULT = FieldConfig()
UP = torch.tensor([0.0, 0.0, 1.0])


def plane_seen(cameras: Cameras, normal=UP, alpha: float = 1.0, told=None) -> Rendered:
    """The plane through the origin; `told`: the normal that is rendered instead of its own."""
    shape = (cameras.height_px, cameras.width_px, 1)
    distance = -(cameras.centers[0] @ normal)
    rays = pixel_rays(cameras)
    depth = distance / (rays @ normal)[..., None]
    shown = normal if told is None else told
    # With another normal, the distance that leaves the depth as it is.
    return Rendered(
        color=torch.full((*shape[:2], 3), 0.5 * alpha),
        alpha=torch.full(shape, alpha),
        normal=alpha * shown.expand(*shape[:2], 3),
        distance=alpha * depth * (rays @ shown)[..., None],
    )


@pytest.fixture
def cameras():
    return orbit(1, 14, 12)


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


def test_spread_of_one_plane_is_zero(cameras):
    for alpha in (1.0, 0.4):
        assert float(normal_spread(plane_seen(cameras, alpha=alpha))) < 1e-6


def test_spread_is_the_sum_over_pairs(cameras):
    """alpha^2 - |N|^2 = 2 w1 w2 (1 - cos) for two normals under weights w1, w2, then bent."""
    other = torch.tensor([0.6, 0.0, 0.8])
    seen = plane_seen(cameras)
    both = dataclasses.replace(
        seen,
        normal=(0.3 * UP + 0.5 * other).expand(12, 14, 3),
        alpha=torch.full((12, 14, 1), 0.8),
    )
    expected = float(bending(torch.tensor(2 * 0.3 * 0.5 * (1 - 0.8))))
    assert float(normal_spread(both)) == pytest.approx(expected, rel=1e-5)


def test_consistency_is_zero_where_normals_and_depth_agree(cameras):
    assert float(normal_consistency(plane_seen(cameras), cameras)) < 1e-5


def test_two_small_bends_cost_as_much_as_one_crease():
    """Unlike 1 - cosine, of which one bend of 40 degrees has four times that of 20."""
    angles = torch.deg2rad(torch.tensor([0.0, 20.0, 40.0]))
    flat, half, whole = bending(1 - angles.cos()).tolist()
    assert flat == 0.0
    assert whole == pytest.approx(2 * half, rel=0.15)
    tiny = torch.deg2rad(torch.tensor([0.2, 0.4])).double()
    assert float(bending(1 - tiny.cos())[1] / bending(1 - tiny.cos())[0]) == pytest.approx(4, 0.02)


def test_consistency_is_the_bending_of_one_minus_the_cosine(cameras):
    told = torch.nn.functional.normalize(torch.tensor([0.3, 0.1, 1.0]), dim=0)
    found = normal_consistency(plane_seen(cameras, told=told), cameras)
    assert float(found) == pytest.approx(float(bending(1 - told @ UP)), rel=1e-3)


def test_consistency_asks_for_coverage(cameras):
    told = torch.nn.functional.normalize(torch.tensor([0.3, 0.1, 1.0]), dim=0)
    faint = plane_seen(cameras, told=told, alpha=0.4)
    assert float(normal_consistency(faint, cameras)) == 0.0
    solid = plane_seen(cameras, told=told)
    holed = solid.alpha.clone()
    holed[6, 7] = 0.0
    part = normal_consistency(dataclasses.replace(solid, alpha=holed), cameras)
    whole = normal_consistency(solid, cameras)
    assert float(part / whole) == pytest.approx(1 - 9 / (10 * 12), rel=1e-3)


def terms_of(cameras, seen, mask=None, with_normals=True, config=DEFAULT, scales=0.1):
    parameters = {
        "log_scales": torch.full((5, 3), scales).log().requires_grad_(),
        "opacity_logits": torch.zeros(5).requires_grad_(),
    }
    target = torch.full((12, 14, 3), 0.25)
    terms = loss_terms(
        seen, target, mask, torch.tensor([1.0, 0.0, 0.0]), cameras, parameters, config,
        extent=2.0, with_normals=with_normals,
    )  # fmt: skip
    return terms, parameters


def test_terms_are_named_weighted_and_optional(cameras):
    config, seen = FieldConfig(dssim_weight=0.0), plane_seen(cameras, alpha=0.5)
    terms, _ = terms_of(cameras, seen, config=config, with_normals=False)
    assert set(terms) == {"photo", "thin", "scale", "opacity"}
    # 0.25 drawn, half the background shines through its red channel.
    assert float(terms["photo"]) == pytest.approx(0.5 / 3, rel=1e-5)
    assert float(terms["thin"].detach()) == pytest.approx(config.thinness_weight * 0.1 / 2)
    assert float(terms["scale"].detach()) == pytest.approx(config.scale_weight * 0.1 / 2)
    assert float(terms["opacity"].detach()) == pytest.approx(config.opacity_weight * 0.5)
    mask = torch.full((12, 14, 1), 0.8)
    terms, _ = terms_of(cameras, seen, mask, config=config)
    assert set(terms) == {"photo", "mask", "normal", "spread", "thin", "scale", "opacity"}
    assert float(terms["mask"]) == pytest.approx(config.mask_weight * 0.3, rel=1e-5)


def test_size_penalties_do_not_depend_on_the_unit(cameras):
    small, _ = terms_of(cameras, plane_seen(cameras))
    parameters = {"log_scales": torch.ones(5, 3).log(), "opacity_logits": torch.zeros(5)}
    large = loss_terms(
        plane_seen(cameras), torch.full((12, 14, 3), 0.25), None, torch.zeros(3), cameras,
        parameters, FieldConfig(), extent=20.0, with_normals=False,
    )  # fmt: skip
    assert float(large["thin"]) == pytest.approx(float(small["thin"].detach()))
    assert float(large["scale"]) == pytest.approx(float(small["scale"].detach()))


def test_gradients_reach_every_channel_and_parameter(cameras):
    told = torch.nn.functional.normalize(torch.tensor([0.3, 0.1, 1.0]), dim=0)
    plain = plane_seen(cameras, told=told, alpha=0.9)
    leaves = {name: value.clone().requires_grad_() for name, value in vars(plain).items()}
    terms, parameters = terms_of(cameras, Rendered(**leaves), torch.ones(12, 14, 1))
    torch.stack(list(terms.values())).sum().backward()
    for name, leaf in (leaves | parameters).items():
        assert leaf.grad is not None and torch.isfinite(leaf.grad).all(), name
        assert leaf.grad.abs().sum() > 0, name
