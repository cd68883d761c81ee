import math

import torch

from relight3d.core.color import linear_from_srgb
from relight3d.core.types import Materials
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


def some_materials(count=50, progress=0.6):
    generator = torch.Generator().manual_seed(3)
    albedo, rough, metal = (torch.rand(count, n, generator=generator) for n in (3, 1, 1))
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    one = torch.ones(count, 1)
    rough = materials.MIN_ROUGHNESS + (1 - materials.MIN_ROUGHNESS) * (0.05 + 0.9 * rough)
    return Materials(
        0.05 + 0.9 * albedo, rough, 0.05 + 0.9 * metal, normals, progress * one, 0.1 * one
    )


def test_parameters_of_materials_are_theirs():
    given = some_materials()
    given.progress[:10] = 0.0  # out of scope
    parameters = materials.parameters_of(given)
    assert parameters.keys() == parameters_of().keys()
    found = materials.activate(parameters)
    for name, value in vars(given).items():
        torch.testing.assert_close(vars(found)[name], value, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.progress[:10], given.progress[:10]), "exactly 0 stays so"
    parameters["normals"].zero_()
    assert float(given.normals.norm(dim=-1).min()) > 0.99, "a copy"


def test_parameters_keep_off_the_ends_where_nothing_moves():
    zero, one = torch.zeros(4, 1), torch.ones(4, 1)
    for end in (zero, one):
        given = Materials(end.expand(-1, 3), end, end, one.expand(-1, 3), end, one)
        parameters = materials.parameters_of(given)
        assert all(bool(value.isfinite().all()) for value in parameters.values())
        leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        found = materials.activate(leaves)
        (found.albedo_linear.sum() + found.roughness.sum() + found.metallic.sum()).backward()
        for name in ("albedo_logits", "roughness_logits", "metallic_logits"):
            gradient = leaves[name].grad
            assert gradient is not None and float(gradient.min()) > 0.01, name
        torch.testing.assert_close(found.albedo_linear, given.albedo_linear, atol=0.021, rtol=0.0)
