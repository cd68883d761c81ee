"""Built-in scenes whose light is largely indirect, which the public benchmarks lack.

Colours are linear. Each scene says what it tests; how much of its light is indirect is measured.
"""

import dataclasses
from collections.abc import Callable

from capture_maker.cameras import Inside, Orbit, Views
from capture_maker.shapes import ball, box
from capture_maker.surfaces import Surface, plain

GREY = plain(0.5, 0.5, 0.5, 1.0, lambertian=True)
WHITE = plain(0.8, 0.8, 0.8, 0.9)
RED, GREEN, BLUE = plain(0.75, 0.03, 0.03, 0.8), plain(0.04, 0.5, 0.06, 0.8), plain(0.05, 0.1, 0.6)


ORBIT = Orbit()


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is rendered, from where, and what it is good for."""

    name: str
    tests: str
    surfaces: list[Surface]
    views: Views = ORBIT
    enclosed: bool = False
    """Cameras stand inside: every pixel belongs to the scene, a window shows the light."""
    max_depth: int = 5
    mean_radiance: float = 0.8
    intensity: float = 60.0
    """Of a point light, W/sr."""
    spp: int = 192
    """Paths a pixel."""
    window: tuple[float, float, float] | None = None
    """Light comes in only along directions against this one; the rest of a map is not looked at."""


def coloured_corner() -> Stage:
    """Two saturated walls and a white floor, with white and shiny things in the corner."""
    s, t = 0.68, 0.06
    surfaces = [
        box((-s, -s, -0.56), (s, s, -0.5), WHITE),
        box((-s - t, -s - t, -0.56), (-s, s, 0.6), RED),
        box((-s, -s - t, -0.56), (s, -s, 0.6), GREEN),
        ball((-0.38, -0.3, -0.24), 0.26, WHITE),
        box((-0.05, -0.55, -0.5), (0.35, -0.2, 0.05), WHITE, turn_deg=18.0),
        ball((0.1, 0.2, -0.35), 0.15, plain(0.9, 0.75, 0.4, 0.25, metallic=1.0)),
    ]
    return Stage(
        "coloured_corner",
        "colour bleeding from saturated walls onto white: is it kept out of the base colour?",
        surfaces,
        Orbit(4.5, (0.85, 0.1), (0.8, 0.15), azimuth_deg=(3.0, 87.0)),
        max_depth=8,
    )


def closed_room() -> Stage:
    """A furnished room with one window, lit through it; cameras stand inside."""
    x, y, z, t = 2.0, 1.6, 1.2, 0.1
    wood = plain(0.35, 0.2, 0.1, 0.5)
    surfaces = [
        box((-x - t, -y - t, -z - t), (x + t, y + t, -z), plain(0.45, 0.4, 0.35, 0.6)),
        box((-x - t, -y - t, z), (x + t, y + t, z + t), WHITE),
        box((-x - t, -y - t, -z), (-x, y + t, z), RED),
        box((-x, -y - t, -z), (x, -y, z), WHITE),
        box((-x, y, -z), (x, y + t, z), GREEN),
        box((x, -y - t, -z), (x + t, -1.2, z), WHITE),  # the wall with the window
        box((x, 1.2, -z), (x + t, y + t, z), WHITE),
        box((x, -1.2, -z), (x + t, 1.2, -0.5), WHITE),
        box((x, -1.2, 0.95), (x + t, 1.2, z), WHITE),
        box((-0.5, -0.45, -0.62), (0.5, 0.45, -0.55), wood),  # a table
        *(
            box((a - 0.04, b - 0.04, -z), (a + 0.04, b + 0.04, -0.62), wood)
            for a in (-0.42, 0.42) for b in (-0.37, 0.37)
        ),
        ball((0.15, 0.1, -0.35), 0.2, WHITE),
        ball((-0.25, -0.15, -0.42), 0.13, plain(0.95, 0.8, 0.5, 0.2, metallic=1.0)),
        box((-1.9, -1.5, -z), (-1.3, -0.7, 0.3), BLUE),  # a cupboard
    ]  # fmt: skip
    views = Inside(
        (-1.65, -1.25, -0.75), (1.55, 1.25, 0.85),
        ((0.0, 0.0, -0.5, 1.0), (-1.6, -1.1, -0.5, 0.85), (-1.6, -1.1, 0.1, 0.75)),
    )  # fmt: skip
    return Stage(
        "closed_room",
        "a room lit through one window, seen from inside: most light is indirect, and no "
        "environment map alone explains it",
        surfaces, views, enclosed=True, max_depth=16, mean_radiance=4.0, intensity=6.0,
        spp=1024, window=(1.0, 0.0, 0.0),
    )  # fmt: skip


def deep_grooves() -> Stage:
    """A block with grooves seven times as deep as wide."""
    orange, half, fins = plain(0.9, 0.5, 0.15, 0.7), 0.66, 12
    gap = 0.075
    thick = (2 * half - (fins - 1) * gap) / fins
    surfaces = [box((-half, -half, -0.4), (half, half, -0.18), orange)]
    for index in range(fins):
        low = -half + index * (thick + gap)
        surfaces.append(box((low, -half, -0.18), (low + thick, half, 0.35), orange))
    return Stage(
        "deep_grooves",
        "grooves that see little of the light and much of themselves: does their darkness, and "
        "the saturated glow in them, end up in the base colour?",
        surfaces,
        Orbit(train_height=(0.97, 0.15), test_height=(0.95, 0.3)),
        max_depth=10,
    )


def mirror_ball() -> Stage:
    """A mirror ball on a white floor beside a red wall."""
    surfaces = [
        box((-0.7, -0.7, -0.56), (0.7, 0.7, -0.5), WHITE),
        box((-0.76, -0.7, -0.56), (-0.7, 0.7, 0.6), RED),
        ball((-0.1, 0.0, -0.08), 0.42, plain(0.95, 0.95, 0.95, 0.05, metallic=1.0)),
        ball((0.45, 0.38, -0.36), 0.14, WHITE),
    ]
    return Stage(
        "mirror_ball",
        "a mirror that shows a near wall and floor beside the distant light: reflections of what "
        "is near, which an environment map cannot hold",
        surfaces,
        Orbit(4.5, (0.85, 0.1), (0.8, 0.15), azimuth_deg=(-80.0, 80.0)),
        max_depth=8,
    )


def furnace_ball() -> Stage:
    """A perfectly white Lambertian ball: under a constant map it cannot be seen."""
    white = plain(1.0, 1.0, 1.0, 1.0, lambertian=True)
    return Stage(
        "furnace_ball",
        "energy: a ball that reflects all light has, under a constant light, its radiance",
        [ball((0.0, 0.0, 0.0), 0.9, white)],
    )


SCENES: dict[str, Callable[[], Stage]] = {
    maker.__name__: maker
    for maker in (coloured_corner, closed_room, deep_grooves, mirror_ball, furnace_ball)
}
