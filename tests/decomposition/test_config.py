import pytest

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.config import DecompositionConfig


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"specular_steps": -1}, "specular_steps"),
        ({"specular_steps": 0, "diffuse_steps": 0, "joint_steps": 0}, "not all zero"),
        ({"environment_height": 24}, "power of two"),
        ({"environment_height": 2}, "power of two"),
        ({"initial_progress": 0.0}, "initial_progress"),
        ({"initial_progress": 1.0}, "initial_progress"),
        ({"shadow_map_px": 0}, "shadow_map_px"),
        ({"visibility_directions": 0}, "visibility_directions"),
        ({"light_rate": -0.1}, "light_rate"),
        ({"albedo_smoothness": float("inf")}, "albedo_smoothness"),
        ({"window_px": 255}, "window_px"),
    ],
)
def test_impossible_settings_are_refused(settings, named):
    with pytest.raises(ConfigurationError, match=named):
        DecompositionConfig(**settings)


def test_steps_are_those_of_all_stages():
    config = DecompositionConfig(specular_steps=2, diffuse_steps=0, joint_steps=5)
    assert config.steps == 7
