import inspect
import sys
import warnings

import pytest
import torch

from relight3d.backends.tracing import embree, registry
from relight3d.backends.tracing.reference import ReferenceTracer
from relight3d.core.errors import (
    BackendUnavailableError,
    ConfigurationError,
    MeshError,
    Relight3dError,
)
from relight3d.core.surface import Mesh
from tests.backends.tracing.meshes import square


@pytest.fixture
def no_embree(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)
    embree._embree.cache_clear()
    yield
    embree._embree.cache_clear()


@pytest.fixture
def no_warp(monkeypatch):
    monkeypatch.delitem(sys.modules, "relight3d.backends.tracing.warp_bvh", raising=False)
    monkeypatch.setitem(sys.modules, "warp", None)


def test_names():
    assert isinstance(registry.get_tracer(square(), "reference"), ReferenceTracer)
    assert isinstance(registry.get_tracer(square(), "embree"), embree.EmbreeTracer)
    assert type(registry.get_tracer(square(), "warp")).__name__ == "WarpTracer"


def test_auto_on_the_cpu_is_embree():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(registry.get_tracer(square()), embree.EmbreeTracer)


def test_auto_on_a_gpu_is_warp(no_warp):
    """Without Warp it says so, and traces on the CPU."""
    with pytest.warns(UserWarning, match=r"on the CPU, not on the GPU.*relight3d\[cuda\]"):
        make = registry._first_available(torch.device("cuda"))
    assert make is embree.EmbreeTracer


def test_auto_without_embree_warns_and_traces(no_embree):
    with pytest.warns(UserWarning, match=r"slow reference.*pip install 'embreex"):
        assert isinstance(registry.get_tracer(square()), ReferenceTracer)


def test_auto_without_a_kernel_warns_and_traces(no_kernel):
    with pytest.warns(UserWarning, match=r"slow reference.*relight3d\.backends\.cpu\.build"):
        assert isinstance(registry.get_tracer(square()), ReferenceTracer)


def test_missing_libraries_say_how_to_get_them(no_embree, no_warp):
    with pytest.raises(BackendUnavailableError, match="pip install 'embreex"):
        registry.get_tracer(square(), "embree")
    with pytest.raises(BackendUnavailableError, match=r"pip install relight3d\[cuda\]"):
        registry.get_tracer(square(), "warp")


def test_another_embree_is_refused(monkeypatch):
    monkeypatch.setattr(embree, "_version_of", lambda library: 30_130)
    embree._embree.cache_clear()
    with pytest.raises(BackendUnavailableError, match=r"speaks Embree 4.*brings 30130"):
        registry.get_tracer(square(), "embree")
    embree._embree.cache_clear()


def test_a_hierarchy_that_cannot_be_built(monkeypatch):
    monkeypatch.setattr(embree._embree(), "rtcGetDeviceError", lambda device: 4)
    with pytest.raises(Relight3dError, match=r"over 2 triangles: RTCError 4.*coarser mesh"):
        registry.get_tracer(square(), "embree")


def test_embree_is_given_back(monkeypatch):
    released = []
    monkeypatch.setattr(embree._embree(), "rtcReleaseScene", released.append)
    tracer = registry.get_tracer(square(), "embree")
    scene = tracer._scene  # pyright: ignore[reportAttributeAccessIssue]
    del tracer
    assert released == [scene]


def test_unknown_name():
    unchecked = inspect.unwrap(registry.get_tracer)  # a user's process does not check types
    with pytest.raises(ConfigurationError, match=r"no tracer 'optix'.*reference"):
        unchecked(square(), "optix")


@pytest.mark.parametrize("corner", [4, -1])
def test_a_corner_that_is_not_there(corner):
    mesh = Mesh(square().vertices, torch.tensor([[0, 1, 2], [0, 2, corner]]))
    with pytest.raises(
        MeshError, match=rf"1 of 2 triangles.*4 vertices.*number 1: \[0, 2, {corner}"
    ):
        registry.get_tracer(mesh)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_corner_that_is_not_finite(value):
    vertices = square().vertices.clone()
    vertices[2, 1] = value
    with pytest.raises(MeshError, match=r"1 of 4 vertices that are not finite.*number 2"):
        registry.get_tracer(Mesh(vertices, square().faces))


def test_report_names_all(no_embree, no_warp):
    report = {status.name: status for status in registry.available_tracers()}
    usable = [report[name].usable for name in ("warp", "embree", "reference")]
    assert usable == [False, False, True]
    assert "pip install 'embreex" in report["embree"].detail


def test_report_of_what_works():
    report = {status.name: status for status in registry.available_tracers()}
    assert all(status.usable for status in report.values())
    assert report["embree"].detail.startswith("Embree 4.")
    assert report["warp"].detail.startswith("warp-lang 1.")
