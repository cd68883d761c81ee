from math import pi

import pytest
import torch
from sampling import DOUBLE, chi_square_p, graded_sphere, tilted, uniform, unit_vectors

from relight3d.shading.brdf import MIN_ROUGHNESS, smith_visibility
from relight3d.shading.brdf import ggx_density as density_of_normals
from relight3d.shading.montecarlo.planes import dot
from relight3d.shading.montecarlo.samplers import (
    cosine_density,
    ggx_density,
    lifted,
    normals_density,
    sample_cosine,
    sample_ggx,
    sample_sphere,
)

Z = tilted(0.0)


def mirrored(view: torch.Tensor) -> torch.Tensor:
    return torch.stack([-view[0], view[1], view[2].abs()])


def test_uniform_directions():
    found = sample_sphere(uniform(60000, 2))
    assert chi_square_p(found, lambda d: torch.full_like(d[..., 0], 0.25 / pi), 8) > 1e-3


def test_cosine_directions():
    normal = unit_vectors(1, seed=4)[0]
    found = sample_cosine(uniform(100000, 2, seed=1), normal)
    assert chi_square_p(found, lambda d: cosine_density(normal, d), 16, 32) > 1e-3


@pytest.mark.parametrize("degrees", [0.0, 40.0, 80.0])
@pytest.mark.parametrize("roughness", [0.25, 0.5, 1.0])
def test_mirrored_by_visible_normals(degrees, roughness):
    view, rough = tilted(degrees), torch.tensor([roughness], dtype=DOUBLE)
    found = sample_ggx(uniform(100000, 2, seed=2), Z, view, rough)
    assert chi_square_p(found, lambda d: ggx_density(Z, view, d, rough), 30, 20) > 1e-3


def by_half_vector(half: torch.Tensor, view: torch.Tensor, rough: torch.Tensor) -> torch.Tensor:
    """The density per steradian of the microfacet's normal, from the light's and 4 v.h."""
    seen = lifted(view, Z)
    cosine = dot(half, seen)
    light = 2.0 * cosine[..., None] * half - seen
    return ggx_density(Z, view, light, rough) * 4.0 * cosine.clamp_min(0.0)


@pytest.mark.parametrize("degrees", [0.0, 60.0, 89.9, 100.0, 180.0])
@pytest.mark.parametrize("roughness", [0.25, 0.5, 1.0])
def test_visible_normals(degrees, roughness):
    """Grazing and buried views, too, are sampled by the density that is said.

    Seen along the surface, light next to the view turns the half vector round within no distance:
    so it is the half vectors that are counted.
    """
    view, rough = tilted(degrees), torch.tensor([roughness], dtype=DOUBLE)
    light = sample_ggx(uniform(100000, 2, seed=2), Z, view, rough)
    half = torch.nn.functional.normalize(light + lifted(view, Z), dim=-1)
    assert chi_square_p(half, lambda h: by_half_vector(h, view, rough), 30, 20) > 1e-3


@pytest.mark.parametrize("degrees", [0.0, 60.0, 85.0, 89.99, 120.0])
@pytest.mark.parametrize("roughness", [0.0, 0.1, 0.4, 0.8, 1.0])
def test_density_of_visible_normals_integrates_to_one(degrees, roughness):
    """Over the whole sphere of light directions; what lies below the horizon is wasted."""
    view, rough = tilted(degrees), torch.tensor([roughness], dtype=DOUBLE)
    half, areas = graded_sphere(Z, extent=pi / 2)
    mass = by_half_vector(half, view, rough) * areas
    assert float(mass.sum()) == pytest.approx(1.0, abs=2e-3)


def test_sharp_lobes_by_their_angle_to_the_mirror_direction():
    """Too narrow for a histogram of the sphere: compare how far samples stray, by quadrature."""
    view, rough = tilted(50.0), torch.tensor([MIN_ROUGHNESS], dtype=DOUBLE)
    axis = mirrored(view)
    found = sample_ggx(uniform(200000, 2, seed=3), Z, view, rough)
    directions, areas = graded_sphere(axis)
    mass = ggx_density(Z, view, directions, rough) * areas
    for radius in (0.002, 0.004, 0.01, 0.05):
        within = float(((found - axis).norm(dim=-1) < radius).double().mean())
        expected = float(mass[(directions - axis).norm(dim=-1) < radius].sum())
        assert within == pytest.approx(expected, abs=6e-3)


def test_the_lobe_is_the_brdfs():
    """G1 D / (4 n.v), with the BRDF's own D, and its own G2 at n.l = 1, which is G1."""
    normal, view = unit_vectors(100), unit_vectors(100, seed=1)
    view = torch.where(dot(normal, view)[:, None] < 0.1, normal, view)
    light, rough = unit_vectors(100, seed=2), uniform(100, 1, seed=3) * 0.9 + 0.1
    half = torch.nn.functional.normalize(view + light, dim=-1)
    cos_h, n_dot_v = dot(normal, half), dot(normal, view)
    one = torch.ones_like(n_dot_v)
    masking = smith_visibility(one, n_dot_v, rough[:, 0]) * 4.0 * n_dot_v
    expected = density_of_normals(cos_h, rough[:, 0]) * masking / (4.0 * n_dot_v)
    expected = torch.where(cos_h > 0.0, expected, 0.0)
    torch.testing.assert_close(ggx_density(normal, view, light, rough), expected)


def test_float32_holds_the_peak_of_the_sharpest_lobe():
    alpha2 = torch.tensor(MIN_ROUGHNESS) ** 4
    sine = torch.tensor([0.0, 1e-4, 1e-3, 3e-3])
    found = normals_density(sine.square(), alpha2).double()
    exact = density_of_normals((1.0 - sine.double().square()).sqrt(), torch.tensor(0.04).double())
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("roughness", [0.0, 0.04, 1.0])
def test_extreme_arguments_stay_finite(roughness):
    """Also corners of the unit square, grazing and buried views, and normals of no length."""
    corners = torch.tensor([[0.0, 0.0], [1.0 - 2**-24, 0.0], [0.0, 1.0 - 2**-24], [0.5, 0.5]])
    rough = torch.tensor([roughness])
    for normal in (tilted(0.0).float(), torch.zeros(3)):
        for degrees in (0.0, 89.999, 90.0, 150.0, 180.0):
            view = tilted(degrees, torch.float32)
            for found in (sample_ggx(corners, normal, view, rough), sample_cosine(corners, normal)):
                assert bool(found.isfinite().all())
                density = ggx_density(normal, view, found, rough)
                assert bool(density.isfinite().all()) and float(density.min()) >= 0.0
                assert bool(cosine_density(normal, found).isfinite().all())


def test_batches_broadcast_and_come_in_planes():
    normal, view = unit_vectors(5), unit_vectors(5, seed=1)
    found = sample_ggx(uniform(4, 5, 2), normal, view, uniform(5, 1))
    assert found.shape == (4, 5, 3) and found[..., 0].is_contiguous()
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(4, 5, dtype=DOUBLE))
