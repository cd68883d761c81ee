"""Builds the CPU rasterizer's libraries, and the files of `configs/`, into the package.

Everything else is in pyproject.toml.
"""

import sys
from importlib import import_module
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent / "build_backend"))

BUILD = import_module("relight3d_build").kernel_build()
PACKAGE = "relight3d.backends.cpu"


class BuildKernel(build_ext):
    """One plain shared library per instruction set: no Python ABI, so no Python headers either."""

    def finalize_options(self) -> None:
        """Compile the libraries at the same time."""
        super().finalize_options()
        self.parallel = True
        self.compiler_command = None

    def get_ext_filename(self, fullname: str) -> str:
        """`libraster_avx2.so` rather than `libraster_avx2.cpython-312-x86_64-linux-gnu.so`."""
        return str(Path(*fullname.split("."))) + BUILD.SUFFIX

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """None is Python's."""
        return []

    def build_extensions(self) -> None:
        """Find the compiler once, then build."""
        self.compiler_command = BUILD.find_compiler()
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        """Compile one library."""
        isa = ext.name.rpartition("libraster_")[2]
        output, cache = Path(self.get_ext_fullpath(ext.name)), Path(self.build_temp).absolute()
        BUILD.compile_isa(isa, output, self.compiler_command, cache / "compiler-cache")


class BuildPackage(build_py):
    """An installed package has its presets in `relight3d/configs`; a source tree beside it."""

    def run(self) -> None:
        """Copy them; an editable install reads them where they are."""
        super().run()
        if not self.editable_mode:
            source = Path(__file__).parent / "configs"
            for path in sorted(source.rglob("*.yaml")):
                target = Path(self.build_lib) / "relight3d" / "configs" / path.relative_to(source)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


class PlatformWheel(bdist_wheel):
    """py3-none-PLATFORM: for any Python 3, for one kind of machine."""

    def get_tag(self) -> tuple[str, str, str]:
        """Keep only the platform of the usual tag."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension(f"{PACKAGE}.libraster_{isa}", sources=[]) for isa in BUILD.isas()],
    cmdclass={"build_py": BuildPackage, "build_ext": BuildKernel, "bdist_wheel": PlatformWheel},
)
