"""Split-sum shading in the compiled kernel, as a differentiable function.

What `shading.deferred.shade` computes where irradiance is given, in one pass over the pixels, whose
channels are kept and returned in planes. float32 on the CPU only. The number of threads changes no
bit.
"""

from math import cos, sin

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from relight3d.backends.cpu import library
from relight3d.core.conventions import DIELECTRIC_F0

# pyright: reportIncompatibleMethodOverride=false, reportReturnType=false


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, albedo, roughness, metallic, normal, view, irradiance, visibility, *light):
        *tensors, levels = light
        channels = (albedo, roughness, metallic, normal, view, irradiance, visibility)
        inputs = (*map(_planes, channels), *tensors)
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        _, atlas, table, _ = tensors
        threads = library.get_num_threads()
        ctx.sizes = (len(albedo), levels, *atlas.shape[-2:], table.shape[-1], threads)
        diffuse, specular = (albedo.new_empty(3, len(albedo)) for _ in range(2))
        library.call("r3d_shade", *inputs, *ctx.sizes, diffuse, specular)
        return diffuse.t(), specular.t()

    @staticmethod
    @once_differentiable
    def backward(ctx, v_diffuse, v_specular):
        inputs = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[: len(inputs)])
        wanted[5] &= v_diffuse is not None
        gradients = [
            torch.empty_like(tensor) if wish else None
            for tensor, wish in zip(inputs, wanted, strict=True)
        ]
        library.call(
            "r3d_shade_backward", *inputs, *ctx.sizes, _planes(v_diffuse), _planes(v_specular),
            *gradients[:4], *gradients[5:9],
        )  # fmt: skip
        of_pixels = [None if v is None else v.t() for v in gradients[:7]]
        return *of_pixels, *gradients[7:9], None, None, None


def _planes(values: Tensor | None) -> Tensor | None:
    """[P, channels] as [channels, P]; a copy only where they are not in planes yet."""
    return None if values is None else values.t().contiguous()


def shade(
    albedo: Float[Tensor, "P 3"],
    roughness: Float[Tensor, "P 1"],
    metallic: Float[Tensor, "P 1"],
    normal: Float[Tensor, "P 3"],
    view: Float[Tensor, "P 3"],
    irradiance: Float[Tensor, "P 3"],
    visibility: Float[Tensor, "P 1"] | None,
    surroundings: Float[Tensor, "3"] | None,
    atlas: Float[Tensor, "1 3 RH Wpad"],
    levels: int,
    rotation_rad: float,
    table: Float[Tensor, "1 6 S S"],
    min_cosine: float,
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Diffuse and specular linear radiance under an environment.

    Differentiable once in all tensors but `view` and `table`, which are constants.

    Args:
        albedo: As all of a surface, see `shading.deferred.GBuffer`.
        roughness: Perceptual, in [0, 1].
        metallic: In [0, 1].
        normal: Unit.
        view: Unit, toward the camera.
        irradiance: What arrives at the surface.
        visibility: Share of the reflected lobe that is unoccluded; None: all of it.
        surroundings: Radiance of what occludes the rest; None: black.
        atlas: As all of a light, see `shading.prefilter.PrefilteredEnvironment`.
        levels: At least 2, each of at least 2 rows.
        rotation_rad: Turn of the light, counter-clockwise about +z.
        table: See `shading.environment_brdf`.
        min_cosine: Least n.v.
    """
    count = len(albedo)
    shapes = [tuple(t.shape) for t in (albedo, roughness, metallic, normal, view, irradiance)]
    assert shapes == [(count, size) for size in (3, 1, 1, 3, 3, 3)], shapes
    assert visibility is None or visibility.shape == (count, 1), visibility.shape
    assert surroundings is None or surroundings.shape == (3,), surroundings.shape
    assert atlas.shape[:2] == (1, 3) and atlas.shape[3] >= 3, atlas.shape
    assert levels >= 2 and atlas.shape[2] % levels == 0, (atlas.shape, levels)
    assert atlas.shape[2] >= 2 * levels and atlas.numel() < 2**28, atlas.shape
    assert table.shape[:2] == (1, 6) and table.shape[2] == table.shape[3] >= 2, table.shape
    turn = [cos(-rotation_rad), sin(-rotation_rad)]
    return _Shade.apply(
        albedo, roughness, metallic, normal, view.detach(), irradiance, visibility,
        None if surroundings is None else surroundings.contiguous(), atlas.contiguous(),
        table.detach().contiguous(), torch.tensor([*turn, DIELECTRIC_F0, min_cosine]), levels,
    )  # fmt: skip
