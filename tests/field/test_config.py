import pytest

from relight3d.core.errors import ConfigurationError
from relight3d.field.config import FieldConfig


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"steps": 0}, "steps"),
        ({"max_splats": 0}, "max_splats"),
        ({"initial_splats": -1}, "initial_splats"),
        ({"sh_degree": 4}, "sh_degree"),
        ({"sh_degree": -1}, "sh_degree"),
        ({"dssim_weight": 1.1}, "dssim_weight"),
        ({"densify_every": 0}, "densify_every"),
        ({"sh_interval": 0}, "sh_interval"),
        ({"means_rate": (1e-4, 0.0)}, "means_rate"),
        ({"growth": -0.1}, "growth"),
        ({"steps": 10**30}, "steps"),
        ({"normal_weight": -1.0}, "normal_weight"),
        ({"quats_rate": float("nan")}, "quats_rate"),
        ({"means_rate": (1e-4, float("inf"))}, "means_rate"),
        ({"window_px": 1}, "window_px"),
        ({"window_px": -4}, "window_px"),
    ],
)
def test_impossible_settings_are_refused(settings, named):
    with pytest.raises(ConfigurationError, match=rf"field\.{named}"):
        FieldConfig(**settings)


def test_defaults_are_possible():
    assert FieldConfig().steps > 0
