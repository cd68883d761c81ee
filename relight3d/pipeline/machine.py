"""The machine under a run: threads, determinism, peak memory, and what is installed."""

import contextlib
import ctypes
import gc
import os
import platform
import resource
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "numpy", "gsplat", "embreex", "warp-lang", "pycolmap",
            "opencv-python-headless", "OpenEXR", "pillow", "safetensors", "tyro")  # fmt: skip
LARGEST_REUSED_BYTES = 32 << 20
"""The most that glibc allows."""


def prepare_torch() -> None:
    """Fix how torch computes: thread count, deterministic kernels.

    One torch thread: torch's operators on a few thousand splats are too short to
    share, and the order of a sum, hence its last bits, would depend on the number of threads. The
    CPU kernel's own threads sleep while they wait and never change a bit: it takes all cores.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    # A warning only: some CUDA operators have no deterministic form; the CPU path has one
    # throughout. (`use_deterministic_algorithms` would load torch's compiler: two seconds.)
    torch.set_deterministic_debug_mode("warn")
    # Filling every new buffer is a debugging aid of that mode, and costs a pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    # The modules loaded by now are here to stay: searching them for garbage, again and again, took
    # 3 % of a training's time.
    gc.freeze()
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let glibc reuse freed pictures, a few MB each, instead of handing them back to the system.

    Otherwise every step fetches, and has cleared, hundreds of pages that the one before gave back.
    """
    if platform.libc_ver()[0] == "glibc":
        libc, trim_threshold, mmap_threshold = ctypes.CDLL(None), -1, -3  # as in malloc.h
        libc.mallopt(trim_threshold, 1 << 30)
        libc.mallopt(mmap_threshold, LARGEST_REUSED_BYTES)


def reset_peak_memory() -> None:
    """Start a new measurement where the system allows it (Linux), else keep the process's peak."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_mb() -> dict[str, float]:
    """Most memory held since the last reset, in MiB: 'host', and 'gpu' if torch uses one."""
    peaks = {"host": _host_peak_mb()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peaks["gpu"] = torch.cuda.max_memory_allocated() / 2**20
    return peaks


def _host_peak_mb() -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return float(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def describe_machine() -> dict[str, str]:
    """Processor, system and GPU in words."""
    described = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(usable_cores()),
        "python": platform.python_version(),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    return described


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def installed_versions() -> dict[str, str]:
    """Version of every library a result may depend on; missing ones are left out."""
    from relight3d import __version__

    versions = {"relight3d": __version__}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def checkout_commit() -> str:
    """The commit of the source tree; '+' marks changed files, 'unknown' a tree without git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return "unknown"
    git = ["git", "-C", str(root)]
    named = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    if named.returncode:
        return "unknown"
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode
    return named.stdout.strip() + ("+" if changed else "")
