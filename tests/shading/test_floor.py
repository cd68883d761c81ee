"""The floor that catches: where it is seen, how dark its shadow is, what it mirrors."""

import math

import pytest
import torch
from torch import Tensor
from traced_ball import BallTracer, ball_proxy

from relight3d.core.errors import ConfigurationError
from relight3d.core.types import DirectionalLight, PointLight
from relight3d.shading.floor import FADE, Caught, Floor, FloorPixels, catch, floor_pixels
from relight3d.shading.montecarlo.lights import EnvironmentSampler, LightSampler

FLOOR = Floor(-1.0, (0.0, 0.0), 1.0)
"""Under a ball of radius 1 about the origin."""
SKY = LightSampler(EnvironmentSampler(torch.ones(8, 16, 3)))
BALL = BallTracer(ball_proxy())


def at(*places: tuple[float, float], eye: tuple[float, float, float] = (0.0, -6.0, 3.0)):
    """The floor at some x and y."""
    center = torch.tensor(eye)
    targets = torch.tensor([[x, y, FLOOR.height] for x, y in places])
    rays = (targets - center)[None]
    found = floor_pixels(FLOOR, center, rays, torch.ones(rays.shape[:2], dtype=torch.bool))
    assert len(found.points) == len(places)
    return found


def caught(
    pixels: FloorPixels,
    light: LightSampler | None = SKY,
    lamps=(),
    bounce=None,
    spp=64,
    floor=FLOOR,
) -> Caught:
    generator = torch.Generator().manual_seed(0)
    return catch(
        floor, pixels.points, light, lamps, BALL.occluded, bounce, spp, generator, lift=1e-4
    )


def glow(origins: Tensor, directions: Tensor) -> Tensor:
    return torch.tensor([0.5, 0.25, 0.0]).expand_as(origins)


def test_the_floor_is_where_rays_meet_its_plane():
    center, rays = (
        torch.tensor([1.0, 2.0, 3.0]),
        torch.tensor([[[1.0, 0.0, -2.0], [0.0, 1.0, 0.5]]]),
    )
    found = floor_pixels(FLOOR, center, rays, torch.ones(1, 2, dtype=torch.bool))
    assert found.index.tolist() == [0]  # the other ray looks up
    torch.testing.assert_close(found.points.position, torch.tensor([[3.0, 2.0, -1.0]]))
    torch.testing.assert_close(found.depth, torch.tensor([[2.0]]))
    assert not len(floor_pixels(FLOOR, center, rays, torch.zeros(1, 2, dtype=torch.bool)).index)
    below = torch.tensor([1.0, 2.0, -3.0])
    assert not len(floor_pixels(FLOOR, below, rays, torch.ones(1, 2, dtype=torch.bool)).index)


def test_the_floor_fades_out_before_it_ends():
    middle = 0.5 * (FADE[0] + FADE[1])
    strength = at((0.0, FADE[0]), (0.0, middle)).strength[:, 0]
    assert strength.tolist() == pytest.approx([1.0, 0.5])
    far = torch.tensor([[[0.0, FADE[1] + 6.1, -4.0]]])
    seen = torch.ones(1, 1, dtype=torch.bool)
    assert not len(floor_pixels(FLOOR, torch.tensor([0.0, -6.0, 3.0]), far, seen).index)


def test_a_suns_shadow_is_whole_and_ends_at_its_edge():
    sun = DirectionalLight((0.0, 0.0, 2.0), (3.0, 2.0, 1.0))
    found = caught(at((0.0, 0.0), (0.9, 0.0), (1.1, 0.0)), light=None, lamps=(sun,))
    torch.testing.assert_close(found.light, torch.tensor([[0.0], [0.0], [1.0]]).expand(-1, 3))
    alpha = found.layer(torch.ones(3, 1))
    torch.testing.assert_close(alpha[:, 3], torch.tensor([1.0, 1.0, 0.0]))
    assert not alpha[:, :3].any()


def test_two_suns_share_the_light():
    """In the shadow of one, the other's part is left, channel by channel."""
    above = DirectionalLight((0.0, 0.0, 1.0), (3.0, 1.0, 0.0))
    aside = DirectionalLight((1.0, 0.0, 1.0), (math.sqrt(2.0), math.sqrt(2.0), 0.0))
    found = caught(at((0.8, 0.0)), light=None, lamps=(above, aside)).light[0]
    assert found.tolist() == pytest.approx([0.25, 0.5, 1.0])


def test_a_lamp_between_floor_and_ball_throws_no_shadow():
    lamp = PointLight((3.0, 0.0, -0.9), (1.0, 1.0, 1.0))
    found = caught(at((4.0, 0.0), (-4.0, 0.0)), light=None, lamps=(lamp,)).light
    assert found[:, 0].tolist() == pytest.approx([1.0, 0.0])


def test_under_a_white_sky_the_ball_hides_its_form_factor():
    """Of a ball of radius r whose middle is d away: (r / d)^2 times the cosine toward it."""
    floor = Floor(-2.0, (0.0, 0.0), 1.0)
    center = torch.tensor([0.0, -6.0, 3.0])
    rays = (torch.tensor([[0.0, 0.0, -2.0], [1.5, 0.0, -2.0]]) - center)[None]
    pixels = floor_pixels(floor, center, rays, torch.ones(1, 2, dtype=torch.bool))
    found = caught(pixels, spp=4096, floor=floor).light[:, 0]
    expected = [1 - 1 / 4, 1 - (1 / 6.25) * (2.0 / 2.5)]  # (r / d)^2 cos of the ball's middle
    assert found.tolist() == pytest.approx(expected, abs=0.01)


def test_where_nothing_is_in_the_way_there_is_no_noise():
    away = caught(at((9.0, 0.0)), spp=8)
    assert float(away.light.min()) > 0.9
    nothing = catch(
        FLOOR, at((2.0, 0.0)).points, SKY, (),
        lambda origins, directions, far=None: torch.zeros(len(origins), dtype=torch.bool),
        glow, 4, torch.Generator().manual_seed(0), 1e-4,
    )  # fmt: skip
    assert torch.equal(nothing.light, torch.ones(1, 3))
    assert not nothing.layer(torch.ones(1, 1)).any()


def test_the_ball_lights_the_floor_beside_it():
    pixels = at((1.3, 0.0))
    black, bright = caught(pixels, spp=512).light[0], caught(pixels, bounce=glow, spp=512).light[0]
    hidden = 1.0 - black[0]
    gained = (bright - black) / hidden
    assert gained.tolist() == pytest.approx([0.5, 0.25, 0.0], abs=1e-5)


def test_the_floor_mirrors_the_ball():
    """Seen flat, behind the ball: Fresnel's share of its colour, and of the backdrop is hidden."""
    smooth = Floor(-1.0, (0.0, 0.0), 1.0, roughness=0.0)
    pixels = at((0.0, -2.5), eye=(0.0, -7.5, 1.0))  # its mirror ray meets the middle
    found = caught(pixels, bounce=glow, floor=smooth)
    cosine = float(pixels.points.view[0, 2])
    fresnel = 0.04 + 0.96 * (1 - cosine) ** 5
    expected = [0.5 * fresnel, 0.25 * fresnel, 0.0]
    assert found.mirrored[0].tolist() == pytest.approx(expected, rel=0.02)
    assert float(found.hidden) == pytest.approx(fresnel, rel=0.02)
    assert not caught(pixels, floor=smooth).mirrored.any()  # a black ball is not mirrored
    dull = Floor(-1.0, (0.0, 0.0), 1.0, reflectance=0.0)
    assert not caught(pixels, bounce=glow, floor=dull).mirrored.any()


def test_no_light_is_no_shadow():
    dark = LightSampler(EnvironmentSampler(torch.zeros(4, 8, 3)))
    found = caught(at((1.0, 0.0)), light=dark)
    assert torch.equal(found.light, torch.ones(1, 3))


def test_filtering_keeps_what_has_no_noise():
    aside, down = torch.linspace(-0.5, 0.5, 16), torch.linspace(-0.9, -0.4, 16)
    x, z = torch.meshgrid(aside, down, indexing="xy")
    rays = torch.stack([x, torch.ones_like(x), z], -1)
    seen = torch.ones(16, 16, dtype=torch.bool)
    pixels = floor_pixels(FLOOR, torch.tensor([0.0, -2.0, 0.0]), rays, seen)
    count = len(pixels.points)
    assert count == 256
    generator = torch.Generator().manual_seed(0)
    sharp = (torch.rand(count, 3, generator=generator) > 0.5).float()
    one, none = torch.ones(count, 3), torch.zeros(count, 1)
    plain = Caught(0.7 * one, one, sharp, one, 0.1 * one, none)
    found = plain.filtered(pixels, rays)
    for name, values in vars(plain).items():
        torch.testing.assert_close(vars(found)[name], values)


@pytest.mark.parametrize(
    "wrong", [{"height": math.nan}, {"radius": 0.0}, {"roughness": 1.5}, {"reflectance": -0.1}]
)
def test_impossible_floors_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="A floor needs"):
        Floor(**({"height": 0.0, "center": (0.0, 0.0), "radius": 1.0} | wrong))
