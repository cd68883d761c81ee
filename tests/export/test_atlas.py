import dataclasses
import sys
import types

import numpy as np
import pytest
import torch

from relight3d.core.errors import OutputError
from relight3d.core.surface import Mesh
from relight3d.export.atlas import (
    SIZES_PX,
    texture_size,
    triangle_areas,
    triangles_at_edges,
    unwrap,
)
from tests.export.surfaces import BOX, box_mesh, sphere_mesh


@pytest.fixture(scope="module")
def meshes():
    return {"box": box_mesh(), "sphere": sphere_mesh()}


@pytest.fixture(scope="module")
def atlases(meshes):
    return {name: unwrap(mesh, 256) for name, mesh in meshes.items()}


@pytest.mark.parametrize("name", ["box", "sphere"])
def test_the_triangles_stay_as_they_were(meshes, atlases, name):
    mesh, atlas = meshes[name], atlases[name]
    assert atlas.faces.shape == mesh.faces.shape
    assert torch.equal(atlas.vertex[atlas.faces], mesh.faces)
    assert set(atlas.vertex.tolist()) == set(mesh.faces.flatten().tolist())
    assert len(atlas.vertex) > len(mesh.vertices)  # a closed surface cannot be flat uncut


@pytest.mark.parametrize("name", ["box", "sphere"])
def test_inside_the_square_without_overlap(meshes, atlases, name):
    """Triangles counted at many random places of the texture: never two."""
    atlas = atlases[name]
    assert 0 <= atlas.uv.min() and atlas.uv.max() <= 1
    places = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b, c = atlas.uv.double()[atlas.faces].unbind(1)

    def side(p, q):
        edge, offset = (q - p), places[:, None] - p
        return edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0]

    sides = torch.stack([side(a, b), side(b, c), side(c, a)])
    hits = ((sides > 1e-9).all(0) | (sides < -1e-9).all(0)).sum(1)
    assert hits.max() == 1
    assert hits.float().mean() > 0.4  # and the texture is not wasted


def test_charts_stand_apart(atlases):
    """Vertices of different charts are some texels apart: filtering does not mix them."""
    atlas = atlases["box"]
    chart = torch.arange(len(atlas.vertex))
    for _ in range(len(atlas.vertex)):
        spread = chart[atlas.faces].amin(1, keepdim=True).expand(-1, 3)
        new = chart.scatter_reduce(0, atlas.faces.flatten(), spread.flatten(), "amin")
        if torch.equal(new, chart):
            break
        chart = new
    gaps = torch.cdist(atlas.uv, atlas.uv) * atlas.size_px
    assert len(chart.unique()) >= 6
    assert gaps[chart[:, None] != chart].min() > 3


def test_areas_are_kept_in_proportion(meshes, atlases):
    mesh, atlas = meshes["box"], atlases["box"]
    flat = Mesh(torch.nn.functional.pad(atlas.uv, (0, 1)), atlas.faces)
    ratio = triangle_areas(flat) / triangle_areas(mesh)
    assert ratio.max() / ratio.min() < 1.1  # a box's charts are flat: nothing is stretched
    x, y, z = BOX.tolist()
    torch.testing.assert_close(triangle_areas(mesh).sum().item(), 2 * (x * y + y * z + z * x))


def test_the_same_every_time(meshes, atlases):
    again = unwrap(meshes["sphere"], 256)
    for field in dataclasses.fields(again):
        left, right = getattr(again, field.name), getattr(atlases["sphere"], field.name)
        assert left == right if field.name == "size_px" else torch.equal(left, right)


def test_edges_know_their_triangles():
    strip = torch.tensor([[0, 1, 2], [2, 1, 3]])
    assert triangles_at_edges(strip).tolist() == [[1, 2, 1], [2, 1, 1]]
    assert (triangles_at_edges(box_mesh(2).faces) == 2).all()


def test_size_grows_with_detail():
    sizes = [texture_size(count) for count in (12, 4_000, 20_000, 60_000, 10**8)]
    assert sizes == sorted(sizes)
    assert sizes[0] == SIZES_PX[0]
    assert sizes[2:] == [1024, 2048, SIZES_PX[-1]]


def test_what_needs_two_textures_is_refused(meshes, monkeypatch):
    class Full:
        atlas_count = 2

        def add_mesh(self, *_):
            pass

        def generate(self, *_):
            pass

    fake = types.SimpleNamespace(
        Atlas=Full, ChartOptions=types.SimpleNamespace, PackOptions=types.SimpleNamespace
    )
    monkeypatch.setitem(sys.modules, "xatlas", fake)
    with pytest.raises(OutputError, match="do not fit into one texture of 256"):
        unwrap(meshes["box"], 256)


def test_the_library_takes_what_we_give(meshes):
    """Its vertices are copies of ours: nothing was welded or moved."""
    mesh = meshes["box"]
    atlas = unwrap(mesh, 256)
    np.testing.assert_array_equal(
        mesh.vertices[atlas.vertex][atlas.faces], mesh.vertices[mesh.faces]
    )
