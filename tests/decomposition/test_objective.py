import pytest
import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.gbuffer import draw
from relight3d.decomposition.materials import white_metal
from relight3d.decomposition.objective import (
    Pulls,
    environment_terms,
    flatness_of,
    forgive_saturation,
    loss_terms,
    smooth,
)

CONFIG = DecompositionConfig()


def test_nothing_is_said_above_white():
    image = torch.tensor([[[2.0, 0.5, 2.0]]]).requires_grad_()
    target = torch.tensor([[[1.0, 1.0, 0.9]]])
    forgiven = forgive_saturation(image, target)
    assert forgiven.tolist() == [[[1.0, 0.5, 2.0]]]
    forgiven.sum().backward()
    assert image.grad is not None and image.grad.tolist() == [[[0.0, 1.0, 1.0]]]


def test_a_grey_even_sky_costs_nothing():
    for term in environment_terms(torch.full((4, 8, 3), 0.7), CONFIG).values():
        assert float(term) == pytest.approx(0.0, abs=1e-9)


def test_coloured_and_uneven_skies_cost():
    sky = torch.zeros(4, 8, 3)
    sky[..., 0] = 0.5
    assert float(environment_terms(sky, CONFIG)["light"]) > 0
    assert float(environment_terms(sky, CONFIG)["light_smooth"]) == 0
    seam = torch.zeros(4, 8, 3)
    seam[:, 0] = 1.0  # next to columns 1 and 7: the map is closed in u
    found = environment_terms(seam, CONFIG)["light_smooth"]
    assert float(found) == pytest.approx(CONFIG.light_smoothness * 2 / 8)


def test_smoothness_stops_at_edges_of_the_photo():
    maps = torch.zeros(4, 6, 1)
    maps[:, 3:] = 1.0
    flat, alpha = torch.full((4, 6, 3), 0.5), torch.ones(4, 6, 1)
    edge = flat.clone()
    edge[:, 3:] = 1.0
    assert float(smooth(maps, flatness_of(flat, alpha))) == pytest.approx(1 / 5)
    assert float(smooth(maps, flatness_of(edge, alpha))) < 1e-4
    assert float(smooth(maps, flatness_of(flat, 0 * alpha))) == 0.0
    assert (
        float(smooth(maps.movedim(0, 1), flatness_of(flat.movedim(0, 1), alpha.movedim(0, 1))))
        > 0.1
    )


def test_smoothness_is_the_plain_expression_with_its_gradient():
    generator = torch.Generator().manual_seed(0)
    maps, guide = (torch.rand(5, 7, c, generator=generator, dtype=torch.float64) for c in (2, 3))
    alpha = torch.rand(5, 7, 1, generator=generator, dtype=torch.float64)
    maps.requires_grad_()
    expected = maps.new_zeros(())
    for a, b in (
        ((slice(None, -1),), (slice(1, None),)),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        weight = torch.exp(-20.0 * (guide[a] - guide[b]).abs().mean(-1, keepdim=True))
        expected = expected + ((maps[a] - maps[b]).abs() * weight * alpha[a] * alpha[b]).mean()
    flatness = flatness_of(guide, alpha)
    torch.testing.assert_close(smooth(maps, flatness), expected)
    (by_hand,) = torch.autograd.grad(smooth(maps, flatness), maps)
    torch.testing.assert_close(by_hand, torch.autograd.grad(expected, maps)[0])
    assert torch.autograd.gradcheck(lambda m: smooth(m, flatness), (maps,))


@pytest.fixture
def drawn_ball():
    splats = ball(60)
    normals = torch.nn.functional.normalize(splats.means, dim=-1)
    parameters = white_metal(normals, torch.ones(60, 1), torch.ones(60, 1), 0.3)
    parameters = {n: v.clone().requires_grad_() for n, v in parameters.items()}
    parameters["light/sky"] = torch.zeros(4, 8, 3, requires_grad=True)
    channels = {
        "albedo": parameters["albedo_logits"].sigmoid(),
        "roughness": parameters["roughness_logits"].sigmoid(),
        "metallic": parameters["metallic_logits"].sigmoid(),
        "progress": parameters["progress_logits"].sigmoid(),
    }
    drawn = draw(get_rasterizer("cpu"), splats.gaussians(), channels, orbit(1, 12, 12))
    return drawn, parameters, normals


@pytest.mark.parametrize("progress", [True, False])
@pytest.mark.parametrize("materials", [True, False])
def test_terms_of_a_stage(drawn_ball, progress, materials):
    drawn, parameters, normals = drawn_ball
    image, mask = drawn.maps["albedo"], torch.ones(12, 12, 1)
    terms = loss_terms(
        image, torch.full((12, 12, 3), 0.5), mask, drawn, parameters, normals, CONFIG,
        Pulls(progress=progress, materials=materials),
    )  # fmt: skip
    expected = {"photo", "light", "light_smooth", "normal"}
    expected |= {"progress"} if progress else set()
    expected |= {"albedo", "gloss", "metallic"} if materials else set()
    assert set(terms) == expected
    assert float(terms["normal"].detach()) == pytest.approx(0.0, abs=1e-6)
    assert all(torch.isfinite(term).all() for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    grown = parameters["progress_logits"].grad
    assert (grown is not None and float(grown.sum()) < 0) == progress
    reached = parameters["metallic_logits"].grad
    assert (reached is not None and float(reached.sum()) > 0) == materials


def test_several_skies_add_up(drawn_ball):
    drawn, parameters, normals = drawn_ball
    sky = torch.zeros(4, 8, 3)
    sky[..., 1] = 0.4

    def light(names):
        plain = {n: v for n, v in parameters.items() if not n.startswith("light/")}
        some = plain | {f"light/{name}": sky for name in names}
        black = torch.zeros(12, 12, 3)
        terms = loss_terms(
            black, black, black[..., :1], drawn, some, normals, CONFIG,
            Pulls(progress=False, materials=False),
        )  # fmt: skip
        return float(terms["light"])

    assert light(["a", "b"]) == pytest.approx(2 * light(["a"]))
