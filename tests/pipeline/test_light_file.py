"""Lights as users write them, in files and on the command line."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relight3d.core.errors import CaptureError, ConfigurationError, FileFormatError
from relight3d.core.types import EnvironmentLight
from relight3d.core.views import Similarity
from relight3d.files.environment import write_environment
from relight3d.pipeline.drawing import Light
from relight3d.pipeline.light_file import LightRequest, read_light_file, requested_light

TURNED = Similarity(
    np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([1.0, 2.0, 3.0]), 2.0
)
"""A quarter turn about z, a shift, twice the size."""
SUN = {"type": "sun", "azimuth_deg": 90, "elevation_deg": 0, "irradiance": 2}


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "lights.json"
    path.write_text(json.dumps(content))
    return path


def one(tmp_path: Path, **entry: Any) -> Light:
    return read_light_file(written(tmp_path, {"lights": [entry]}), TURNED)


def flags(**options: Any) -> Light:
    found = requested_light(LightRequest(**options), TURNED)
    assert found is not None
    return found


def test_nothing_asked_for_is_no_light():
    assert requested_light(LightRequest(), TURNED) is None


def test_a_point_light_moves_with_the_photos(tmp_path):
    """Its irradiance must stay: twice as far away takes four times the intensity."""
    light = one(tmp_path, type="point", position=[1, 0, 0], intensity=[1, 2, 3])
    assert light.points[0].position == pytest.approx((1.0, 4.0, 3.0))
    assert light.points[0].intensity_linear == pytest.approx((4.0, 8.0, 12.0))


def test_vectors_turn_with_the_photos_and_angles_do_not(tmp_path):
    vector = one(tmp_path, type="sun", direction=[5, 0, 0], irradiance=1).directional[0]
    assert vector.direction == pytest.approx((0.0, 1.0, 0.0))
    angles = one(tmp_path, **SUN).directional[0]
    assert angles.direction == pytest.approx((0.0, 1.0, 0.0), abs=1e-9)
    up = one(tmp_path, **(SUN | {"elevation_deg": 90})).directional[0]
    assert up.direction == pytest.approx((0.0, 0.0, 1.0), abs=1e-9)


def test_colour_multiplies(tmp_path):
    light = one(tmp_path, **(SUN | {"color": [1, 0.5, 0]}))
    assert light.directional[0].irradiance_linear == pytest.approx((2.0, 1.0, 0.0))


def test_options_say_what_entries_say(tmp_path):
    entries = [
        SUN | {"irradiance": [3, 2, 1]},
        {"type": "soft", "azimuth_deg": 10, "elevation_deg": 20, "width_deg": 30, "irradiance": 4},
        {"type": "point", "position": [1, -2, 3], "intensity": 5},
    ]
    file = read_light_file(written(tmp_path, {"lights": entries}), TURNED)
    given = flags(suns=("90,0:3,2,1",), softlights=("10,20,30:4",), points=("1,-2,3:5",))
    assert vars(given) == vars(file)


def test_everything_shines_together(tmp_path):
    write_environment(tmp_path / "sky.exr", EnvironmentLight(torch.ones(4, 8, 3)))
    sky = {"map": "sky.exr", "rotation_deg": 450, "gain": [1, 2, 3]}
    path = written(tmp_path, {"environment": sky, "lights": [SUN]})
    light = flags(files=(path,), suns=("0,45:1",), softlights=("0,45,10:1",))
    assert light.environment is not None
    assert light.environment.radiance_linear[0, 0].tolist() == [1.0, 2.0, 3.0]
    assert light.rotation_rad == pytest.approx(math.pi / 2)
    assert len(light.directional) == 2
    assert len(light.lobes) == 1
    dimmed = flags(env=tmp_path / "sky.exr", gain=0.5).environment
    assert dimmed is not None and float(dimmed.radiance_linear.max()) == 0.5
    with pytest.raises(ConfigurationError, match="2 environment maps"):
        flags(files=(path,), env=tmp_path / "sky.exr")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"type": "spot"}, "'type' is 'spot'"),
        ({"type": None}, "'type' is missing"),
        ({"irradience": 1}, "no field 'irradience'"),
        ({"width_deg": 3}, "no field 'width_deg'"),
        ({"irradiance": -1}, "light has from 0"),
        ({"irradiance": math.nan}, "nan"),
        ({"irradiance": 1e13}, "light has from 0"),
        ({"irradiance": "bright"}, "three numbers"),
        ({"irradiance": None}, "three numbers"),
        ({"color": [1, 1]}, "three numbers"),
        ({"direction": [0, 0, 1]}, "either 'direction'"),
        ({"elevation_deg": 91}, "outside of -90 to 90"),
        ({"azimuth_deg": math.inf}, "inf"),
        ({"elevation_deg": None}, "'elevation_deg' is missing"),
    ],
)
def test_what_cannot_be_a_light_is_refused_by_file_entry_and_field(tmp_path, changed, words):
    path = written(tmp_path, {"lights": [SUN, SUN | changed]})
    with pytest.raises(CaptureError, match=words) as refused:
        read_light_file(path, TURNED)
    assert "lights.json, light 1" in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "sun", "irradiance": 1}, "either 'direction'"),
        ({"type": "sun", "irradiance": 1, "direction": [0, 0, 0]}, "points nowhere"),
        ({"type": "point", "intensity": 1}, "'position' is 'None'"),
        ({"type": "point", "intensity": 1, "position": [1e10, 0, 0]}, "up to 1e"),
        ({"type": "soft", "irradiance": 1, "direction": [0, 0, 1]}, "'width_deg' is missing"),
        (SUN | {"type": "soft", "width_deg": 0}, "outside of 0.1 to 360"),
    ],
)
def test_entries_without_what_they_need_are_refused(tmp_path, entry, words):
    with pytest.raises(CaptureError, match=words):
        one(tmp_path, **entry)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "nothing shines"),
        ({"lights": []}, "nothing shines"),
        ({"light": [SUN]}, "no field 'light'"),
        ({"lights": {"sun": SUN}}, "not a list"),
        ({"environment": {"rotation_deg": 3}}, "'map' is missing"),
        ({"environment": {"map": "sky.exr", "turn": 3}}, "no field 'turn'"),
        ({"environment": {"map": "none.exr"}}, "none.exr"),
    ],
)
def test_files_that_say_nothing_usable_are_refused(tmp_path, content, words):
    with pytest.raises((CaptureError, FileFormatError), match=words):
        read_light_file(written(tmp_path, content), TURNED)


@pytest.mark.parametrize("gain", [-1, math.nan, 1e13])
def test_impossible_gains_are_refused(tmp_path, gain):
    write_environment(tmp_path / "sky.exr", EnvironmentLight(torch.ones(4, 8, 3)))
    path = written(tmp_path, {"environment": {"map": "sky.exr", "gain": gain}})
    with pytest.raises(CaptureError, match="environment"):
        read_light_file(path, TURNED)


def test_a_map_made_too_bright_by_its_gain_is_refused(tmp_path):
    write_environment(tmp_path / "sky.exr", EnvironmentLight(torch.full((4, 8, 3), 1e8)))
    with pytest.raises(CaptureError, match="give less"):
        flags(env=tmp_path / "sky.exr", gain=1e6)


@pytest.mark.parametrize(
    "said", ["30,50", "30:1", "30,50:1,2", "30,50,7:1", "a,b:1", ":", "30,50:1:1", "30, 50:"]
)
def test_an_option_of_another_form_is_refused(said):
    with pytest.raises(ConfigurationError, match="AZIMUTH,ELEVATION:R,G,B"):
        flags(suns=(said,))


def test_options_are_checked_like_files():
    with pytest.raises(CaptureError, match="--sun 0,0:nan"):
        flags(suns=("0,0:nan",))


@pytest.mark.parametrize("wrong", [{"rotation_rad": 1.0}, {"gain": 2.0}])
def test_what_changes_a_map_needs_one(wrong):
    with pytest.raises(ConfigurationError, match="of --env"):
        LightRequest(**wrong)


def test_a_gain_below_zero_is_refused():
    with pytest.raises(ConfigurationError, match="--env-gain must be"):
        LightRequest(env=Path("sky.exr"), gain=-1.0)


def test_more_lights_than_can_be_drawn_are_refused():
    with pytest.raises(ConfigurationError, match="65 lights"):
        flags(suns=("0,0:1",) * 65)
