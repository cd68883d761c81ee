"""The walls of the house, and proof that each alarm rings when its wall is broken."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import house
import pytest

from relight3d.cli import COMMANDS

if sys.version_info >= (3, 11):
    import tomllib
else:  # comes with pytest there
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "relight3d"


def repository_files() -> list[Path]:
    """Tracked files; outside a git checkout, every file that is not an obvious build product."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return [
            ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()
        ]
    built = {"__pycache__", "build", "dist", "demo", "runs"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix != ".so"
        and not any(
            part in built or part.startswith((".venv", ".pytest", ".ruff"))
            for part in path.relative_to(ROOT).parts
        )
    ]


def requirements() -> list[str]:
    """Every requirement pyproject.toml declares for users (the extra [dev] is not for them)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k != "dev"}
    return project["dependencies"] + [line for extra in extras.values() for line in extra]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the layers contract of pyproject.toml on the package in `folder`."""
    code = "from importlinter.cli import lint_imports_command as c; c()"
    command = [sys.executable, "-c", code, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str, str], Path]:
    """A function that writes one file into a small package of its own and returns the package."""

    def write(where: str, source: str) -> Path:
        path = tmp_path / "relight3d" / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        return tmp_path / "relight3d"

    return write


def test_heavy_libraries_enter_by_their_door() -> None:
    assert house.closed_doors(PACKAGE) == []


@pytest.mark.parametrize(
    "source",
    ["import gsplat", "def f():\n    from gsplat.cuda import x", "import_module('gsplat.x')"],
)
def test_a_library_by_another_door_is_noticed(broken, source: str) -> None:
    assert "gsplat" in house.closed_doors(broken("view/server.py", source))[0]


def test_a_library_by_its_door_is_let_in(broken) -> None:
    assert house.closed_doors(broken("backends/gsplat_cuda.py", "import gsplat")) == []


def test_core_imports_little() -> None:
    assert house.impure_core(PACKAGE) == []


def test_a_library_in_core_is_noticed(broken) -> None:
    assert "scipy" in house.impure_core(broken("core/sh.py", "import scipy.special"))[0]


def test_every_imported_library_is_declared() -> None:
    assert house.undeclared_libraries(PACKAGE, requirements()) == []


def test_an_undeclared_library_is_noticed(broken) -> None:
    package = broken("view/plot.py", "import matplotlib, numpy, json")
    assert len(house.undeclared_libraries(package, requirements())) == 1


def test_modules_are_short() -> None:
    folders = (PACKAGE, ROOT / "scripts", ROOT / "tests")
    assert house.long_modules(*folders) == []


@pytest.mark.parametrize("name", ["long.py", "kernel.cpp"])
def test_a_long_module_is_noticed(broken, name: str) -> None:
    assert house.long_modules(broken(name, "\n" * house.MAX_LINES)) == []
    assert name in house.long_modules(broken(name, "\n" * (house.MAX_LINES + 1)))[0]


def test_no_careless_statement() -> None:
    assert house.careless_statements(PACKAGE) + house.careless_statements(ROOT / "scripts") == []


@pytest.mark.parametrize(
    "source",
    [
        "from numpy import *",
        "try:\n    f()\nexcept:\n    raise",
        "try:\n    f()\nexcept Exception:\n    pass",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "eval(text)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_a_careless_statement_is_noticed(broken, source: str) -> None:
    assert len(house.careless_statements(broken("bad.py", source))) == 1


def test_reading_tensors_alone_is_let_in(broken) -> None:
    assert house.careless_statements(broken("w.py", "torch.load(p, weights_only=True)")) == []


def test_no_forbidden_word() -> None:
    assert house.forbidden_words(repository_files()) == []


def test_a_forbidden_word_is_noticed(broken) -> None:
    package = broken("bad.py", f"# {house.FORBIDDEN_WORDS[0].upper()}x\nimport {'ply' + 'file'}\n")
    assert len(house.forbidden_words([package / "bad.py"])) == 2


def test_no_large_file() -> None:
    assert house.large_files(repository_files()) == []


def test_a_large_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(house.MAX_FILE_BYTES + 1))
    assert "large.bin" in house.large_files([tmp_path / "large.bin"])[0]


def test_layers_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("field/bad.py", "import relight3d.decomposition"),
        ("core/bad.py", "import relight3d.files"),
        ("shading/bad.py", "import relight3d.backends"),
        ("attic/__init__.py", ""),
    ],
)
def test_a_broken_layer_is_noticed(tmp_path: Path, where: str, source: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "relight3d", ignore=shutil.ignore_patterns("*.so", "__py*"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    bad = tmp_path / "relight3d" / where
    bad.parent.mkdir(exist_ok=True)
    bad.write_text(source, encoding="utf-8")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert where.split("/", maxsplit=1)[0] in result.stdout + result.stderr


def libraries_loaded_by(statement: str) -> set[str]:
    """Top-level modules in memory after a statement ran, or left, in a fresh interpreter."""
    code = f"""
import json, sys
try:
    {statement}
except SystemExit as leaving:
    assert not leaving.code, leaving.code
print("\\n" + json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_starts_without_torch(arguments: list[str]) -> None:
    loaded = libraries_loaded_by(
        f"from relight3d.cli import main; sys.argv[1:] = {arguments}; main()"
    )
    assert "relight3d" in loaded
    assert not loaded & {"torch", "cv2", "pycolmap", "gsplat"}


def test_a_heavy_start_is_noticed() -> None:
    assert "torch" in libraries_loaded_by("import relight3d.core.types")
