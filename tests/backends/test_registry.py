import inspect
import sys
import warnings

import pytest
import torch

from relight3d.backends import reference, registry
from relight3d.backends.cpu import library
from relight3d.backends.cpu.rasterize import rasterize as cpu_rasterize
from relight3d.core.errors import BackendUnavailableError, ConfigurationError


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_names():
    assert registry.get_rasterizer("reference") is reference.rasterize
    assert registry.get_rasterizer("cpu") is cpu_rasterize


def test_auto_without_a_gpu_is_the_kernel(no_gpu):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.get_rasterizer() is cpu_rasterize


def test_auto_without_a_kernel_warns_and_draws(no_gpu, no_kernel):
    with pytest.warns(UserWarning, match="slow reference rasterizer"):
        assert registry.get_rasterizer("auto") is reference.rasterize


def test_missing_kernel_says_how_to_build_it(no_kernel):
    with pytest.raises(BackendUnavailableError, match=r"python -m relight3d\.backends\.cpu\.build"):
        registry.get_rasterizer("cpu")


def test_gsplat_without_a_gpu_says_what_to_use(no_gpu):
    with pytest.raises(BackendUnavailableError, match=r"needs an NVIDIA GPU.*--backend cpu"):
        registry.get_rasterizer("gsplat")


def test_gsplat_not_installed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "gsplat", None)
    from relight3d.backends import gsplat_cuda

    gsplat_cuda._load.cache_clear()
    with pytest.raises(BackendUnavailableError, match=r"relight3d\[cuda\]"):
        registry.get_rasterizer("gsplat")
    assert registry.get_rasterizer("auto") is cpu_rasterize


def test_unknown_name():
    unchecked = inspect.unwrap(registry.get_rasterizer)  # a user's process does not check types
    with pytest.raises(ConfigurationError, match=r"no backend 'gpu'.*reference"):
        unchecked("gpu")


def test_report_names_all(no_gpu, no_kernel):
    report = {status.name: status for status in registry.available_backends()}
    assert [report[name].usable for name in ("gsplat", "cpu", "reference")] == [False, False, True]
    assert "relight3d.backends.cpu.build" in report["cpu"].detail


def test_report_of_a_working_kernel():
    report = {status.name: status for status in registry.available_backends()}
    assert report["cpu"].usable
    assert library.chosen_isa() in report["cpu"].detail
