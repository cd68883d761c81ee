"""One light as a user writes it, to a light in the capture's frame.

Angles are those of the capture's own upright frame, where environment maps are: azimuth counter-
clockwise from +x seen from above, elevation above the horizon. Vectors and lengths are of the frame
that the photos' poses came in, as exported assets are. A colour is linear Rec. 709: three numbers,
or one for white.
"""

import math
from collections.abc import Mapping

import numpy as np

from relight3d.capture.fields import number, text, vector
from relight3d.core.errors import CaptureError
from relight3d.core.transform import transform_point_light
from relight3d.core.types import DirectionalLight, LobeLight, PointLight
from relight3d.core.views import Similarity
from relight3d.shading.lobes import soft_light

MAX_AMOUNT = 1e12
"""Of intensity and irradiance: sums over lights and pixels must stay finite."""
MAX_COORDINATE = 1e9
FIELDS: dict[str, tuple[str, ...]] = {
    "point": ("position", "intensity"),
    "sun": ("direction", "azimuth_deg", "elevation_deg", "irradiance"),
    "soft": ("direction", "azimuth_deg", "elevation_deg", "width_deg", "irradiance"),
}
"""Type of light -> what an entry of that type may say, besides 'type' and 'color'."""

AnyLight = PointLight | DirectionalLight | LobeLight
Triple = tuple[float, float, float]


def light_of(entry: Mapping, where: str, capture_from_source: Similarity) -> AnyLight:
    """The light that an entry describes.

    Args:
        entry: 'type' is point, sun or soft; see `FIELDS`. A point's 'intensity' is in W/sr at the
            source's lengths: irradiance at distance d facing it is intensity / d^2. 'irradiance' is
            that on a surface facing the light; 'color' a further factor. A soft light has half of
            its peak radiance at half of its full width 'width_deg'.
        where: For messages: the file and which entry, or the option.
        capture_from_source: How the source's frame was normalised.

    Raises:
        CaptureError: An unknown type or field, one that is missing, not finite or out of range.
    """
    kind = text(entry, "type", where)
    if kind not in FIELDS:
        said = "is missing" if kind is None else f"is {kind[:60]!r}"
        raise CaptureError(f"{where}: 'type' {said}. Lights are of type {', '.join(FIELDS)}.")
    refuse_unknown(entry, ("type", "color", *FIELDS[kind]), where)
    if kind == "point":
        position = _bounded(entry, "position", where, MAX_COORDINATE)
        source = PointLight(position, _amount(entry, "intensity", where))
        return transform_point_light(source, capture_from_source)
    toward = _direction(entry, where, capture_from_source)
    irradiance = _amount(entry, "irradiance", where)
    if kind == "sun":
        return DirectionalLight(toward, irradiance)
    width = number(entry, "width_deg", where, low=0.1, high=360.0)
    return soft_light(toward, math.radians(width), irradiance)


def refuse_unknown(entry: Mapping, known: tuple[str, ...], where: str) -> None:
    """Refuse fields that nothing would read: a slip of the pen would silently change the light.

    Raises:
        CaptureError: Names the field and those there are.
    """
    for key in entry:
        if key not in known:
            raise CaptureError(
                f"{where}: there is no field {str(key)[:60]!r}. Fields here: {', '.join(known)}."
            )


def color(entry: Mapping, key: str, where: str) -> Triple:
    """Three numbers from 0 to `MAX_AMOUNT`, or one for all three.

    Raises:
        CaptureError: Missing, not numbers, negative, not finite or too large.
    """
    values = vector(entry, key, where)
    if min(values) < 0.0 or max(values) > MAX_AMOUNT:
        raise CaptureError(
            f"{where}: '{key}' is {values}; light has from 0 to {MAX_AMOUNT:g} of each of red, "
            "green and blue."
        )
    return values


def _amount(entry: Mapping, key: str, where: str) -> Triple:
    r, g, b = color(entry, key, where)
    if "color" not in entry:
        return r, g, b
    tint = color(entry, "color", where)
    return r * tint[0], g * tint[1], b * tint[2]


def _direction(entry: Mapping, where: str, capture_from_source: Similarity) -> Triple:
    """Unit, toward the light, in the capture's frame."""
    angles = [key for key in ("azimuth_deg", "elevation_deg") if key in entry]
    if ("direction" in entry) == bool(angles):
        raise CaptureError(
            f"{where}: give either 'direction', a vector toward the light, or 'azimuth_deg' and "
            "'elevation_deg'."
        )
    if angles:
        azimuth = math.radians(number(entry, "azimuth_deg", where, low=-3600.0, high=3600.0))
        elevation = math.radians(number(entry, "elevation_deg", where, low=-90.0, high=90.0))
        level = math.cos(elevation)
        return (
            level * math.cos(azimuth),
            level * math.sin(azimuth),
            math.sin(elevation),
        )
    toward = np.array(_bounded(entry, "direction", where, MAX_COORDINATE))
    length = float(np.linalg.norm(toward))
    if length < 1e-9:
        raise CaptureError(f"{where}: 'direction' is {toward.tolist()}, which points nowhere.")
    x, y, z = (capture_from_source.rotation @ (toward / length)).tolist()
    return x, y, z


def _bounded(entry: Mapping, key: str, where: str, most: float) -> Triple:
    values = vector(entry, key, where)
    if max(map(abs, values)) > most:
        raise CaptureError(f"{where}: '{key}' is {values}; up to {most:g} is read.")
    return values
