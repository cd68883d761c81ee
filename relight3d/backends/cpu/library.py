"""Finds, chooses and loads the compiled kernel, and calls it without the interpreter lock.

One shared library is built per instruction set (`avx512`, `avx2`, `baseline`); the widest one that
this processor and its operating system run is taken. RELIGHT3D_ISA, or `use_isa`, overrides that.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast, get_args

from torch import Tensor

from relight3d.core.errors import BackendUnavailableError, ConfigurationError, Relight3dError

Isa = Literal["avx512", "avx2", "baseline"]
ISA_VARIABLE = "RELIGHT3D_ISA"
MAX_THREADS = 16
ABI = 4
"""Of the C functions; R3D_ABI in kernel/abi.h says the same. Raise both when one changes."""
HOW_TO_BUILD = (
    "From a source tree run `python -m relight3d.backends.cpu.build`; otherwise reinstall with "
    "`pip install --force-reinstall --no-deps relight3d`. Either uses a C++17 compiler if there is "
    "one and the `ziglang` wheel if there is not."
)

_Pointer = ctypes.c_void_p


class Scene(ctypes.Structure):
    """Mirror of R3dScene in kernel/scene.h; the comments there are the documentation."""

    _fields_ = [
        *[(name, ctypes.c_int64) for name in ("splats", "cameras", "channels", "feature_stride")],
        *[(name, ctypes.c_int64) for name in ("width", "height")],
        *[(name, _Pointer) for name in ("means", "quats_wxyz", "scales", "opacities", "features")],
        *[(name, _Pointer) for name in ("world_to_camera", "intrinsics")],
        *[(name, ctypes.c_double) for name in ("near", "far", "eps2d")],
        *[(name, ctypes.c_int64) for name in ("antialias", "threads", "row_bytes")],
    ]


class Gradients(ctypes.Structure):
    """Mirror of R3dGradients in kernel/scene.h."""

    _fields_ = [
        (name, _Pointer) for name in ("means", "quats_wxyz", "scales", "opacities", "features")
    ]


def library_path(isa: str) -> Path:
    """Where the kernel for one instruction set lies, beside this file."""
    suffix = ".dll" if sys.platform == "win32" else ".so"
    return Path(__file__).with_name(f"libraster_{isa}{suffix}")


@lru_cache
def _open(isa: Isa) -> ctypes.CDLL:
    path = library_path(isa)
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise BackendUnavailableError(
            f"The CPU rasterizer's library {path.name} did not load ({error}). {HOW_TO_BUILD}"
        ) from error
    if not hasattr(library, "r3d_abi") or library.r3d_abi() != ABI:
        raise BackendUnavailableError(
            f"The CPU kernel's library {path.name} was built from other sources. {HOW_TO_BUILD}"
        )
    library.r3d_forward.argtypes = [ctypes.POINTER(Scene), *[_Pointer] * 4]
    library.r3d_backward.argtypes = [_Pointer, ctypes.POINTER(Scene), *[_Pointer] * 3]
    library.r3d_free.argtypes = [_Pointer]
    library.r3d_free.restype = None
    library.r3d_live_contexts.restype = ctypes.c_int64
    library.r3d_last_error.restype = ctypes.c_char_p
    return library


@lru_cache
def available_isas() -> tuple[Isa, ...]:
    """Instruction sets that are built and that this processor runs, widest first.

    Raises:
        BackendUnavailableError: Not even the baseline library is there.
    """
    baseline = _open("baseline")
    runs = {
        "avx512": bool(baseline.r3d_supports_avx512()),
        "avx2": bool(baseline.r3d_supports_avx2()),
        "baseline": True,
    }
    return tuple(isa for isa in get_args(Isa) if runs[isa] and library_path(isa).exists())


class _Settings:
    isa: Isa | None = None
    threads: int | None = None


def chosen_isa() -> Isa:
    """The instruction set the next call uses.

    Raises:
        ConfigurationError: RELIGHT3D_ISA asks for one that is unknown, not built or not runnable.
    """
    wanted = _Settings.isa or os.environ.get(ISA_VARIABLE) or available_isas()[0]
    if wanted not in available_isas():
        raise ConfigurationError(
            f"The CPU rasterizer was asked for instruction set '{wanted}' ({ISA_VARIABLE}), but "
            f"has {', '.join(available_isas())} here. Unset {ISA_VARIABLE} to use the widest."
        )
    return cast(Isa, wanted)


@contextlib.contextmanager
def use_isa(isa: Isa) -> Iterator[None]:
    """Use one instruction set within a `with` block, whatever the environment says."""
    before, _Settings.isa = _Settings.isa, isa
    try:
        chosen_isa()
        yield
    finally:
        _Settings.isa = before


def set_num_threads(threads: int | None) -> None:
    """Fix the kernel's number of threads; None uses every processor, see `usable_processors`.

    Results are bit for bit the same for any number.
    """
    if threads is not None and threads < 1:
        raise ConfigurationError(f"The number of threads must be at least 1, got {threads}.")
    _Settings.threads = threads


def get_num_threads() -> int:
    """Threads the next call uses."""
    return _Settings.threads or usable_processors()


def usable_processors() -> int:
    """Processors this process may run on, at most `MAX_THREADS`, and OMP_NUM_THREADS if set.

    A container's quota of processor time counts, too (Linux, cgroup v2).

    Not torch's own number: its operators run on one thread where the order of a sum must not
    change, while the kernel's threads change no bit.
    """
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        processors = os.cpu_count() or 1
    wish = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    wanted = int(wish) if wish.isdigit() else processors
    return max(1, min(processors, wanted, _quota(), MAX_THREADS))


@lru_cache
def _quota() -> int:
    """The container's own; read once, for every call of the kernel asks."""
    return _quota_in(Path("/sys/fs/cgroup/cpu.max"))


def _quota_in(path: Path) -> int:
    """Whole processors that a container may use; `MAX_THREADS` where nothing limits them."""
    try:
        share, period = (int(word) for word in path.read_text().split())
    except (OSError, ValueError):  # no such file, or "max" for no limit
        return MAX_THREADS
    return max(1, -(-share // max(1, period)))


def live_contexts() -> int:
    """Forward passes whose state still waits for a backward pass, in all loaded libraries."""
    return sum(_open(isa).r3d_live_contexts() for isa in available_isas())


def _check(library: ctypes.CDLL, status: int) -> None:
    if status == 0:
        return
    message = library.r3d_last_error().decode(errors="replace")
    if status == 2:
        raise MemoryError("The CPU kernel ran out of memory. Use fewer or smaller splats.")
    raise Relight3dError(f"The CPU kernel refused its input: {message}.")


def call(name: str, *arguments: Tensor | int | float | None) -> None:
    """Call a function of the kernel that keeps no state, with the chosen instruction set.

    Args:
        name: Of the C function, which returns a status.
        arguments: In its order: dense tensors become pointers, None the null pointer, integers
            int64 and floats double.
    """
    library = _open(chosen_isa())
    _check(library, getattr(library, name)(*[_c_value(value) for value in arguments]))


def _c_value(value: Tensor | int | float | None) -> ctypes._SimpleCData:
    if value is None or isinstance(value, Tensor):
        return _Pointer(None if value is None else value.data_ptr())
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int64(value)


class Context:
    """What a forward pass leaves for its backward pass. Freed with `free`, which is idempotent."""

    def __init__(self, isa: Isa) -> None:
        """A context that no forward pass has filled yet."""
        self.isa: Isa = isa
        self.pointer = _Pointer()

    def free(self) -> None:
        """Return the memory."""
        if self.pointer:
            _open(self.isa).r3d_free(self.pointer)
            self.pointer = _Pointer()


def forward(
    scene: Scene, features: Tensor, alpha: Tensor, visible: Tensor, keep: bool
) -> Context | None:
    """Fill the three outputs; with `keep`, return what `backward` needs."""
    isa = chosen_isa()
    library, context = _open(isa), Context(isa) if keep else None
    status = library.r3d_forward(
        ctypes.byref(scene),
        features.data_ptr(),
        alpha.data_ptr(),
        visible.data_ptr(),
        ctypes.byref(context.pointer) if context else None,
    )
    _check(library, status)
    return context


def backward(
    context: Context, scene: Scene, v_features: Tensor, v_alpha: Tensor, gradients: list[Tensor]
) -> None:
    """Write the gradients of means, quats, scales, opacities and features, in this order.

    Where the first four are empty, only the features' gradient is computed.
    """
    library = _open(context.isa)
    out = Gradients(*[gradient.data_ptr() if gradient.numel() else None for gradient in gradients])
    status = library.r3d_backward(
        context.pointer,
        ctypes.byref(scene),
        v_features.data_ptr(),
        v_alpha.data_ptr(),
        ctypes.byref(out),
    )
    _check(library, status)
