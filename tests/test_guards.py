"""The nets under the other tests: shape checking is on, and the fixtures do what they say."""

import dataclasses

import pytest
import torch
from conftest import gpu_missing_reason

from relight3d.core import sh
from relight3d.core.types import Gaussians, Splats

COUNT = 2


def splats() -> Splats:
    zeros = torch.zeros
    return Splats(
        means=zeros(COUNT, 3),
        quats_wxyz=zeros(COUNT, 4),
        log_scales=zeros(COUNT, 3),
        opacity_logits=zeros(COUNT),
        sh=zeros(COUNT, 1, 3),
    )


def test_a_record_of_consistent_shapes_is_accepted() -> None:
    assert len(splats().gaussians()) == COUNT


@pytest.mark.parametrize("name", ["means", "quats_wxyz", "log_scales", "opacity_logits", "sh"])
def test_a_field_of_another_length_is_refused(name: str) -> None:
    good = splats()
    longer = torch.cat([getattr(good, name)] * 2)
    with pytest.raises(Exception, match=name):
        dataclasses.replace(good, **{name: longer})


def test_a_wrong_dtype_is_refused() -> None:
    gaussians = splats().gaussians()
    with pytest.raises(Exception, match="means"):
        Gaussians(
            means=torch.zeros(COUNT, 3, dtype=torch.int64),
            quats_wxyz=gaussians.quats_wxyz,
            scales=gaussians.scales,
            opacities=gaussians.opacities,
        )


def test_a_function_argument_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(Exception, match="directions"):
        sh.basis(torch.zeros(5, 2), 1)


def test_the_generator_repeats(generator: torch.Generator) -> None:
    again = torch.Generator().manual_seed(0)
    assert torch.equal(torch.rand(4, generator=generator), torch.rand(4, generator=again))


def test_device_is_usable(device: torch.device) -> None:
    assert torch.ones(2, device=device).sum().item() == 2.0


@pytest.mark.gpu
def test_gpu_tests_run_only_where_they_can() -> None:
    assert gpu_missing_reason() is None
