"""What is kept of a photo must be what would be found anew."""

import dataclasses

import pytest
import torch
from balls import ball, photos_of
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.decomposition import fit
from relight3d.decomposition.config import DecompositionConfig

CONFIG = DecompositionConfig(
    specular_steps=3, diffuse_steps=6, joint_steps=2, environment_height=8,
    visibility_directions=32, shadow_map_px=32,
)  # fmt: skip


@pytest.fixture(scope="module")
def photos():
    return photos_of(ball(200), orbit(3, 20, 20), get_rasterizer("cpu"))


def finished(photos, config=CONFIG):
    job = fit.Decompose(photos, ball(150), config, rasterize=get_rasterizer("cpu"), seed=0)
    while job.steps_done < job.total_steps:
        job.step()
    return job


def test_with_and_without_room_the_same_bits(photos, monkeypatch):
    roomy = finished(photos)
    assert len(roomy._kept) == len(photos)
    monkeypatch.setattr(fit, "KEPT_BYTES", 0)
    cramped = finished(photos)
    assert not cramped._kept
    for name, value in roomy.state_tensors().items():
        assert torch.equal(value, cramped.state_tensors()[name]), name


def test_sizes_are_counted(photos):
    job = finished(photos)
    shown = job._kept[0]
    assert 80 * len(shown.rows) <= shown.size_bytes() <= 120 * len(shown.rows)


def test_free_normals_are_never_kept(photos):
    job = finished(photos, dataclasses.replace(CONFIG, normal_rate=0.01))
    assert not job._kept
    assert float((job.parameters["normals"].detach() - job.sides.outward).abs().max()) > 0
    fixed = finished(photos)
    assert not fixed.parameters["normals"].requires_grad
    assert torch.equal(fixed.parameters["normals"], fixed.sides.outward)
