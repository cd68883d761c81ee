import numpy as np
import pytest
import torch

from relight3d.core.color import linear_from_srgb
from relight3d.core.surface import Mesh, interpolate
from relight3d.core.types import Asset
from relight3d.export.atlas import Atlas, unwrap
from relight3d.export.tangents import vertex_tangents
from relight3d.export.texels import chart_texels
from relight3d.export.texture import PbrTextures, bake_textures
from tests.export.surfaces import (
    albedo_at,
    box_mesh,
    metallic_at,
    roughness_at,
    sphere_mesh,
    surface_asset,
)


def bake(mesh: Mesh, asset: Asset, normals: torch.Tensor) -> tuple[Atlas, Mesh, PbrTextures]:
    assert asset.materials is not None
    atlas = unwrap(mesh, 256)
    cut = Mesh(mesh.vertices[atlas.vertex], atlas.faces)
    normals = normals[atlas.vertex]
    tangents = vertex_tangents(cut.vertices, normals, atlas.uv, atlas.faces)
    gaussians = asset.splats.gaussians()
    baked = bake_textures(cut, normals, tangents, atlas, gaussians, asset.materials, 0.02)
    return atlas, cut, baked


@pytest.fixture(scope="module")
def sphere():
    mesh = sphere_mesh()
    return bake(mesh, surface_asset(mesh, normals=lambda p: p / p.norm(dim=-1, keepdim=True)),
                mesh.vertices)  # fmt: skip


def shown(picture: np.ndarray, atlas: Atlas, mesh: Mesh) -> tuple[torch.Tensor, torch.Tensor]:
    """Values of the texels inside charts, in [0, 1], and the points they show."""
    texels = chart_texels(atlas.uv, atlas.faces, atlas.size_px)
    inside = texels.inside
    values = torch.from_numpy(picture).flatten(0, 1)[texels.index[inside]] / 255
    points = interpolate(
        mesh.vertices, mesh.faces, texels.triangle[inside], texels.barycentrics[inside]
    )
    return values, points


def test_colours_are_those_of_the_splats_there(sphere):
    atlas, mesh, baked = sphere
    albedo, points = shown(baked.base_color_srgb, atlas, mesh)
    error = (linear_from_srgb(albedo) - albedo_at(points)).abs()
    assert error.mean() < 0.01
    assert error.max() < 0.06
    surface, _ = shown(baked.metallic_roughness, atlas, mesh)
    assert (surface[:, 0] == 1).all()
    assert (surface[:, 1:2] - roughness_at(points)).abs().mean() < 0.01
    sure = (points[:, 2] - 0.5).abs() > 0.2  # within reach of the step both kinds of splats count
    assert (surface[sure, 2:] - metallic_at(points)[sure]).abs().max() < 0.01


def test_a_smooth_sphere_needs_no_bumps(sphere):
    atlas, mesh, baked = sphere
    normal, _ = shown(baked.normal, atlas, mesh)
    upright = (2 * normal - 1)[:, 2]
    assert upright.mean() > 0.999
    assert upright.min() > 0.97  # 14 degrees: a lone splat three standard deviations away


def test_splat_normals_come_through_the_texture():
    """The splats all lean toward +x; what a viewer makes of the texture leans so too."""
    mesh = box_mesh(3)
    asset = surface_asset(mesh)
    assert asset.materials is not None
    flat = asset.materials.normals.clone()
    lean = torch.nn.functional.normalize(flat + torch.tensor([0.3, 0.0, 0.0]), dim=-1)
    asset.materials.normals.copy_(lean)
    top = mesh.face_normals()[:, 2] > 0.9
    plane = Mesh(mesh.vertices, mesh.faces[top])
    up = torch.tensor([[0.0, 0, 1]]).repeat(len(mesh.vertices), 1)
    atlas, cut, baked = bake(plane, asset, up)
    normal, _ = shown(baked.normal, atlas, cut)
    tangents = vertex_tangents(cut.vertices, up[atlas.vertex], atlas.uv, atlas.faces)
    along, hand = tangents[0, :3], tangents[0, 3]
    across = torch.cross(up[0], along, dim=-1) * hand
    local = 2 * normal - 1
    back = local[:, :1] * along + local[:, 1:2] * across + local[:, 2:] * up[0]
    wanted = torch.tensor([0.3, 0.0, 1.0]) / 1.09**0.5
    middle = back.median(0).values
    torch.testing.assert_close(middle, wanted, atol=0.02, rtol=0)


def test_both_sides_of_every_seam_agree(sphere):
    """Points on a seam, looked up bilinearly through either chart, have one colour."""
    atlas, _, baked = sphere
    edges = torch.cat([atlas.faces[:, [0, 1]], atlas.faces[:, [1, 2]], atlas.faces[:, [2, 0]]])
    owners: dict[tuple[int, int], list[torch.Tensor]] = {}
    for edge in edges:
        one, two = atlas.vertex[edge].tolist()
        middle = atlas.uv[edge].mean(0)
        owners.setdefault((min(one, two), max(one, two)), []).append(middle)
    pairs = [pair for pair in owners.values() if (pair[0] - pair[1]).abs().max() > 0.01]
    assert len(pairs) > 10
    picture = torch.from_numpy(baked.base_color_srgb).float().permute(2, 0, 1)[None]
    sides = [
        torch.nn.functional.grid_sample(
            picture, torch.stack([pair[side] for pair in pairs])[None, None] * 2 - 1,
            padding_mode="border", align_corners=False,
        )
        for side in (0, 1)
    ]  # fmt: skip
    assert (sides[0] - sides[1]).abs().max() < 4  # of 255


def test_where_no_splat_reaches_the_nearest_one_speaks():
    mesh = box_mesh(2)
    asset = surface_asset(mesh, count=40, radius=0.01)
    assert asset.materials is not None
    asset.materials.albedo_linear[:] = torch.tensor([0.2, 0.4, 0.6])
    atlas, cut, baked = bake(mesh, asset, mesh.vertex_normals())
    albedo, _ = shown(baked.base_color_srgb, atlas, cut)
    wanted = torch.tensor([0.2, 0.4, 0.6]).expand_as(albedo)
    torch.testing.assert_close(linear_from_srgb(albedo), wanted, atol=0.005, rtol=0)
    normal, _ = shown(baked.normal, atlas, cut)
    assert ((2 * normal - 1)[:, 2].median()) > 0.99
