"""Several lights at once: from a file, from options of the command line, or from both.

A file of lights is JSON:

    {"environment": {"map": "sky.hdr", "rotation_deg": 90, "gain": 0.5},
     "lights": [
       {"type": "sun", "azimuth_deg": 30, "elevation_deg": 50, "irradiance": [3, 2.8, 2.5]},
       {"type": "soft", "direction": [0, 0, 1], "width_deg": 40, "irradiance": 1},
       {"type": "point", "position": [1, 0, 2], "intensity": 10, "color": [1, 0.5, 0.2]}]}

Both parts may be absent, not both at once; the map's path is relative to the file.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from relight3d.capture.fields import number, records, table, text
from relight3d.core.errors import CaptureError, ConfigurationError
from relight3d.core.types import DirectionalLight, EnvironmentLight, LobeLight, PointLight
from relight3d.core.views import Similarity
from relight3d.files.environment import MAX_RADIANCE, read_environment
from relight3d.files.safety import read_json
from relight3d.pipeline.drawing import Light
from relight3d.pipeline.light_entries import AnyLight, Triple, color, light_of, refuse_unknown

MAX_LIGHTS = 64
"""Beyond sun, sky and points: each of them costs a shadow map, or a share of the samples."""
_PARTS = ("position", "azimuth_deg", "elevation_deg", "width_deg")
_FLAGS = {"point": 3, "sun": 2, "soft": 3}
"""Type -> how many numbers stand before the colon."""


@dataclasses.dataclass(frozen=True)
class LightRequest:
    """The lights a command line asks for; nothing asked for means the light of the photos."""

    env: Path | None = None
    rotation_rad: float = 0.0
    gain: float = 1.0
    files: tuple[Path, ...] = ()
    points: tuple[str, ...] = ()
    """As 'X,Y,Z:R,G,B'."""
    suns: tuple[str, ...] = ()
    """As 'AZIMUTH,ELEVATION:R,G,B'."""
    softlights: tuple[str, ...] = ()
    """As 'AZIMUTH,ELEVATION,WIDTH:R,G,B'."""

    def __post_init__(self) -> None:
        """Refuse what turns or dims a map that is not there."""
        if self.env is None and (self.rotation_rad or self.gain != 1.0):
            raise ConfigurationError(
                "--env-rotation-deg and --env-gain change the map of --env. Give both; a recovered "
                "light is in the run's folder `environment`."
            )
        if not (math.isfinite(self.gain) and self.gain >= 0.0):
            raise ConfigurationError(f"--env-gain must be a number >= 0, got {self.gain}.")


def requested_light(request: LightRequest, capture_from_source: Similarity) -> Light | None:
    """Every light that was asked for, together, in the capture's frame; None if none was.

    Raises:
        CaptureError: A light cannot be; the message names the file, the entry and the field.
        ConfigurationError: Two environments, or more than `MAX_LIGHTS` lights.
        FileFormatError: A file or a map cannot be read.
    """
    flags = [
        light_of(_record(kind, said), f"--{option} {said}", capture_from_source)
        for kind, option, given in (
            ("point", "point", request.points),
            ("sun", "sun", request.suns),
            ("soft", "softlight", request.softlights),
        )
        for said in given
    ]
    parts = [read_light_file(path, capture_from_source) for path in request.files]
    if request.env is not None:
        gain = (request.gain, request.gain, request.gain)
        map_ = _dimmed(read_environment(request.env), gain, f"--env {request.env}")
        parts.append(Light(map_, request.rotation_rad))
    if not parts and not flags:
        return None
    return _together([*parts, _sorted(flags)])


def read_light_file(path: Path, capture_from_source: Similarity) -> Light:
    """The lights of one file, in the capture's frame. Raises as `requested_light`."""
    content = read_json(path)
    refuse_unknown(content, ("environment", "lights"), str(path))
    entries = records(content, "lights", str(path)) if "lights" in content else []
    if not entries and "environment" not in content:
        raise CaptureError(f"{path} has neither 'environment' nor any of 'lights': nothing shines.")
    found = _sorted(
        [
            light_of(entry, f"{path}, light {index}", capture_from_source)
            for index, entry in enumerate(entries)
        ]
    )
    if "environment" not in content:
        return found
    map_, rotation = _environment(path, table(content, "environment", str(path)))
    return dataclasses.replace(found, environment=map_, rotation_rad=rotation)


def _environment(path: Path, entry: Mapping) -> tuple[EnvironmentLight, float]:
    where = f"{path}, environment"
    refuse_unknown(entry, ("map", "rotation_deg", "gain"), where)
    named = text(entry, "map", where)
    if not named:
        raise CaptureError(f"{where}: 'map' is missing; it names a .hdr or .exr file.")
    turn = number(entry, "rotation_deg", where, default=0.0)
    gain = color(entry, "gain", where) if "gain" in entry else (1.0, 1.0, 1.0)
    light = _dimmed(read_environment(path.parent / named), gain, where)
    return light, math.radians(math.fmod(turn, 360.0))


def _dimmed(light: EnvironmentLight, gain: Triple, where: str) -> EnvironmentLight:
    if gain == (1.0, 1.0, 1.0):
        return light
    radiance = light.radiance_linear * light.radiance_linear.new_tensor(gain)
    if not float(radiance.max()) <= MAX_RADIANCE:
        raise CaptureError(
            f"{where}: with the gain {gain} the map is brighter than {MAX_RADIANCE:g}; give less."
        )
    return EnvironmentLight(radiance)


def _record(kind: str, said: str) -> dict:
    """The entry that 'A,B,C:R,G,B' stands for."""
    before, colon, after = said.partition(":")
    try:
        place = [float(part) for part in before.split(",")]
        amount = [float(part) for part in after.split(",")]
    except ValueError:
        place, amount = [], []
    if not colon or len(place) != _FLAGS[kind] or len(amount) not in (1, 3):
        form = {"point": "X,Y,Z", "sun": "AZIMUTH,ELEVATION", "soft": "AZIMUTH,ELEVATION,WIDTH"}
        raise ConfigurationError(
            f"A {kind} light is written {form[kind]}:R,G,B (or one number for white), without "
            f"blanks, got {said[:80]!r}."
        )
    amounts = amount * 3 if len(amount) == 1 else amount
    if kind == "point":
        return {"type": kind, "position": place, "intensity": amounts}
    return {"type": kind, "irradiance": amounts} | dict(zip(_PARTS[1:], place, strict=False))


def _sorted(lights: Sequence[AnyLight]) -> Light:
    return Light(
        points=tuple(light for light in lights if isinstance(light, PointLight)),
        directional=tuple(light for light in lights if isinstance(light, DirectionalLight)),
        lobes=tuple(light for light in lights if isinstance(light, LobeLight)),
    )


def _together(parts: Sequence[Light]) -> Light:
    maps = [part for part in parts if part.environment is not None]
    if len(maps) > 1:
        raise ConfigurationError(
            f"{len(maps)} environment maps are asked for, by --env or files of --lights; there is "
            "one sky. Name one, and the other lights as suns, soft lights or points."
        )
    whole = Light(
        environment=maps[0].environment if maps else None,
        rotation_rad=maps[0].rotation_rad if maps else 0.0,
        points=tuple(light for part in parts for light in part.points),
        directional=tuple(light for part in parts for light in part.directional),
        lobes=tuple(light for part in parts for light in part.lobes),
    )
    count = len(whole.points) + len(whole.directional) + len(whole.lobes)
    if count > MAX_LIGHTS:
        raise ConfigurationError(
            f"{count} lights are asked for, {MAX_LIGHTS} at once can be drawn. Put the dim ones "
            "into an environment map."
        )
    return whole
