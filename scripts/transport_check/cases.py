"""What is compared: a stage, a light, and how many bounces."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from capture_maker.gltf import read_model
from capture_maker.scenes import SCENES, Stage
from capture_maker.shapes import ball, box, floor
from capture_maker.surfaces import plain

from relight3d.core.errors import CaptureError


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    stage: Callable[[], Stage]
    light: Path | tuple[float, float, float]
    """A lat-long map, or the place of a point light."""
    bounces: int = 0
    """Of light between surfaces; Mitsuba's max_depth less 2."""
    own_lobe: bool = False
    """Of metals as bright as white, Mitsuba's `roughconductor` is asked instead of our plugin."""

    @property
    def light_name(self) -> str:
        """For the table."""
        return self.light.stem if isinstance(self.light, Path) else "point"


def still_life() -> Stage:
    """Rough and shiny, metal and not, apart from each other on a floor."""
    surfaces = [
        floor(-0.5, 0.8, plain(0.5, 0.5, 0.5, 0.9)),
        ball((-0.4, -0.3, -0.2), 0.3, plain(0.8, 0.25, 0.1, 0.4)),
        ball((0.35, -0.35, -0.2), 0.3, plain(0.95, 0.7, 0.3, 0.25, metallic=1.0)),
        box((-0.2, 0.1, -0.5), (0.4, 0.6, 0.1), plain(0.2, 0.4, 0.7, 0.25), turn_deg=30.0),
    ]
    return Stage("still_life", "all kinds of materials", surfaces)


def white_metal() -> Stage:
    """What reflects all light: there, Fresnel's part is 1 in every model."""
    return Stage(
        "white_metal", "Mitsuba's own lobe", [ball((0.0, 0.0, 0.0), 0.9, plain(1, 1, 1, 0.2, 1))]
    )


def of_model(path: Path) -> Stage:
    """A textured model."""
    return Stage(path.stem, "textures and normal maps", read_model(path).surfaces)


def all_cases(maps: Path, model: Path | None, bounces: tuple[int, ...]) -> list[Case]:
    """Direct light of everything, and so many bounces of the scenes that have some to show.

    Raises:
        CaptureError: No maps in the folder.
    """
    found = sorted(maps.glob("*.hdr"))
    if not found:
        raise CaptureError(f"--maps {maps} holds no .hdr file. Name a folder of lat-long maps.")
    lamp = (2.5, -2.0, 3.0)
    cases = [Case(white_metal, path, own_lobe=True) for path in found[:2]]
    cases += [Case(still_life, light) for light in (*found, lamp)]
    if model is not None:
        cases += [Case(partial(of_model, model), light) for light in (found[0], lamp)]
    lights = {"closed_room": (0.9, 0.3, 0.5)}
    for name in ("coloured_corner", "mirror_ball", "deep_grooves", "closed_room"):
        for count in sorted({0, *bounces}):
            cases.append(Case(SCENES[name], found[-1], count))
            cases.append(Case(SCENES[name], lights.get(name, lamp), count))
    return cases


def pose_of(stage: Stage) -> np.ndarray:
    """A camera that sees much of the stage."""
    return stage.views.poses(8, "train", 0.0)[2]
