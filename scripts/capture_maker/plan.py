"""What was asked, checked, and described as scene.json holds it: all that repeats a capture."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from capture_maker.cameras import Orbit
from capture_maker.gltf import read_model
from capture_maker.lights import MapSource, map_sources
from capture_maker.maps import RAYS_PER_PIXEL
from capture_maker.scenes import GREY, SCENES, Stage
from capture_maker.shapes import floor
from capture_maker.surfaces import MIN_ROUGHNESS, triangle_count
from capture_maker.tracer import DEFAULT_VARIANT
from relight3d.core.errors import ConfigurationError

MAKER_VERSION = 1
"""Raise it when the same settings give other pictures: unfinished captures then start anew."""
FLOOR_HALF, FLOOR_GAP = 1.6, 1e-3
ENVMAP_RULE = (
    "lat-long, Blender convention: a world direction (x, y, z) lies at column u = "
    "fract(-atan2(y, x) / (2 pi)), row v = acos(z) / pi; each map is scaled to a mean radiance of "
    "{mean:g} over the sphere; env_rotation_deg turns it counter-clockwise about +z"
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The command line."""

    model: Path | None = None
    scene: str | None = None
    envs: tuple[Path, ...] = ()
    rotations: tuple[int, ...] = (0,)
    points: int = 0
    train: int = 80
    test: int = 16
    size: int = 256
    spp: int | None = None
    max_depth: int | None = None
    floor: bool = False
    mean_radiance: float | None = None
    intensity: float | None = None
    seed: int = 0
    variant: str = DEFAULT_VARIANT

    def __post_init__(self):
        """Refuse what cannot be rendered."""
        if (self.model is None) == (self.scene is None):
            raise ConfigurationError("Give either --model FILE or --scene NAME.")
        if bool(self.envs) == bool(self.points):
            raise ConfigurationError("Give either environment maps (--envs) or --points N.")
        if self.scene is not None and self.scene not in SCENES:
            raise ConfigurationError(f"--scene {self.scene}: there are {', '.join(SCENES)}.")
        if self.floor and self.scene is not None:
            raise ConfigurationError("--floor goes with --model; scenes have what they need.")
        if self.points and self.rotations != (0,):
            raise ConfigurationError("--rotations turns environment maps; --points has none.")
        if any(not 0 <= angle < 360 for angle in self.rotations):
            raise ConfigurationError("--rotations takes whole degrees from 0 to 359.")
        if len(set(self.rotations)) != len(self.rotations):
            raise ConfigurationError("--rotations names an angle twice.")
        limits = {"points": (0, 10**6), "train": (3, 999), "test": (0, 999), "size": (1, 4096)}
        limits |= {"spp": (1, 10**6), "max_depth": (2, 1000), "seed": (0, 2**31)}
        limits |= {"mean_radiance": (1e-6, 1e6), "intensity": (1e-6, 1e9)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                option = name.replace("_", "-")
                raise ConfigurationError(f"--{option} goes from {low:g} to {high:g}, got {value}.")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that is needed to render, and its description."""

    settings: Settings
    stage: Stage
    maps: tuple[MapSource, ...]
    description: dict
    """scene.json, without what is measured."""
    notes: tuple[str, ...]
    """What the user should know."""

    @property
    def max_depth(self) -> int:
        """Of paths: 2 is direct light alone."""
        return self.settings.max_depth or self.stage.max_depth

    @property
    def spp(self) -> int:
        """Paths a pixel."""
        return self.settings.spp or self.stage.spp

    @property
    def mean_radiance(self) -> float:
        """That every map is scaled to."""
        return self.settings.mean_radiance or self.stage.mean_radiance

    @property
    def intensity(self) -> float:
        """Of every point light, W/sr."""
        return self.settings.intensity or self.stage.intensity

    def poses(self, split: str) -> np.ndarray:
        """Camera-to-world matrices [count, 4, 4], OpenGL axes."""
        return self.stage.views.poses(self._count(split), split, self._phase(split))

    def light_positions(self, split: str) -> np.ndarray:
        """Of the light of each view [count, 3]: training photos share `points` lights in turn."""
        count = self._count(split)
        distinct = min(self.settings.points, count) if split == "train" else count
        lights = self.stage.views.light_positions(distinct, split, self._phase(split + " lights"))
        return lights[np.arange(count) % max(1, distinct)]

    def seed(self, *words: object) -> int:
        """A random seed of its own for every picture."""
        text = ":".join(str(word) for word in (self.settings.seed, *words))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")

    def _count(self, split: str) -> int:
        return self.settings.train if split == "train" else self.settings.test

    def _phase(self, name: str) -> float:
        return self.seed("phase", name) / 2**32


def make_plan(settings: Settings, mitsuba_version: str) -> Plan:
    """Read the model and the maps and describe the capture.

    Raises:
        FileFormatError: A model or map that cannot be used.
        CaptureError: A map whose name cannot be a light's.
    """
    maps = tuple(map_sources(list(settings.envs)))
    stage, normalise, sha256, ignored = _stage(settings)
    plan = Plan(settings, stage, maps, {}, ())
    mode = "point" if settings.points else "env" if settings.rotations == (0,) else "rotated"
    description = {
        "maker": MAKER_VERSION,
        "model": settings.model.name if settings.model else f"built-in {settings.scene}",
        "model_sha256": sha256,
        "tests": stage.tests,
        "not_rendered": ignored,
        "triangles": triangle_count(stage.surfaces),
        "mode": mode,
        "train_env": maps[0].name if maps else None,
        "relight_envs": [source.name for source in maps[1:]],
        "env_sources": {source.name: source.sha256 for source in maps},
        "rotations_deg": list(settings.rotations) if maps else [],
        "point_lights": settings.points,
        "pl_intensity": plan.intensity if settings.points else None,
        "train_views": settings.train,
        "test_views": settings.test,
        "resolution": settings.size,
        "spp": plan.spp,
        "map_rays": RAYS_PER_PIXEL,
        "max_depth": plan.max_depth,
        "seed": settings.seed,
        "enclosed": stage.enclosed,
        "renderer": f"Mitsuba {mitsuba_version} path, {settings.variant}",
        "bsdf": f"Mitsuba principled (base_color, roughness >= {MIN_ROUGHNESS:g}, metallic, "
        "specular 0.5); the floor diffuse",
        "world": "z up; camera OpenGL (x right, y up, looks along -z)",
        "floor": 0.5 if settings.floor else None,
        "envmap": ENVMAP_RULE.format(mean=plan.mean_radiance),
        "normalise": normalise,
    }
    notes = [f"{settings.model}: not rendered: {', '.join(ignored)}."] if ignored else []
    return dataclasses.replace(plan, description=description, notes=tuple(notes))


def _stage(settings: Settings) -> tuple[Stage, dict | None, str | None, list[str]]:
    if settings.model is None:
        assert settings.scene is not None
        return SCENES[settings.scene](), None, None, []
    model = read_model(settings.model)
    surfaces, views = list(model.surfaces), Orbit()
    tests = "a textured model"
    if settings.floor:
        lowest = min(float(surface.positions[:, 2].min()) for surface in surfaces)
        surfaces.append(floor(lowest - FLOOR_GAP, FLOOR_HALF, GREY))
        views = Orbit(train_height=(0.9, 0.05), test_height=(0.9, 0.1))
        tests += " on a grey floor: contact shadow and bounce"
    stage = Stage(settings.model.stem, tests, surfaces, views)
    return stage, model.normalise, model.sha256, model.ignored
