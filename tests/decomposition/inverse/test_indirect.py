"""Which light a surface is believed to send: the field's where photos saw it, or its material's."""

import dataclasses
from math import pi

import pytest
import torch

from relight3d.backends.tracing.registry import get_tracer
from relight3d.core.types import PointLight
from relight3d.decomposition.inverse.indirect import SurfaceLight
from relight3d.decomposition.proxy.vertex_weights import vertex_weights
from relight3d.shading.montecarlo.lights import EnvironmentSampler
from relight3d.shading.radiosity import whole_reflectance
from tests.decomposition.inverse import toys

SKY = EnvironmentSampler(torch.full((8, 16, 3), 0.8))
ASSET = toys.start(albedo=0.5)
VIEWS = torch.tensor([0.0, 2.0, 4.0, 9.0]).repeat(75)[:, None]
PROXY = dataclasses.replace(toys.PROXY, views=VIEWS)
assert ASSET.materials is not None
MATERIALS = ASSET.materials
REFLECTED = 0.8 * whole_reflectance(MATERIALS)[0]
"""Of a convex ball under that sky, all of which sees all of it."""


def light(trust_field: bool = True, seen_views: int = 4) -> SurfaceLight:
    weights = vertex_weights(PROXY, ASSET.splats.gaussians(), MATERIALS.normals)
    return SurfaceLight(
        PROXY, weights, get_tracer(PROXY.mesh), torch.Generator().manual_seed(0),
        trust_field=trust_field, seen_views=seen_views,
    )  # fmt: skip


def leaving(
    of: SurfaceLight, sky: EnvironmentSampler | None = SKY, lamps=(), materials=MATERIALS
) -> torch.Tensor:
    return of(materials, sky, lamps).leaving


def test_the_field_is_trusted_by_how_often_photos_saw_the_surface():
    found, field = leaving(light()), PROXY.radiance_linear
    for views, share in ((0.0, 0.0), (2.0, 0.5), (4.0, 1.0), (9.0, 1.0)):
        rows = (VIEWS == views)[:, 0]
        expected = torch.lerp(REFLECTED.expand_as(field[rows]), field[rows], share)
        torch.testing.assert_close(found[rows], expected, rtol=2e-3, atol=0.0)
    assert float((REFLECTED - field[0]).abs().min()) > 0.05, "they differ"


def test_one_view_may_be_enough():
    found = leaving(light(seen_views=1))
    assert torch.equal(found[(VIEWS > 0)[:, 0]], PROXY.radiance_linear[(VIEWS > 0)[:, 0]])


def test_under_several_lights_the_field_is_never_believed():
    found = leaving(light(trust_field=False))
    torch.testing.assert_close(found, REFLECTED.expand_as(found), rtol=2e-3, atol=0.0)


def test_where_all_was_seen_nothing_is_traced():
    proxy = dataclasses.replace(PROXY, views=torch.full((300, 1), 9.0))
    weights = vertex_weights(proxy, ASSET.splats.gaussians(), MATERIALS.normals)

    class Untouched:
        def occluded(self, origins, directions, far=None):
            raise AssertionError("nothing is to be traced")

        hit = occluded

    of = SurfaceLight(
        proxy, weights, Untouched(), torch.Generator(), trust_field=True, seen_views=4
    )
    assert torch.equal(leaving(of), proxy.radiance_linear)


def test_lamps_are_reflected_where_they_shine():
    lamp = PointLight((0.0, 0.0, 3.0), (4.0, 4.0, 4.0))
    found = leaving(light(trust_field=False), sky=None, lamps=(lamp,))
    height = PROXY.mesh.vertices[:, 2]
    top = int(height.argmax())
    expected = REFLECTED / 0.8 * 4.0 / 2.0**2 / pi
    torch.testing.assert_close(found[top], expected, rtol=0.05, atol=0.0)
    assert not found[height < 0.2].any(), "beyond the terminator"
    both = leaving(light(trust_field=False), lamps=(lamp,))
    dark = leaving(light(trust_field=False), sky=None)
    assert not dark.any()
    torch.testing.assert_close(both, found + leaving(light(trust_field=False)))


def test_the_present_materials_count_and_get_no_gradient():
    albedo = torch.full((toys.COUNT, 3), 0.1, requires_grad=True)
    darker = dataclasses.replace(MATERIALS, albedo_linear=albedo)
    of = light(trust_field=False)
    found = leaving(of, materials=darker)
    assert not found.requires_grad
    assert float(found.mean()) < 0.5 * float(leaving(of).mean())


@pytest.mark.parametrize("seen_views", [0, 1])
def test_no_view_asked_is_as_one(seen_views):
    assert torch.equal(leaving(light(seen_views=seen_views)), leaving(light(seen_views=1)))
