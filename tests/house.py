"""The house rules as functions of a source tree: each returns what breaks its rule, as sentences.

`test_architecture.py` runs them on this repository, and on small trees that break each rule.
"""

import ast
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

MAX_LINES = 400
MAX_FILE_BYTES = 2_000_000

DOORS: dict[str, tuple[str, ...]] = {
    "cv2": ("files/*", "capture/*"),
    "OpenEXR": ("files/*",),
    "PIL": ("files/*",),
    "pycolmap": ("capture/colmap*.py",),
    "flip_evaluator": ("evaluation/flip.py",),
    "gsplat": ("backends/gsplat_cuda.py",),
    "xatlas": ("export/atlas.py",),
    "embreex": ("backends/tracing/embree.py",),
    "warp": ("backends/tracing/warp_bvh.py",),
    "safetensors": ("core/checkpoint.py",),
    "yaml": ("presets.py",),
    "tyro": ("cli/*", "presets.py"),
}
"""Heavy library -> the only files of the package that may import it."""

CORE_LIBRARIES = {"torch", "numpy", "jaxtyping", "safetensors"}
"""What `core/` may import besides the standard library."""

DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "OpenEXR": "openexr",
    "warp": "warp-lang",
}
"""Import name -> distribution, where they differ (in lower case)."""

FORBIDDEN_WORDS = [
    # Spelled in halves, so that this file does not contain them.
    *(f"/{folder}/" for folder in ("work" + "/main", "work" + "/shared", "root", "opt" + "/pypi")),
    "python" + "hosted.org",
    "download." + "pytorch.org",
    "ply" + "file",
    "nv" + "diffrast",
]
"""Paths of one machine, hosts of registries, libraries whose licences do not fit."""


def python_files(folder: Path) -> Iterator[Path]:
    """Every Python source below `folder`, in a fixed order."""
    return (path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts)


def imported_libraries(path: Path) -> set[str]:
    """Top-level names of everything a file imports, at any depth, relative imports excepted."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names += [str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)]
    return {name.split(".")[0] for name in names}


def closed_doors(package: Path) -> list[str]:
    """Heavy libraries imported elsewhere than by their door."""
    found = []
    for path in python_files(package):
        where = path.relative_to(package).as_posix()
        for library in sorted(imported_libraries(path) & DOORS.keys()):
            if not any(fnmatch(where, door) for door in DOORS[library]):
                found.append(f"{where} imports {library}: use {' or '.join(DOORS[library])}")
    return found


def impure_core(package: Path) -> list[str]:
    """Third-party libraries in `core/` beyond the few it may use."""
    allowed = CORE_LIBRARIES | set(sys.stdlib_module_names) | {package.name}
    return [
        f"{path.relative_to(package).as_posix()} imports {library}: core may not"
        for path in python_files(package / "core")
        for library in sorted(imported_libraries(path) - allowed)
    ]


def undeclared_libraries(package: Path, requirements: list[str]) -> list[str]:
    """Imported distributions that no requirement of pyproject.toml names."""
    declared = {re.split(r"[^A-Za-z0-9_-]", line)[0].lower() for line in requirements}
    known = set(sys.stdlib_module_names) | {package.name}
    return [
        f"{path.relative_to(package).as_posix()} imports {library}: pyproject.toml does not ask it"
        for path in python_files(package)
        for library in sorted(imported_libraries(path) - known)
        if DISTRIBUTIONS.get(library, library).lower().replace("_", "-") not in declared
    ]


def long_modules(*folders: Path) -> list[str]:
    """Sources, Python or C++, of more than `MAX_LINES` lines."""
    suffixes = {".py", ".cpp", ".cc", ".hpp", ".h", ".cu", ".cuh"}
    found = []
    for path in (p for folder in folders for p in sorted(folder.rglob("*"))):
        if path.suffix in suffixes and path.is_file():
            count = len(path.read_text(encoding="utf-8").splitlines())
            if count > MAX_LINES:
                found.append(f"{path.name} has {count} lines: split it, {MAX_LINES} is the limit")
    return found


def careless_statements(folder: Path) -> list[str]:
    """Star imports, bare or silent catch-all `except`, and code that runs data."""
    found = []
    for path in python_files(folder):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            fault = _fault(node)
            if fault:
                found.append(f"{path.name}:{getattr(node, 'lineno', 0)} {fault}")
    return found


def _fault(node: ast.AST) -> str | None:
    if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
        return "imports *"
    if isinstance(node, ast.ExceptHandler):
        if node.type is None:
            return "has a bare except"
        if ast.unparse(node.type) in {"Exception", "BaseException"} and all(
            isinstance(statement, ast.Pass) for statement in node.body
        ):
            return "swallows every exception"
    return _careless_call(node) if isinstance(node, ast.Call) else None


def _careless_call(node: ast.Call) -> str | None:
    called, whole = ast.unparse(node.func), ast.unparse(node)
    if called == "torch.load" and "weights_only=True" not in whole:
        return "calls torch.load without weights_only=True, which may run what a file says"
    if called in {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load"}:
        return f"calls {called}, which may run what a file says"
    if called in {"np.load", "numpy.load"} and "allow_pickle=True" in whole:
        return "unpickles"
    return None


def forbidden_words(files: list[Path]) -> list[str]:
    """Text files that contain a word of `FORBIDDEN_WORDS`, in any case."""
    found = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8").lower()
        except (UnicodeDecodeError, IsADirectoryError):
            continue
        found += [f"{path.name} contains {word!r}" for word in FORBIDDEN_WORDS if word in text]
    return found


def large_files(files: list[Path]) -> list[str]:
    """Files too large for the repository."""
    return [
        f"{path.name} has {path.stat().st_size} bytes, over {MAX_FILE_BYTES}"
        for path in files
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES
    ]
