"""PEP 517 backend: setuptools, plus a C++ compiler from PyPI where the system has none.

Asked what a build needs, it names the `ziglang` wheel exactly when no system compiler works, so a
machine with Python and a network is enough, and one with a compiler downloads nothing more.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - the hooks that need no change

ZIG_REQUIREMENT = "ziglang>=0.12"


def kernel_build() -> ModuleType:
    """The package's own build script, loaded without importing the package (and torch)."""
    path = Path(__file__).parents[1] / "relight3d" / "backends" / "cpu" / "build.py"
    spec = importlib.util.spec_from_file_location("relight3d_kernel_build", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compiler_requirement() -> list[str]:
    return [] if kernel_build().system_compiler() else [ZIG_REQUIREMENT]


def get_requires_for_build_wheel(config_settings=None) -> list[str]:
    """What building a wheel needs on this machine."""
    return build_meta.get_requires_for_build_wheel(config_settings) + _compiler_requirement()


def get_requires_for_build_editable(config_settings=None) -> list[str]:
    """What an editable install needs on this machine."""
    return build_meta.get_requires_for_build_editable(config_settings) + _compiler_requirement()
