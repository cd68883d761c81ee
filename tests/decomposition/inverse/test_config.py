import dataclasses

import pytest

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.pipeline.config import TrainConfig


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": -1}, "inverse.steps"),
        ({"polish_steps": 5}, "only what was refined can be polished"),
        ({"steps": 5, "polish_steps": -1}, "inverse.polish_steps"),
        ({"rays": 3}, "inverse.rays must be from 4"),
        ({"rays": 64, "last_rays": 32}, "inverse.last_rays"),
        ({"last_rays": 5000}, "4096"),
        ({"polish_rays": 2}, "inverse.polish_rays"),
        ({"polish_rays": 4097}, "inverse.polish_rays"),
        ({"pixels": 0}, "inverse.pixels"),
        ({"polish_px": 0}, "inverse.polish_px"),
        ({"consistency_points": -1}, "inverse.consistency_points"),
        ({"environment_height": 2}, "power of two"),
        ({"environment_height": 24}, "power of two"),
        ({"light_levels": -1}, "inverse.light_levels"),
        ({"light_levels": 6}, "32 rows cannot be halved 6 times"),
        ({"material_rate": float("nan")}, "inverse.material_rate"),
        ({"normal_weight": -0.1}, "inverse.normal_weight"),
        ({"light_weight": float("inf")}, "inverse.light_weight"),
    ],
)
def test_the_impossible_is_refused(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        InverseConfig(**wrong)


def test_the_default_leaves_the_stage_out():
    assert InverseConfig().all_steps == 0
    assert InverseConfig(steps=7, polish_steps=3).all_steps == 10


def test_light_that_was_found_must_not_be_lost():
    with pytest.raises(ConfigurationError, match="what was found would be lost"):
        TrainConfig(
            decomposition=DecompositionConfig(environment_height=32),
            inverse=InverseConfig(environment_height=16),
        )


def test_rays_are_doubled_at_even_distances():
    config = InverseConfig(steps=90, polish_steps=10, rays=16, last_rays=64)
    rays = [config.rays_at(step) for step in range(config.all_steps)]
    assert rays == [16] * 30 + [32] * 30 + [64] * 40
    fixed = dataclasses.replace(config, last_rays=16)
    assert {fixed.rays_at(step) for step in range(100)} == {16}


@pytest.mark.parametrize("last_rays", [16, 31, 32, 100])
def test_rays_never_exceed_the_last(last_rays):
    config = InverseConfig(steps=10, rays=16, last_rays=last_rays)
    rays = [config.rays_at(step) for step in range(10)]
    assert rays == sorted(rays)
    assert last_rays / 2 < max(rays) <= last_rays
    assert InverseConfig(rays=16, last_rays=last_rays).rays_at(0) == 16
