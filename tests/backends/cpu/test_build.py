"""Finding a compiler, and what the package's build asks for, without compiling the kernel."""

import importlib.util
import sys
from pathlib import Path

import pytest

from relight3d.backends.cpu import build

ROOT = Path(__file__).parents[3]


@pytest.fixture
def build_backend(monkeypatch):
    """The in-tree PEP 517 backend, as a build front end loads it."""
    path = ROOT / "build_backend" / "relight3d_build.py"
    spec = importlib.util.spec_from_file_location("relight3d_build", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(ROOT)
    return module


def test_no_compiler_at_all(monkeypatch):
    monkeypatch.setattr(build, "system_compiler", lambda: None)
    monkeypatch.setattr(build, "zig_compiler", lambda: None)
    with pytest.raises(build.NoCompilerError, match="pip install ziglang"):
        build.find_compiler()


def test_zig_when_there_is_no_system_compiler(monkeypatch):
    monkeypatch.setattr(build, "system_compiler", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert build.find_compiler()[:4] == [sys.executable, "-m", "ziglang", "c++"]


def test_a_compiler_that_is_broken_is_passed_over(monkeypatch, tmp_path):
    """One that is on the path but cannot compile C++17, as a C compiler without its library."""
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    assert build.system_compiler() is None


def test_a_failed_compilation_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="failed"):
        build.compile_isa("baseline", tmp_path / "libraster.so", ["false"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_library_has_its_sources():
    for isa in build.isas():
        assert all(source.exists() for source in build.sources(isa))
    assert build.isas()[-1] == "baseline"


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_zig_is_asked_for_exactly_where_nothing_compiles(build_backend, monkeypatch, kind):
    asked = getattr(build_backend, f"get_requires_for_build_{kind}")
    monkeypatch.setattr(build_backend.build_meta, f"get_requires_for_build_{kind}", lambda _: [])
    for compiler, expected in ((["c++"], []), (None, [build_backend.ZIG_REQUIREMENT])):
        fake = type("Build", (), {"system_compiler": staticmethod(lambda found=compiler: found)})
        monkeypatch.setattr(build_backend, "kernel_build", lambda fake=fake: fake)
        assert asked() == expected


def test_build_script_needs_only_the_standard_library(build_backend):
    """It runs where nothing is installed yet."""
    assert build_backend.kernel_build().isas() == build.isas()
    lines = Path(build.__file__).read_text().splitlines()
    imported = [
        line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))
    ]
    assert set(imported) <= set(sys.stdlib_module_names)
