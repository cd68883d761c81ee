"""NVIDIA Warp's bounding volume hierarchy (Apache-2.0): the tracer of GPUs. Also runs on the CPU.

The only file that imports warp. Its kernels are compiled on first use, by Warp itself and without a
network, and kept in the user's cache. float32; closed surfaces are closed, but for one in a hundred
of the rays aimed exactly at a vertex.
"""
# Kernels are Python for Warp's compiler only.
# pyright: reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any, no_type_check

import torch
import warp as wp
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.backends.tracing.interface import Hits
from relight3d.backends.tracing.rays import no_hits, single_precision
from relight3d.core.surface import Mesh

wp.config.log_level = wp.LOG_ERROR  # a banner and compile times on stdout otherwise


def warp_version() -> str:
    """Of NVIDIA Warp."""
    return wp.__version__


@no_type_check  # in tests: a kernel is never called
@wp.kernel(enable_backward=False)
def _occluded(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    limit: wp.array(dtype=float),
    found: wp.array(dtype=wp.bool),
):
    i = wp.tid()
    found[i] = wp.mesh_query_ray_anyhit(mesh, origins[i], directions[i], limit[i])


@no_type_check  # in tests: a kernel is never called
@wp.kernel(enable_backward=False)
def _nearest(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    limit: wp.array(dtype=float),
    distance: wp.array(dtype=float),
    triangle: wp.array(dtype=wp.int64),
    barycentrics: wp.array(dtype=wp.vec2),
):
    i = wp.tid()
    query = wp.mesh_query_ray(mesh, origins[i], directions[i], limit[i])
    if query.result:
        distance[i] = query.t
        triangle[i] = wp.int64(query.face)
        # Warp gives the weights of the first and the second corner.
        barycentrics[i] = wp.vec2(query.v, 1.0 - query.u - query.v)


class WarpTracer:
    """`interface.Tracer` on the mesh's device; rays elsewhere are brought there and back."""

    def __init__(self, mesh: Mesh) -> None:
        """Copy the mesh and build its hierarchy."""
        wp.init()  # not on import: it looks for CUDA's driver and complains if there is none
        self._device = mesh.vertices.device
        self._mesh = None
        if len(mesh) > 0:
            points = mesh.vertices.detach().to(torch.float32, copy=True).contiguous()
            corners = mesh.faces.to(self._device, torch.int32).flatten().contiguous()
            with self._stream():
                self._mesh = wp.Mesh(
                    wp.from_torch(points, dtype=wp.vec3), indices=wp.from_torch(corners)
                )

    @torch.no_grad()
    def occluded(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Bool[Tensor, " R"]:
        """See `interface.Tracer.occluded`."""
        found = torch.zeros(len(origins), dtype=torch.bool, device=self._device)
        self._launch(_occluded, origins, directions, far, wp.from_torch(found))
        return found.to(origins.device)

    @torch.no_grad()
    def hit(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Hits:
        """See `interface.Tracer.hit`."""
        hits = no_hits(origins.to(self._device, torch.float32))
        self._launch(
            _nearest, origins, directions, far, wp.from_torch(hits.distance),
            wp.from_torch(hits.triangle), wp.from_torch(hits.barycentrics, dtype=wp.vec2),
        )  # fmt: skip
        return Hits(
            hits.distance.to(origins),
            hits.triangle.to(origins.device),
            hits.barycentrics.to(origins),
        )

    def _launch(
        self,
        kernel: Any,
        origins: Tensor,
        directions: Tensor,
        far: Tensor | None,
        *outputs: wp.array,
    ) -> None:
        """Run a kernel over the rays; its outputs keep what they hold where nothing is hit."""
        if self._mesh is None or len(origins) == 0:
            return
        start, along, limit = single_precision(origins, directions, far, self._device)
        inputs = [
            self._mesh.id,
            wp.from_torch(start, dtype=wp.vec3),
            wp.from_torch(along, dtype=wp.vec3),
            wp.from_torch(limit),
        ]
        with self._stream():
            wp.launch(
                kernel, len(start), inputs, list(outputs), device=wp.device_from_torch(self._device)
            )

    def _stream(self) -> wp.ScopedStream:
        """Torch's own stream, so that neither library waits for the other; none on the CPU."""
        on_gpu = self._device.type == "cuda"
        stream = torch.cuda.current_stream(self._device) if on_gpu else None
        return wp.ScopedStream(wp.stream_from_torch(stream) if stream is not None else None)
