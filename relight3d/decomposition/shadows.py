"""Traced visibility; lookups by whichever code serves the tensors: the CPU kernel, else torch."""

from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.backends.fused import kernel_serves
from relight3d.shading import shadow_map, visibility
from relight3d.shading.shadow_map import ShadowMaps


def lit_fraction(
    maps: ShadowMaps,
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"] | None,
    bias: float,
) -> tuple[Float[Tensor, "C N"], Bool[Tensor, "C N"]]:
    """`shading.shadow_map.lit_fraction`, of tensors of any type and on any device."""
    cameras, receivers = maps.cameras, [points] if normals is None else [points, normals]
    poses = cameras.world_to_camera, cameras.intrinsics
    if kernel_serves(maps.drawn, maps.alpha, *poses, *receivers):
        from relight3d.backends.cpu.shadow import lit_fraction as compiled

        return compiled(cameras, maps.drawn, maps.alpha, points, normals, bias)
    return shadow_map.lit_fraction(maps, points, normals, bias)


trace_visibility = partial(visibility.trace_visibility, look_up=lit_fraction)
point_light_visibility = partial(visibility.point_light_visibility, look_up=lit_fraction)
