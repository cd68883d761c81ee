import math

import torch

from relight3d.core.color import linear_from_srgb
from relight3d.decomposition import materials

NORMALS = torch.nn.functional.normalize(torch.tensor([[0.3, 0.1, 1.0], [0.0, -1.0, 0.0]]), dim=-1)


def parameters_of(progress=0.01, scope=1.0):
    sheets, inside = torch.full((2, 1), 0.1), torch.full((2, 1), scope)
    return materials.white_metal(NORMALS, sheets, inside, progress)


def test_activations_stay_in_range(generator):
    wild = {
        name: 30 * torch.randn(value.shape, generator=generator)
        for name, value in parameters_of().items()
    }
    wild |= {name: torch.ones(2, 1) for name in ("scope", "double_sided")}
    wild["log_gain"] = torch.tensor(-2.0)
    found = materials.activate(wild)
    for value in (found.albedo_linear, found.metallic, found.progress):
        assert 0 <= float(value.min()) <= float(value.max()) <= 1
    assert materials.MIN_ROUGHNESS <= float(found.roughness.min())
    assert float(found.roughness.max()) <= 1
    torch.testing.assert_close(found.normals.norm(dim=-1), torch.ones(2))


def test_starts_as_a_white_metal():
    found = materials.activate(parameters_of(0.02))
    torch.testing.assert_close(found.albedo_linear, torch.full((2, 3), 0.99))
    torch.testing.assert_close(found.metallic, torch.full((2, 1), 0.99))
    torch.testing.assert_close(found.progress, torch.full((2, 1), 0.02))
    torch.testing.assert_close(found.normals, NORMALS)
    rough = materials.FIRST_ROUGHNESS
    expected = materials.MIN_ROUGHNESS + (1 - materials.MIN_ROUGHNESS) * rough
    torch.testing.assert_close(found.roughness, torch.full((2, 1), expected))


def test_out_of_scope_there_is_no_progress():
    assert float(materials.activate(parameters_of(0.9, scope=0.0)).progress.max()) == 0.0


def test_some_rows():
    parameters = parameters_of()
    found = materials.some(parameters, torch.tensor([1]))
    assert found["normals"].tolist() == [NORMALS[1].tolist()]
    assert found.keys() == parameters.keys()


def test_gain_leaves_albedo_times_light_unchanged():
    parameters = parameters_of()
    dark = materials.activate(parameters | {"log_gain": torch.tensor(0.7)}).albedo_linear
    plain = materials.activate(parameters).albedo_linear
    torch.testing.assert_close(dark * math.exp(0.7), plain)
    bright = materials.activate(parameters | {"log_gain": torch.tensor(-0.7)}).albedo_linear
    assert float(bright.max()) <= 1.0


def test_diffuse_start_shows_the_radiance_under_the_light():
    """What is no mirror: albedo * irradiance / pi is the fitted radiance."""
    radiance = torch.tensor([[0.5, 0.4, 0.3], [0.6, 0.6, 0.2]])
    irradiance = torch.tensor([[2.0, 1.5, 1.0], [4.0, 3.0, 2.0]])
    admitted = materials.admit_diffuse(parameters_of(scope=0.0), radiance, irradiance)
    found = materials.activate(admitted)
    torch.testing.assert_close(
        found.albedo_linear * irradiance / math.pi, linear_from_srgb(radiance), rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(found.metallic, torch.full((2, 1), 0.08))
    torch.testing.assert_close(found.roughness, torch.full((2, 1), 0.3))
    assert torch.equal(admitted["normals"], NORMALS)


def test_diffuse_start_keeps_mirrors():
    parameters = parameters_of(0.9)
    parameters["roughness_logits"] = torch.full((2, 1), -1.0)
    parameters["albedo_logits"] = torch.full((2, 3), 0.5)
    before = materials.activate(parameters)
    dull = torch.full((2, 3), 0.3)
    found = materials.activate(materials.admit_diffuse(parameters, dull, torch.ones(2, 3)))
    torch.testing.assert_close(found.metallic, torch.full((2, 1), 0.9))
    for name in ("albedo_linear", "roughness"):
        assert float((getattr(found, name) - getattr(before, name)).abs().max()) < 0.06
    assert torch.equal(found.progress, before.progress)


def test_diffuse_start_without_light_is_tame():
    admitted = materials.admit_diffuse(parameters_of(), torch.ones(2, 3), torch.zeros(2, 3))
    assert all(torch.isfinite(value).all() for value in admitted.values())
    assert float(materials.activate(admitted).albedo_linear.max()) <= 0.98 + 1e-6
