"""Intel's Embree through `embreex` (BSD; its wheel brings Embree): the tracer of every CPU.

The only file that imports embreex. Rays are traced in float32 and packets of them by several
threads, which change no answer. Rays that lie on another device are brought here and back.
"""

import concurrent.futures
from importlib import import_module, metadata
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.backends.cpu.library import get_num_threads
from relight3d.backends.tracing.interface import Hits
from relight3d.backends.tracing.rays import no_hits, single_precision
from relight3d.core.errors import BackendUnavailableError
from relight3d.core.surface import Mesh

RAYS_AT_ONCE = 1 << 14
"""Of one call of Embree, which holds the interpreter's lock only before and after."""


def embree_version() -> str:
    """Of embreex, whose first numbers are Embree's.

    Raises:
        BackendUnavailableError: It is not installed, or does not load.
    """
    _load()
    return metadata.version("embreex")


def _load() -> tuple[Any, Any]:
    try:
        scene = import_module("embreex.rtcore_scene")
        return scene.EmbreeScene, import_module("embreex.mesh_construction").TriangleMesh
    except ImportError as error:
        raise BackendUnavailableError(
            f"Tracer 'embree' did not import ({error}). `pip install embreex` brings it, with "
            "Embree inside, for Linux, macOS and Windows; tracer 'reference' runs anywhere, slowly."
        ) from error


class EmbreeTracer:
    """`interface.Tracer` by Embree's bounding volume hierarchy, watertight between neighbours."""

    def __init__(self, mesh: Mesh) -> None:
        """Build the hierarchy.

        Raises:
            BackendUnavailableError: embreex is missing.
        """
        scene, triangles = _load()
        self._scene = None
        if len(mesh) > 0:
            self._scene = scene(robust=True)
            vertices = mesh.vertices.detach().to("cpu", torch.float32).numpy()
            triangles(self._scene, vertices, mesh.faces.to("cpu", torch.int32).numpy())
            # The hierarchy is built with the first call, which must not be two threads' at once.
            self._scene.run(vertices[:1], vertices[:1])

    @torch.no_grad()
    def occluded(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Bool[Tensor, " R"]:
        """See `interface.Tracer.occluded`."""
        if self._scene is None or len(origins) == 0:
            return torch.zeros(len(origins), dtype=torch.bool, device=origins.device)
        found = torch.cat(
            [torch.from_numpy(part) for part in self._run(origins, directions, far, "OCCLUDED")]
        )
        return (found >= 0).to(origins.device)

    @torch.no_grad()
    def hit(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Hits:
        """See `interface.Tracer.hit`."""
        if self._scene is None or len(origins) == 0:
            return no_hits(origins)
        parts = self._run(origins, directions, far, "INTERSECT", output=True)
        distance, triangle, u, v = (
            torch.cat([torch.from_numpy(part[name]) for part in parts])
            for name in ("tfar", "primID", "u", "v")
        )
        found = triangle >= 0
        weights = torch.stack([u, v], -1)
        return Hits(
            torch.where(found, distance, torch.inf).to(origins),
            triangle.long().to(origins.device),
            torch.where(found[:, None], weights, 0.0).to(origins),
        )

    def _run(
        self, origins: Tensor, directions: Tensor, far: Tensor | None, query: str, **options: bool
    ) -> list[Any]:
        """Embree's answers to all rays, in pieces."""
        rays = single_precision(origins, directions, far, torch.device("cpu"))
        pieces = list(zip(*(x.split(RAYS_AT_ONCE) for x in rays), strict=True))

        def trace(piece: tuple[Tensor, Tensor, Tensor]) -> Any:
            start, along, limit = (x.numpy() for x in piece)  # Embree writes into `limit`: ours
            assert self._scene is not None
            return self._scene.run(start, along, dists=limit, query=query, **options)

        threads = min(get_num_threads(), len(pieces))
        if threads == 1:
            return [trace(piece) for piece in pieces]
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return list(pool.map(trace, pieces))
