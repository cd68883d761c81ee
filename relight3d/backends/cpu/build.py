"""Compiles the kernel, once per instruction set. Standard library only: installing uses it too.

    python -m relight3d.backends.cpu.build

A compiler is searched in this order: $CXX, c++, g++, clang++, and then the `ziglang` wheel, which
carries a whole C++ toolchain and needs nothing from the system.
"""

import concurrent.futures
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parent
KERNEL = PACKAGE / "kernel"
SUFFIX = ".dll" if sys.platform == "win32" else ".so"

# -ffast-math would delete the rounding trick of exp2; the three flags are the harmless part of it.
FLAGS = [
    "-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-fvisibility=hidden", "-Wno-psabi", "-shared", "-fPIC", "-pthread", "-s",
]  # fmt: skip

ISA_FLAGS = {
    "avx512": "-mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl".split(),
    "avx2": "-mavx2 -mfma".split(),
    "baseline": [],
}

# Fails without C++17, without its standard library, and without threads.
PROBE = """
#include <mutex>
#include <thread>
#include <vector>
typedef float V __attribute__((vector_size(16)));
extern "C" float probe() {
  std::mutex m; std::vector<int> v(3); std::thread t([&] { v.push_back(1); }); t.join();
  if constexpr (sizeof(V) == 16) { V a = {}; a = a > 1.0f ? a : a + 1.0f; return a[0] + v.size(); }
}
"""


class NoCompilerError(RuntimeError):
    """No working C++17 compiler was found."""


def isas() -> list[str]:
    """Instruction sets worth building for this processor's family, baseline last."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return list(ISA_FLAGS) if x86 else ["baseline"]


def _run(command: list[str], cache: Path) -> subprocess.CompletedProcess[str]:
    # zig keeps its C++ library, compiled on first use, here: an environment may have no home.
    places = {name: str(cache) for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    return subprocess.run(
        command, env={**places, **os.environ}, capture_output=True, text=True, check=False
    )


def _works(compiler: list[str]) -> bool:
    if not shutil.which(compiler[0]):
        return False
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        source, output = scratch / "probe.cpp", scratch / f"probe{SUFFIX}"
        source.write_text(PROBE)
        command = [*compiler, *FLAGS, str(source), "-o", str(output)]
        return _run(command, scratch).returncode == 0 and output.exists()


def system_compiler() -> list[str] | None:
    """The first of $CXX, c++, g++ and clang++ that compiles a probe, or None."""
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    commands = [shlex.split(name) for name in names if name]
    return next((command for command in commands if _works(command)), None)


def _zig_target() -> list[str]:
    """A target old enough for any Linux of today; elsewhere the machine's own."""
    if not sys.platform.startswith("linux"):
        return []
    musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    return ["-target", f"{platform.machine()}-linux-{'musl' if musl else 'gnu.2.28'}"]


def zig_compiler() -> list[str] | None:
    """The C++ compiler of the `ziglang` wheel, or None if it is not installed."""
    if importlib.util.find_spec("ziglang") is None:
        return None
    return [sys.executable, "-m", "ziglang", "c++", *_zig_target()]


def find_compiler() -> list[str]:
    """The command that compiles C++ on this machine.

    Raises:
        NoCompilerError: Neither a system compiler nor `ziglang` is there.
    """
    compiler = system_compiler() or zig_compiler()
    if compiler is None:
        raise NoCompilerError(
            "No C++17 compiler works here ($CXX, c++, g++ and clang++ were tried). "
            "`pip install ziglang` brings one, or install g++ or clang."
        )
    return compiler


def sources(isa: str) -> list[Path]:
    """The C++ files of one library; the baseline one also tells what the processor can run."""
    return [
        path
        for path in sorted(KERNEL.glob("*.cpp"))
        if path.name != "dispatch.cpp" or isa == "baseline"
    ]


def compile_isa(isa: str, output: Path, compiler: list[str], cache: Path) -> None:
    """Compile one library. It appears at `output` whole or not at all.

    Args:
        isa: A key of `ISA_FLAGS`.
        output: The library's path.
        compiler: As `find_compiler` returns it.
        cache: A folder that all libraries share, for what the compiler itself wants to keep.

    Raises:
        RuntimeError: With the compiler's own words.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        built = Path(folder) / output.name
        files = [str(source) for source in sources(isa)]
        command = [*compiler, *FLAGS, *ISA_FLAGS[isa], *files, "-o", str(built)]
        result = _run(command, cache)
        if result.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)} failed:\n{result.stderr[-4000:]}")
        built.replace(output)


def library_name(isa: str) -> str:
    """File name of one library."""
    return f"libraster_{isa}{SUFFIX}"


def build(folder: Path = PACKAGE) -> list[Path]:
    """Compile all libraries into `folder`, at once, and return their paths."""
    compiler = find_compiler()
    outputs = {isa: folder / library_name(isa) for isa in isas()}
    with (
        tempfile.TemporaryDirectory() as cache,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        list(pool.map(lambda isa: compile_isa(isa, outputs[isa], compiler, Path(cache)), outputs))
    return list(outputs.values())


if __name__ == "__main__":
    for path in build():
        print(path)
