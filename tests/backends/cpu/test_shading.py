"""The compiled split-sum shading against plain torch in float64, for every ISA."""

import dataclasses
from functools import partial

import pytest
import torch
from torch import Tensor

from relight3d.backends.cpu import library
from relight3d.backends.cpu import shading as compiled
from relight3d.decomposition import physics
from relight3d.decomposition import shade as chooser
from relight3d.shading import deferred
from relight3d.shading.deferred import GBuffer
from relight3d.shading.environment_brdf import brdf_table
from relight3d.shading.prefilter import PrefilteredEnvironment, build_prefilter

LEAVES = ("albedo", "roughness", "metallic", "normal", "irradiance")
OCCLUSION = ("specular_visibility", "surroundings")
AXES = torch.tensor([[0.0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])


@pytest.fixture(params=library.available_isas())
def isa(request):
    """Each instruction set that runs here."""
    with library.use_isa(request.param):
        yield request.param


def unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def surface(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Random pixels, a third seen from behind, some mirrors and some of full roughness.

    The first look along the axes, that is into the poles and the seam of the map.
    """
    normal = unit(torch.randn(count, 3, generator=generator))
    view = unit(torch.randn(count, 3, generator=generator) + 0.5 * normal)
    normal[:6] = view[:6] = AXES[:count]
    sizes = {"albedo": 3, "roughness": 1, "metallic": 1, "irradiance": 3, "specular_visibility": 1}
    found = {name: torch.rand(count, size, generator=generator) for name, size in sizes.items()}
    found["roughness"][5::7] = 0.0
    found["roughness"][6::7] = 1.0
    surroundings = torch.rand(3, generator=generator)
    return found | {"normal": normal, "view": view, "surroundings": surroundings}


def light(generator: torch.Generator, height: int = 16, turn: float = 0.7):
    environment = torch.rand(height, 2 * height, 3, generator=generator)
    return build_prefilter(height)(environment).turned(turn)


def results(function, given: dict[str, Tensor], environment, constant=()) -> dict[str, Tensor]:
    """Both parts and all gradients under fixed cotangents."""
    given, atlas = dict(given), environment.atlas.clone().requires_grad_("atlas" not in constant)
    for name in set(given) - {"view", *constant}:
        given[name] = given[name].clone().requires_grad_()
    shaded = function(GBuffer(**given), dataclasses.replace(environment, atlas=atlas))
    parts = torch.cat([shaded.diffuse, shaded.specular], -1)
    cotangents = torch.linspace(-1.0, 2.0, parts.numel(), dtype=torch.float64).view_as(parts)
    parts.backward(cotangents.to(parts.dtype))
    found = {name: leaf.grad for name, leaf in given.items()} | {"atlas": atlas.grad}
    found = {name: grad for name, grad in found.items() if grad is not None}
    return found | {"diffuse": shaded.diffuse.detach(), "specular": shaded.specular.detach()}


def doubled(environment: PrefilteredEnvironment) -> PrefilteredEnvironment:
    atlas, irradiance = environment.atlas.double(), environment.irradiance_map.double()
    return dataclasses.replace(environment, atlas=atlas, irradiance_map=irradiance)


def compare(given: dict[str, Tensor], environment: PrefilteredEnvironment) -> None:
    """The kernel in float32 against torch in float64: relative L2 of 2e-5."""
    found = results(chooser.shade, given, environment)
    given64 = {name: values.double() for name, values in given.items()}
    expected = results(deferred.shade, given64, doubled(environment))
    assert set(found) == set(expected) >= {*LEAVES, "atlas"}
    for name, truth in expected.items():
        error = (found[name].double() - truth).norm()
        assert error <= 2e-5 * truth.norm() + 1e-12, (name, float(error / truth.norm()))


@pytest.mark.parametrize("count", [1, 6, 37, 2000])
def test_values_and_gradients(isa, count, generator):
    compare(surface(count, generator), light(generator))


@pytest.mark.parametrize("turn", [0.0, -2.0])
@pytest.mark.parametrize("missing", [OCCLUSION, OCCLUSION[:1], OCCLUSION[1:]])
def test_parts_may_be_missing(isa, turn, missing, generator):
    given = surface(500, generator)
    for name in missing:
        del given[name]
    if "specular_visibility" in missing:  # without effect then
        given.pop("surroundings", None)
    compare(given, light(generator, 8, turn))


def test_several_shares_of_the_atlas_gradient_add_up(isa, generator):
    compare(surface(9001, generator), light(generator))


def test_threads_change_no_bit(generator):
    given, environment = surface(9001, generator), light(generator)
    found = []
    for threads in (1, 2):
        library.set_num_threads(threads)
        try:
            found.append(results(chooser.shade, given, environment))
        finally:
            library.set_num_threads(None)
    for name, values in found[0].items():
        assert torch.equal(values, found[1][name]), name


@pytest.mark.parametrize(
    "constant", [("normal", *OCCLUSION), ("atlas",), ("normal", "roughness"), LEAVES]
)
def test_constants_get_no_gradient_and_change_nothing(constant, generator):
    given, environment = surface(100, generator), light(generator)
    every = results(chooser.shade, given, environment)
    some = results(chooser.shade, given, environment, constant)
    assert set(every) - set(some) == set(constant)
    assert all(torch.equal(values, every[name]) for name, values in some.items())


@pytest.mark.parametrize("part", ["diffuse", "specular"])
def test_one_part_alone(part, generator):
    given, environment = surface(50, generator), light(generator)
    leaves = [given[name].requires_grad_() for name in LEAVES]
    shaded = chooser.shade(GBuffer(**given), environment)
    found = torch.autograd.grad(getattr(shaded, part).sum(), leaves, allow_unused=True)
    plain = deferred.shade(GBuffer(**given), environment)
    expected = torch.autograd.grad(getattr(plain, part).sum(), leaves, allow_unused=True)
    for name, ours, truth in zip(LEAVES, found, expected, strict=True):
        assert (ours is None) == (truth is None) == (part == "specular" and name == "irradiance")
        if truth is not None:
            torch.testing.assert_close(ours, truth, rtol=1e-3, atol=1e-3)


def test_results_are_in_planes(generator):
    given, environment = surface(50, generator), light(generator)
    given["albedo"].requires_grad_()
    shaded = chooser.shade(GBuffer(**given), environment)
    (gradient,) = torch.autograd.grad(shaded.radiance.sum(), given["albedo"])
    for values in (shaded.diffuse, shaded.specular, gradient):
        assert values.t().is_contiguous()


def test_nothing_covered_gives_no_light_and_no_gradient(isa, generator):
    found = results(chooser.shade, surface(0, generator), light(generator))
    assert found["diffuse"].shape == found["specular"].shape == (0, 3)
    assert float(found["atlas"].abs().max()) == float(found["surroundings"].abs().max()) == 0.0


@pytest.mark.parametrize("name", ["roughness", "normal", "view", "albedo"])
def test_one_bad_pixel_stays_alone(isa, name, generator):
    given, environment = surface(40, generator), light(generator)
    good = chooser.shade(GBuffer(**given), environment).radiance
    given[name][17] = float("nan")
    found = results(chooser.shade, given, environment)
    radiance = found["diffuse"] + found["specular"]
    others = torch.arange(40) != 17
    assert torch.equal(radiance[others], good[others])
    assert radiance[17].isnan().any()
    assert torch.isfinite(found["albedo"][others]).all()


GIVEN = {
    "albedo": (5, 3), "roughness": (5, 1), "metallic": (5, 1), "normal": (5, 3), "view": (5, 3),
    "irradiance": (5, 3), "visibility": (5, 1), "surroundings": (3,), "atlas": (1, 3, 36, 10),
    "table": (1, 6, 64, 64),
}  # fmt: skip


def shade_of_shapes(shapes: dict[str, tuple[int, ...]], levels: int = 9):
    tensors = {name: torch.rand(shape) for name, shape in shapes.items()}
    return compiled.shade(**tensors, levels=levels, rotation_rad=0.0, min_cosine=1e-4)


def test_right_shapes_reach_the_kernel():
    assert all(part.shape == (5, 3) for part in shade_of_shapes(GIVEN))


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, (4, *shape[1:])) for name, shape in GIVEN.items()]
    + [("visibility", (5, 3)), ("atlas", (1, 3, 35, 10)), ("atlas", (1, 3, 9, 10)),
       ("atlas", (1, 4, 36, 10)), ("atlas", (1, 3, 36, 2)), ("table", (1, 6, 64, 32))],
)  # fmt: skip
def test_wrong_shapes_never_reach_the_kernel(name, shape, monkeypatch):
    monkeypatch.setattr(compiled.library, "call", lambda *_: pytest.fail("the kernel was called"))
    with pytest.raises((AssertionError, TypeError)):  # ours, or jaxtyping's before it
        shade_of_shapes(GIVEN | {name: shape})


def test_one_level_is_refused():
    with pytest.raises(AssertionError):
        shade_of_shapes(GIVEN, levels=1)


def test_the_room_chooses(generator, monkeypatch):
    """Float32 with irradiance goes to the kernel; anything else to torch, with the same result."""
    assert physics.shade is chooser.shade
    reached, serve = [], compiled.shade
    monkeypatch.setattr(compiled, "shade", lambda *given: reached.append(1) or serve(*given))
    given, environment = surface(20, generator), light(generator)
    ours = chooser.shade(GBuffer(**given), environment).radiance
    assert len(reached) == 1
    double = GBuffer(**{name: values.double() for name, values in given.items()})
    theirs = chooser.shade(double, doubled(environment)).radiance
    assert theirs.dtype == torch.float64
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)
    chooser.shade(dataclasses.replace(GBuffer(**given), irradiance=None), environment)
    view = given["view"].clone().requires_grad_()
    chooser.shade(GBuffer(**given | {"view": view}), environment).radiance.sum().backward()
    assert view.grad is not None
    assert len(reached) == 1


def test_the_table_is_read_as_torch_reads_it(isa):
    """At every node and between: what `environment_brdf` finds, through the diffuse part."""
    x = torch.linspace(0.01, 0.99, 200)
    zeros = torch.zeros_like(x)
    z, view = (
        torch.stack([zeros, zeros, zeros + 1], -1),
        torch.stack([(1 - x * x).sqrt(), zeros, x], -1),
    )
    make = partial(GBuffer, torch.ones(200, 3), x[:, None], zeros[:, None], z, view)
    schlick = brdf_table(torch.device("cpu"), torch.float32)[0, 2, 0]
    nodes = x * 63
    left = nodes.long()
    expected = 1 - torch.lerp(schlick[left], schlick[left + 1], nodes - left)
    environment = light(torch.Generator().manual_seed(0), 4)
    found = chooser.shade(make(irradiance=torch.full((200, 3), torch.pi / 0.96)), environment)
    torch.testing.assert_close(found.diffuse[:, 0], expected, rtol=1e-5, atol=1e-6)
