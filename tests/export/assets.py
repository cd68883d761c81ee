"""A small random asset for export tests."""

import torch

from relight3d.core.types import Asset, Materials, Splats


def random_asset(count: int = 20, degree: int = 3, materials: bool = True) -> Asset:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def unit(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(values, dim=-1)

    splats = Splats(
        means=normal(count, 3),
        quats_wxyz=unit(normal(count, 4)),
        log_scales=normal(count, 3) - 3,
        opacity_logits=normal(count),
        sh=0.3 * normal(count, (degree + 1) ** 2, 3),
    )
    surface = Materials(
        albedo_linear=normal(count, 3).sigmoid(),
        roughness=normal(count, 1).sigmoid(),
        metallic=normal(count, 1).sigmoid(),
        normals=unit(normal(count, 3)),
        progress=normal(count, 1).sigmoid(),
        double_sided=normal(count, 1).sigmoid(),
    )
    return Asset(splats, surface if materials else None, {}, None, exposure=1.25)
