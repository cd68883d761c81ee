import dataclasses

import pytest
import torch
from scenes import orbit

from relight3d.core.planes import pixel_rays
from relight3d.core.types import Cameras
from relight3d.field.config import FieldConfig
from relight3d.field.splats.objective import Rendered, Surface, loss_terms

DEFAULT = FieldConfig()
UP = torch.tensor([0.0, 0.0, 1.0])


def plane_seen(cameras: Cameras, normal=UP, alpha: float = 1.0) -> tuple[Rendered, Surface]:
    """The plane through the origin, grey."""
    shape = (cameras.height_px, cameras.width_px, 1)
    rays, covered = pixel_rays(cameras), torch.full(shape, alpha)
    distance = torch.full(shape, -alpha * float(cameras.centers[0] @ normal))
    surface = Surface(alpha * normal.expand(*shape[:2], 3), distance, covered, rays)
    return Rendered(torch.full((*shape[:2], 3), 0.5 * alpha), covered), surface


@pytest.fixture
def cameras():
    return orbit(1, 14, 12)


def terms_of(seen, mask=None, with_normals=True, config=DEFAULT, scales=0.1):
    parameters = {
        "log_scales": torch.full((5, 3), scales).log().requires_grad_(),
        "opacity_logits": torch.zeros(5).requires_grad_(),
    }
    rendered, surface = seen
    target, background = torch.full((12, 14, 3), 0.25), torch.tensor([1.0, 0.0, 0.0])
    terms = loss_terms(
        rendered, surface if with_normals else None, target, mask, background, parameters, config,
        extent=2.0,
    )  # fmt: skip
    return terms, parameters


def test_terms_are_named_weighted_and_optional(cameras):
    config, seen = FieldConfig(dssim_weight=0.0), plane_seen(cameras, alpha=0.5)
    terms, _ = terms_of(seen, config=config, with_normals=False)
    assert set(terms) == {"photo", "thin", "scale", "opacity"}
    # 0.25 drawn, half the background shines through its red channel.
    assert float(terms["photo"]) == pytest.approx(0.5 / 3, rel=1e-5)
    assert float(terms["thin"].detach()) == pytest.approx(config.thinness_weight * 0.1 / 2)
    assert float(terms["scale"].detach()) == pytest.approx(config.scale_weight * 0.1 / 2)
    assert float(terms["opacity"].detach()) == pytest.approx(config.opacity_weight * 0.5)
    mask = torch.full((12, 14, 1), 0.8)
    terms, _ = terms_of(seen, mask, config=config)
    assert set(terms) == {"photo", "mask", "normal", "spread", "thin", "scale", "opacity"}
    assert float(terms["mask"]) == pytest.approx(config.mask_weight * 0.3, rel=1e-5)


def test_rare_comparisons_of_normals_weigh_more(cameras):
    rendered, surface = plane_seen(cameras)
    tilted = torch.nn.functional.normalize(torch.tensor([0.3, 0.1, 1.0]), dim=0)
    seen = rendered, dataclasses.replace(surface, normal=tilted.expand(12, 14, 3))
    always, _ = terms_of(seen)
    seldom, _ = terms_of(seen, config=FieldConfig(normal_every=4))
    assert float(always["normal"]) > 0
    assert float(seldom["normal"]) == pytest.approx(4 * float(always["normal"]))


def test_size_penalties_do_not_depend_on_the_unit(cameras):
    rendered, _ = plane_seen(cameras)
    small, _ = terms_of((rendered, None))
    parameters = {"log_scales": torch.ones(5, 3).log(), "opacity_logits": torch.zeros(5)}
    large = loss_terms(
        rendered, None, torch.full((12, 14, 3), 0.25), None, torch.zeros(3), parameters,
        FieldConfig(), extent=20.0,
    )  # fmt: skip
    assert float(large["thin"]) == pytest.approx(float(small["thin"].detach()))
    assert float(large["scale"]) == pytest.approx(float(small["scale"].detach()))


def test_gradients_reach_every_channel_and_parameter(cameras):
    rendered, surface = plane_seen(cameras, alpha=0.9)
    told = torch.nn.functional.normalize(torch.tensor([0.3, 0.1, 1.0]), dim=0)
    surface = dataclasses.replace(surface, normal=0.8 * told.expand(12, 14, 3))
    color = {name: value.clone().requires_grad_() for name, value in vars(rendered).items()}
    shape = {name: value.clone().requires_grad_() for name, value in vars(surface).items()}
    rays = shape["rays"].detach()
    seen = Rendered(**color), Surface(**(shape | {"rays": rays}))
    terms, parameters = terms_of(seen, torch.ones(12, 14, 1))
    torch.stack(list(terms.values())).sum().backward()
    del shape["rays"]
    for name, leaf in [*color.items(), *shape.items(), *parameters.items()]:
        assert leaf.grad is not None and torch.isfinite(leaf.grad).all(), name
        assert leaf.grad.abs().sum() > 0, name
