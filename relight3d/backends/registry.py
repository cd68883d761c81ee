"""Which rasterizer draws: looked up by name, imported only when asked for."""

import dataclasses
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import cast, get_args

import torch

from relight3d.backends.interface import BackendName, Rasterizer
from relight3d.core.errors import BackendUnavailableError, ConfigurationError


def _load_reference() -> Rasterizer:
    return import_module("relight3d.backends.reference").rasterize


def _load_cpu() -> Rasterizer:
    import_module(
        "relight3d.backends.cpu.library"
    ).chosen_isa()  # opens the library, or says why not
    return import_module("relight3d.backends.cpu.rasterize").rasterize


def _load_gsplat() -> Rasterizer:
    if not torch.cuda.is_available():
        raise BackendUnavailableError(
            "Backend 'gsplat' needs an NVIDIA GPU that torch can use, and torch sees none (its "
            f"build is {torch.__version__}). `--backend cpu` draws the same pictures without one."
        )
    module = import_module("relight3d.backends.gsplat_cuda")
    module.gsplat_version()  # imports gsplat, or says what is missing
    return module.rasterize


_LOADERS: dict[BackendName, Callable[[], Rasterizer]] = {
    "gsplat": _load_gsplat,
    "cpu": _load_cpu,
    "reference": _load_reference,
}
"""In the order `auto` tries them."""


def get_rasterizer(name: BackendName = "auto") -> Rasterizer:
    """The backend of that name; `auto` takes gsplat on a GPU, else cpu, else reference.

    Raises:
        BackendUnavailableError: What the named backend is missing, and how to get it.
        ConfigurationError: There is no backend of that name.
    """
    if name == "auto":
        return _first_available()
    if name not in _LOADERS:
        raise ConfigurationError(
            f"There is no backend '{name}'. Known are {', '.join(get_args(BackendName))}."
        )
    return _LOADERS[name]()


def _first_available() -> Rasterizer:
    reasons = []
    for name in ("gsplat", "cpu"):
        try:
            return _LOADERS[cast(BackendName, name)]()
        except BackendUnavailableError as error:
            reasons.append(str(error))
    warnings.warn(
        f"Drawing with the slow reference rasterizer, some hundred times slower: {reasons[-1]}",
        stacklevel=3,
    )
    return _load_reference()


@dataclasses.dataclass(frozen=True)
class BackendStatus:
    """One line of a report on what this machine can draw or trace with."""

    name: str
    usable: bool
    detail: str
    """How it will run, or what is missing and how to get it."""


def _detail(name: BackendName) -> str:
    if name == "cpu":
        library = import_module("relight3d.backends.cpu.library")
        isa, built = library.chosen_isa(), ", ".join(library.available_isas())
        return f"instruction set {isa} of {built}; {library.get_num_threads()} threads"
    if name == "gsplat":
        version = import_module("relight3d.backends.gsplat_cuda").gsplat_version()
        return f"gsplat {version} on {torch.cuda.get_device_name()}"
    return "torch, any floating type; slow"


def available_backends() -> list[BackendStatus]:
    """Every backend, and whether and how it works here. Raises nothing."""
    statuses = []
    for name in _LOADERS:
        try:
            get_rasterizer(name)
            statuses.append(BackendStatus(name, True, _detail(name)))
        except (BackendUnavailableError, ConfigurationError) as error:
            statuses.append(BackendStatus(name, False, str(error)))
    return statuses
