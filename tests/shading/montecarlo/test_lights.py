from math import pi

import pytest
import torch
from sampling import DOUBLE, chi_square_p, mean_and_error, tilted, uniform, unit_vectors

from relight3d.core.color import luminance
from relight3d.core.types import LobeLight
from relight3d.shading import latlong
from relight3d.shading.montecarlo.lights import EnvironmentSampler, Light, LightSampler, LobeSampler

SOFT = LobeLight((1.0, 0.5, 0.8), 12.0, (2.0, 1.0, 0.5))
HARD = LobeLight((-1.0, 0.2, 2.0), 150.0, (30.0, 40.0, 50.0))


def sky(height: int = 8) -> torch.Tensor:
    return uniform(height, 2 * height, 3, seed=9) ** 4


def sunny(height: int = 16, row: int = 4, column: int = 7) -> torch.Tensor:
    """A dim sky and a sun of one texel, 1e5 as bright as white."""
    environment = 0.5 * uniform(height, 2 * height, 3, seed=2)
    environment[row, column] = 1e5
    return environment


LIGHTS = {
    "sky": lambda: EnvironmentSampler(sky()),
    "turned sky": lambda: EnvironmentSampler(sky(), 1.0),
    "sun": lambda: EnvironmentSampler(sunny()),
    "sun at the pole": lambda: EnvironmentSampler(sunny(row=0)),
    "two texels": lambda: EnvironmentSampler(uniform(1, 2, 3)),
    "darkness": lambda: EnvironmentSampler(torch.zeros(16, 32, 3, dtype=DOUBLE)),
    "lobe": lambda: LobeSampler(SOFT),
    "nearly even lobe": lambda: LobeSampler(LobeLight((0.0, 0.0, 1.0), 1e-4, (1.0, 1.0, 1.0))),
    "lobes": lambda: LightSampler(None, [SOFT, HARD]),
    "all": lambda: LightSampler(EnvironmentSampler(sky(), -0.4), [SOFT, HARD]),
    "none": LightSampler,
}


@pytest.mark.parametrize("name", LIGHTS)
def test_directions_follow_the_density(name):
    light = LIGHTS[name]()
    assert isinstance(light, Light)
    found = light.sample(uniform(60000, 2, seed=1), uniform(60000, seed=2))
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(60000, dtype=DOUBLE))
    assert chi_square_p(found, light.density, 16, 32) > 1e-3


@pytest.mark.parametrize("name", ["sky", "sun", "lobe", "lobes", "all"])
def test_power_is_found_with_little_noise(name):
    """A sun that fills the map's power costs no variance, whatever lies beside it."""
    light = LIGHTS[name]()
    directions = light.sample(uniform(40000, 2, seed=3), uniform(40000, seed=4))
    values = luminance(light.radiance(directions)) / light.density(directions)
    mean, error = mean_and_error(values)
    parts = getattr(light, "_parts", [light])
    assert abs(float(mean) / float(sum(part.power for part in parts)) - 1.0) < 0.03
    assert float(error) * 40000**0.5 < 0.5 * float(mean)  # the spread of one sample


def test_one_texel_of_sun_is_sampled_almost_exactly():
    light = EnvironmentSampler(sunny(32, 10, 20))
    directions = light.sample(uniform(20000, 2, seed=3), uniform(20000, seed=4))
    values = luminance(light.radiance(directions)) / light.density(directions)
    assert float(values.std() / values.mean()) < 0.1


def test_radiance_turns_as_the_map_does():
    quarter = EnvironmentSampler(sky(), pi / 2)
    turned = EnvironmentSampler(latlong.rotate(sky(), pi / 2))
    directions = unit_vectors(50)
    torch.testing.assert_close(quarter.radiance(directions), turned.radiance(directions))
    torch.testing.assert_close(quarter.density(directions), turned.density(directions))


def test_lobe_by_hand():
    light = LobeSampler(SOFT)
    axis = torch.nn.functional.normalize(torch.tensor([SOFT.axis], dtype=DOUBLE), dim=-1)
    torch.testing.assert_close(light.radiance(axis), torch.tensor([SOFT.peak_linear]).double())
    torch.testing.assert_close(light.radiance(-axis) / light.radiance(axis), torch.exp(
        torch.full((1, 3), -2.0 * SOFT.sharpness, dtype=DOUBLE)))  # fmt: skip
    peak_luminance = float(luminance(torch.tensor(SOFT.peak_linear)))
    assert float(light.power) == pytest.approx(2 * pi / SOFT.sharpness * peak_luminance, rel=1e-6)


def test_the_sun_as_a_lobe_in_float32():
    """Half a degree wide: 1 - cosine would have no digits left."""
    light = LobeSampler(LobeLight((0.3, -0.5, 0.8), 6e4, (1e5, 1e5, 1e5)))
    directions = light.sample(uniform(20000, 2, dtype=torch.float32))
    ratio = (light.radiance(directions)[:, 0] / light.density(directions)).double()
    assert float(ratio.std() / ratio.mean()) < 1e-5
    away = (directions - light.sample(torch.zeros(1, 2))).double().norm(dim=-1)
    assert float(away.square().mean()) == pytest.approx(2.0 / 6e4, rel=0.03)


def test_lights_add_up_and_are_picked_by_power():
    environment = EnvironmentSampler(sky())
    both = LightSampler(environment, [HARD])
    directions, lobe = unit_vectors(40), LobeSampler(HARD)
    torch.testing.assert_close(
        both.radiance(directions), environment.radiance(directions) + lobe.radiance(directions)
    )
    share = float(lobe.power / (lobe.power + environment.power))
    expected = share * lobe.density(directions) + (1 - share) * environment.density(directions)
    torch.testing.assert_close(both.density(directions), expected)


def test_gradients_reach_the_map():
    environment = sky(4).requires_grad_()
    light = LightSampler(EnvironmentSampler(environment, 0.3), [SOFT])
    assert not light.density(unit_vectors(3)).requires_grad
    assert torch.autograd.gradcheck(
        lambda e: EnvironmentSampler(e, 0.3).radiance(unit_vectors(9)), (environment,)
    )


def test_density_next_to_the_poles_is_finite():
    light = EnvironmentSampler(sky().float())
    poles = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1e-9, 0.0, 1.0]])
    assert bool(light.density(poles).isfinite().all())


def test_batches_keep_their_shape_and_planes():
    light = LIGHTS["all"]()
    found = light.sample(uniform(4, 5, 2), uniform(4, 5))
    assert found.shape == (4, 5, 3) and found[..., 0].is_contiguous()
    alone = light.sample(uniform(4, 5, 2)[2], uniform(4, 5)[2])
    assert torch.equal(found[2], alone)


def test_large_maps_are_drawn_from_in_every_column():
    """A float32 number could not name each of two million texels and a place within."""
    light = EnvironmentSampler(torch.ones(512, 1024, 3))
    found = light.sample(uniform(40000, 2, dtype=torch.float32), uniform(40000))
    assert float(found.mean(0).norm()) < 0.02
    assert float(light.density(tilted(70.0, torch.float32)[None])) == pytest.approx(
        0.25 / pi, rel=1e-4
    )
