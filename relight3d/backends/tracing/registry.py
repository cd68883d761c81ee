"""Which tracer is asked: looked up by name, imported only when wanted."""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import get_args

import torch

from relight3d.backends.registry import BackendStatus
from relight3d.backends.tracing.interface import Tracer, TracerName
from relight3d.core.errors import BackendUnavailableError, ConfigurationError, MeshError
from relight3d.core.surface import Mesh


def _load_embree() -> tuple[Callable[[Mesh], Tracer], str]:
    module = import_module("relight3d.backends.tracing.embree")
    version = module.embree_version()
    kernel = import_module("relight3d.backends.cpu.library")
    detail = f"Embree {version}, instruction set {kernel.chosen_isa()} of the kernel around it"
    return module.EmbreeTracer, f"{detail}; {kernel.get_num_threads()} threads"


def _load_warp() -> tuple[Callable[[Mesh], Tracer], str]:
    try:
        module = import_module("relight3d.backends.tracing.warp_bvh")
    except ImportError as error:
        raise BackendUnavailableError(
            f"Tracer 'warp' did not import ({error}). `pip install relight3d[cuda]` brings NVIDIA "
            "Warp; tracer 'embree' gives the same answers on the CPU."
        ) from error
    gpu = torch.cuda.is_available()
    where = torch.cuda.get_device_name() if gpu else "the CPU, slowly: torch sees no NVIDIA GPU"
    return module.WarpTracer, f"warp-lang {module.warp_version()} on {where}"


def _load_reference() -> tuple[Callable[[Mesh], Tracer], str]:
    module = import_module("relight3d.backends.tracing.reference")
    return module.ReferenceTracer, "torch, any floating type; slow"


_LOADERS: dict[TracerName, Callable[[], tuple[Callable[[Mesh], Tracer], str]]] = {
    "warp": _load_warp,
    "embree": _load_embree,
    "reference": _load_reference,
}
"""What makes a tracer of a mesh, and how it will run."""


def get_tracer(mesh: Mesh, name: TracerName = "auto") -> Tracer:
    """A tracer of that mesh, ready to be asked.

    Args:
        mesh: May have no triangles: nothing is hit then. It is copied; later changes of its tensors
            need a new tracer.
        name: `auto` takes warp for a mesh on a GPU, else embree, else reference with a warning.

    Raises:
        BackendUnavailableError: What the named tracer is missing, and how to get it.
        ConfigurationError: There is no tracer of that name.
        MeshError: A corner is not finite, or a face names a vertex that is not there.
    """
    if name != "auto" and name not in _LOADERS:
        raise ConfigurationError(
            f"There is no tracer '{name}'. Known are {', '.join(get_args(TracerName))}."
        )
    _refuse_broken(mesh)
    if name != "auto":
        return _LOADERS[name]()[0](mesh)
    return _first_available(mesh.vertices.device)(mesh)


def _first_available(device: torch.device) -> Callable[[Mesh], Tracer]:
    wanted: tuple[TracerName, ...] = ("warp", "embree") if device.type == "cuda" else ("embree",)
    reasons = []
    for name in wanted:
        try:
            make = _LOADERS[name]()[0]
        except BackendUnavailableError as error:
            reasons.append(str(error))
            continue
        if reasons:
            warnings.warn(f"Tracing on the CPU, not on the GPU: {reasons[0]}", stacklevel=3)
        return make
    warnings.warn(
        f"Tracing with the slow reference, every ray against every triangle: {reasons[-1]}",
        stacklevel=3,
    )
    return _load_reference()[0]


def _refuse_broken(mesh: Mesh) -> None:
    count = len(mesh.vertices)
    if not mesh.vertices.isfinite().all():
        bad = (~mesh.vertices.isfinite()).any(-1)
        raise MeshError(
            f"A mesh to be traced has {int(bad.sum())} of {count} vertices that are not finite, "
            f"the first is number {int(bad.nonzero()[0, 0])}. A ray cannot tell where their "
            "triangles are: remove them, or fit again what they came from."
        )
    if len(mesh) and (int(mesh.faces.min()) < 0 or int(mesh.faces.max()) >= count):
        bad = ((mesh.faces < 0) | (mesh.faces >= count)).any(-1)
        row = int(bad.nonzero()[0, 0])
        raise MeshError(
            f"A mesh to be traced has {int(bad.sum())} of {len(mesh)} triangles whose corners are "
            f"not among its {count} vertices, the first is number {row}: "
            f"{mesh.faces[row].tolist()}. Corners count from 0; mend the file it came from."
        )


def available_tracers() -> list[BackendStatus]:
    """Every tracer, and whether and how it works here. Raises nothing."""
    statuses = []
    for name, load in _LOADERS.items():
        try:
            statuses.append(BackendStatus(name, True, load()[1]))
        except BackendUnavailableError as error:
            statuses.append(BackendStatus(name, False, str(error)))
    return statuses
