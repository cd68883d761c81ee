"""Intel's Embree (Apache-2.0): the tracer of every CPU. The only file that imports embreex.

The wheel of `embreex` (BSD) is taken for the library in it, whose C functions are called here and,
for the rays, in the kernel (backends/cpu/kernel/trace.cpp): its own Python functions take one ray
at a time, in the order given, where ours sort scattered ones and trace packets, on every thread.
"""

import ctypes
import weakref
from functools import lru_cache
from importlib import import_module

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.backends.cpu import library
from relight3d.backends.tracing.interface import Hits
from relight3d.backends.tracing.rays import no_hits
from relight3d.core.errors import BackendUnavailableError, Relight3dError
from relight3d.core.surface import Mesh

MAJOR_VERSION = 4
HOW_TO_INSTALL = (
    "`pip install 'embreex>=4.4,<5'` brings it where there are wheels (Linux on x86-64, macOS); "
    "tracer 'reference' runs anywhere, slowly."
)

_Pointer = ctypes.c_void_p
_FUNCTIONS = {
    "rtcNewDevice": (_Pointer, ctypes.c_char_p),
    "rtcReleaseDevice": (None, _Pointer),
    "rtcGetDeviceProperty": (ctypes.c_ssize_t, _Pointer, ctypes.c_int),
    "rtcGetDeviceError": (ctypes.c_int, _Pointer),
    "rtcNewScene": (_Pointer, _Pointer),
    "rtcSetSceneFlags": (None, _Pointer, ctypes.c_int),
    "rtcCommitScene": (None, _Pointer),
    "rtcReleaseScene": (None, _Pointer),
    "rtcNewGeometry": (_Pointer, _Pointer, ctypes.c_int),
    "rtcSetNewGeometryBuffer": (
        _Pointer, _Pointer, ctypes.c_int, ctypes.c_uint, ctypes.c_int, ctypes.c_size_t,
        ctypes.c_size_t,
    ),
    "rtcCommitGeometry": (None, _Pointer),
    "rtcAttachGeometry": (ctypes.c_uint, _Pointer, _Pointer),
    "rtcReleaseGeometry": (None, _Pointer),
    "rtcOccluded8": (None, *[_Pointer] * 4),
    "rtcIntersect8": (None, *[_Pointer] * 4),
}  # fmt: skip
"""What is used of embree4/rtcore.h: results, then arguments."""

_VERSION_PROPERTY, _TRIANGLES, _ROBUST = 0, 0, 1 << 2
_INDICES, _VERTICES = (0, 0x5003), (1, 0x9003)
"""RTC_BUFFER_TYPE_ and RTC_FORMAT_: three 32-bit numbers each."""


@lru_cache
def _embree() -> ctypes.CDLL:
    try:
        # A symbol is looked up in a library and in all that it links: so the one we want, whose
        # file is called otherwise in every wheel, is found through the one that Python knows.
        embree = ctypes.CDLL(import_module("embreex.rtcore_scene").__file__)
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(embree, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, OSError, AttributeError) as error:
        raise BackendUnavailableError(
            f"Tracer 'embree' did not load ({error}). {HOW_TO_INSTALL}"
        ) from error
    version = _version_of(embree)
    if version // 10000 != MAJOR_VERSION:
        raise BackendUnavailableError(
            f"Tracer 'embree' speaks Embree {MAJOR_VERSION}, whose rays lie in memory as no other "
            f"version's need to; embreex brings {version} (40400 means 4.4.0). {HOW_TO_INSTALL}"
        )
    return embree


def _version_of(embree: ctypes.CDLL) -> int:
    device = embree.rtcNewDevice(b"threads=1")
    version = embree.rtcGetDeviceProperty(device, _VERSION_PROPERTY)
    embree.rtcReleaseDevice(device)
    return version


def embree_version() -> str:
    """Such as '4.4.0'.

    Raises:
        BackendUnavailableError: embreex is missing, does not load, or is too old or too new.
    """
    version = _version_of(_embree())
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def _release(scene: int, device: int) -> None:
    _embree().rtcReleaseScene(scene)
    _embree().rtcReleaseDevice(device)


class EmbreeTracer:
    """`interface.Tracer` by Embree's bounding volume hierarchy, watertight between neighbours.

    float32; rays on other devices are brought here, and answers back. Threads are the kernel's
    (`backends.cpu.library`) and change no bit.
    """

    def __init__(self, mesh: Mesh, sort_rays: bool = True) -> None:
        """Build the hierarchy.

        Args:
            mesh: Copied.
            sort_rays: Trace scattered rays in the order of a curve on which they start: neighbours
                visit the same boxes, and find them in the cache.

        Raises:
            BackendUnavailableError: embreex or the kernel is missing.
        """
        embree = _embree()
        library.chosen_isa()  # or it says how to build the kernel
        self.sort_rays = sort_rays
        device = embree.rtcNewDevice(f"threads={library.get_num_threads()}".encode())
        self._scene: int = embree.rtcNewScene(device)
        weakref.finalize(self, _release, self._scene, device)
        embree.rtcSetSceneFlags(self._scene, _ROBUST)
        if len(mesh) > 0:
            geometry = embree.rtcNewGeometry(device, _TRIANGLES)
            corners, faces = mesh.vertices.detach(), mesh.faces
            for kind, values in (
                (_VERTICES, corners.to("cpu", torch.float32).contiguous()),
                (_INDICES, faces.to("cpu", torch.int32).contiguous()),
            ):
                to = embree.rtcSetNewGeometryBuffer(geometry, kind[0], 0, kind[1], 12, len(values))
                if to is not None:  # else the device knows why
                    ctypes.memmove(to, values.data_ptr(), values.nbytes)
            embree.rtcCommitGeometry(geometry)
            embree.rtcAttachGeometry(self._scene, geometry)
            embree.rtcReleaseGeometry(geometry)
        embree.rtcCommitScene(self._scene)
        error = embree.rtcGetDeviceError(device)
        if error != 0:
            raise Relight3dError(
                f"Embree could not build its hierarchy over {len(mesh)} triangles: RTCError {error}"
                ", where 4 is lack of memory. Use a coarser mesh."
            )

    @torch.no_grad()
    def occluded(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Bool[Tensor, " R"]:
        """See `interface.Tracer.occluded`."""
        found = torch.empty(len(origins), dtype=torch.bool)
        self._trace("rtcOccluded8", origins, directions, far, found, None, None, None)
        return found.to(origins.device)

    @torch.no_grad()
    def hit(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Hits:
        """See `interface.Tracer.hit`."""
        hits = no_hits(origins.new_empty(len(origins), 3, device="cpu", dtype=torch.float32))
        answers = (hits.distance, hits.triangle, hits.barycentrics)
        self._trace("rtcIntersect8", origins, directions, far, None, *answers)
        return Hits(
            hits.distance.to(origins),
            hits.triangle.to(origins.device),
            hits.barycentrics.to(origins),
        )

    def _trace(
        self,
        query: str,
        origins: Tensor,
        directions: Tensor,
        far: Tensor | None,
        *answers: Tensor | None,
    ) -> None:
        rays = [
            None if x is None else x.detach().to("cpu", torch.float32).contiguous()
            for x in (origins, directions, far)
        ]
        address = ctypes.cast(getattr(_embree(), query), _Pointer).value
        assert address is not None
        library.call(
            "r3d_trace", address, self._scene, *rays, len(origins), int(self.sort_rays),
            library.get_num_threads(), *answers,
        )  # fmt: skip
