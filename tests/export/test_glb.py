"""What foreign readers find in our .glb files."""

import io
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pygltflib
import pytest
import torch
import trimesh
from trimesh.visual.color import uv_to_color

from relight3d.core.errors import ConfigurationError, OutputError
from relight3d.core.surface import Mesh
from relight3d.core.views import Similarity
from relight3d.export import glb as glb_module
from relight3d.export.glb import Y_UP, gltf_from_capture, is_closed, write_glb
from tests.export.surfaces import BOX, albedo_at, box_mesh, roughness_at, surface_asset, without

HALF_TURN = np.array(
    [[math.cos(0.4), 0, math.sin(0.4)], [0, 1, 0], [-math.sin(0.4), 0, math.cos(0.4)]]
)
NORMALISATION = Similarity(HALF_TURN, np.array([0.5, -1.0, 2.0]), 0.25)
"""The source is four times as large as the capture, elsewhere, and leans."""


@pytest.fixture(scope="module")
def asset() -> Any:
    return surface_asset(box_mesh())


@pytest.fixture(scope="module")
def plain(asset, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "box.glb"
    write_glb(path, asset)
    return path


def as_mesh(path: Path) -> Any:
    """By trimesh, with its texture, vertices as they are."""
    return trimesh.load(path, force="mesh", process=False)


def opened_file(path: Path) -> Any:
    """By pygltflib."""
    return pygltflib.GLTF2().load(str(path))


def array(file: Any, index: int) -> np.ndarray:
    accessor = file.accessors[index]
    view = file.bufferViews[accessor.bufferView]
    kinds = {5126: "<f4", 5125: "<u4", 5123: "<u2"}
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor.type]
    blob = file.binary_blob()
    values = np.frombuffer(blob, kinds[accessor.componentType], accessor.count * width,
                           view.byteOffset)  # fmt: skip
    return values.reshape(-1, width) if width > 1 else values


def image(file: Any, texture: int) -> np.ndarray:
    view = file.bufferViews[file.images[file.textures[texture].source].bufferView]
    blob = file.binary_blob()
    data = blob[view.byteOffset : view.byteOffset + view.byteLength]
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


def test_pygltflib_reads_every_part(plain, asset):
    file = opened_file(plain)
    assert file.asset.generator.startswith("relight3d ")
    assert file.asset.extras["relight3d"]["exposure"] == 1.5
    (primitive,) = file.meshes[0].primitives
    names = ("POSITION", "NORMAL", "TANGENT", "TEXCOORD_0")
    found = {name: array(file, getattr(primitive.attributes, name)) for name in names}
    count = len(found["POSITION"])
    assert [values.shape for values in found.values()] == [(count, n) for n in (3, 3, 4, 2)]
    indices = array(file, primitive.indices)
    assert len(indices) == 3 * len(asset.proxy.mesh)
    assert indices.max() == count - 1
    position = file.accessors[primitive.attributes.POSITION]
    np.testing.assert_array_equal(position.min, found["POSITION"].min(0))
    np.testing.assert_array_equal(position.max, found["POSITION"].max(0))
    np.testing.assert_allclose(np.linalg.norm(found["NORMAL"], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found["TANGENT"][:, :3], axis=1), 1, atol=1e-6)
    assert set(np.abs(found["TANGENT"][:, 3])) == {1.0}
    assert found["TEXCOORD_0"].min() >= 0 and found["TEXCOORD_0"].max() <= 1
    assert file.nodes[0].rotation is None and file.nodes[0].matrix is None
    material = file.materials[0]
    assert material.doubleSided is False  # nobody can look into a closed box
    assert image(file, material.normalTexture.index).shape == image(file, 0).shape


def test_z_up_becomes_y_up(plain):
    """The box's corner is at the origin: its edges lie along +x, -z (our +y) and +y (our +z)."""
    loaded = as_mesh(plain)
    x, y, z = BOX.tolist()
    np.testing.assert_allclose(loaded.bounds, [[0, 0, -y], [x, z, 0]], atol=1e-6)
    np.testing.assert_allclose(loaded.volume, x * y * z, rtol=1e-5)  # positive: winding is kept


def test_normals_point_out(plain):
    loaded = as_mesh(plain)
    offset = loaded.vertices - loaded.bounds.mean(0)
    assert ((loaded.vertex_normals * offset).sum(1) > 0).all()
    np.testing.assert_allclose(np.linalg.det(Y_UP), 1)


def test_size_and_place_of_the_source_upright_as_the_capture(asset, tmp_path):
    write_glb(tmp_path / "a.glb", asset, NORMALISATION)
    loaded = as_mesh(tmp_path / "a.glb")
    source = NORMALISATION.inverse().apply(asset.proxy.mesh.vertices.double().numpy())
    upright = source @ NORMALISATION.rotation.T  # as the capture stands
    wanted = np.stack([upright[:, 0], upright[:, 2], -upright[:, 1]], -1)
    np.testing.assert_allclose(loaded.bounds, [wanted.min(0), wanted.max(0)], atol=1e-5)
    np.testing.assert_allclose(loaded.extents, 4 * BOX.numpy()[[0, 2, 1]], rtol=1e-6)
    file = opened_file(tmp_path / "a.glb")
    turn = np.array(file.asset.extras["relight3d"]["gltf_from_source_rotation"])
    np.testing.assert_allclose(source @ turn.T, wanted, atol=1e-9)
    move = gltf_from_capture(NORMALISATION)
    np.testing.assert_allclose(
        move.apply(asset.proxy.mesh.vertices.double().numpy()), wanted, atol=1e-9
    )


def test_colours_at_known_places(plain):
    """By trimesh's own texture lookup at the middles of triangles (its uv run up)."""
    loaded = as_mesh(plain)
    uv = loaded.visual.uv[loaded.faces].mean(1)
    gltf = loaded.vertices[loaded.faces].mean(1)
    ours = torch.from_numpy(gltf @ Y_UP).float()  # the inverse of a rotation is its transpose
    material = loaded.visual.material
    color = uv_to_color(uv, material.baseColorTexture)[:, :3] / 255
    linear = np.where(color > 0.04045, ((color + 0.055) / 1.055) ** 2.4, color / 12.92)
    error = np.abs(linear - albedo_at(ours).numpy())
    surface = uv_to_color(uv, material.metallicRoughnessTexture)[:, :3] / 255
    error = np.concatenate([error, np.abs(surface[:, 1:2] - roughness_at(ours).numpy())], 1)
    assert error.mean() < 0.01
    assert np.quantile(error, 0.99) < 0.05  # discs are strewn at random: some places see few


def test_open_surfaces_are_seen_from_both_sides(asset, tmp_path):
    mesh = asset.proxy.mesh
    lid_off = Mesh(mesh.vertices, mesh.faces[mesh.face_normals()[:, 2] < 0.9])
    assert is_closed(mesh) and not is_closed(lid_off)
    opened = without(asset, proxy=without(asset.proxy, mesh=lid_off))
    write_glb(tmp_path / "a.glb", opened)
    file = opened_file(tmp_path / "a.glb")
    assert file.materials[0].doubleSided is True


def test_the_same_bytes_every_time(plain, asset, tmp_path):
    write_glb(tmp_path / "box.glb", asset)
    assert (tmp_path / "box.glb").read_bytes() == plain.read_bytes()


def test_the_container_is_as_specified(plain):
    data = plain.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0" and binary_size % 4 == 0
    assert 20 + size + 8 + binary_size == len(data)
    assert 0 <= binary_size - document["buffers"][0]["byteLength"] < 4
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])


def test_triangles_without_area_are_left_out(asset, tmp_path):
    mesh = asset.proxy.mesh
    extra = torch.cat([mesh.faces, torch.tensor([[0, 0, 1], [5, 5, 5]])])
    more = without(asset, proxy=without(asset.proxy, mesh=Mesh(mesh.vertices, extra)))
    write_glb(tmp_path / "a.glb", more)
    loaded = as_mesh(tmp_path / "a.glb")
    assert len(loaded.faces) == len(mesh)


def test_lost_normals_are_made_again(asset, tmp_path):
    normals = asset.proxy.normals.clone()
    normals[::2] = 0
    write_glb(tmp_path / "a.glb", without(asset, proxy=without(asset.proxy, normals=normals)))
    loaded = as_mesh(tmp_path / "a.glb")
    np.testing.assert_allclose(np.linalg.norm(loaded.vertex_normals, axis=1), 1, atol=1e-5)


def test_without_a_surface_or_materials_there_is_no_mesh(asset, tmp_path):
    for broken, words in (
        (without(asset, proxy=None), "no surface.*--preset cpu-traced"),
        (without(asset, materials=None), "no materials.*relight3d decompose"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            write_glb(tmp_path / "a.glb", broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("faces", [torch.zeros(0, 3, dtype=torch.int64), torch.tensor([[0, 0, 1]])])
def test_an_empty_surface_is_refused(asset, tmp_path, faces):
    empty = without(asset, proxy=without(asset.proxy, mesh=Mesh(asset.proxy.mesh.vertices, faces)))
    with pytest.raises(OutputError, match=r"a\.glb: the surface has \d triangles, none with"):
        write_glb(tmp_path / "a.glb", empty)
    assert list(tmp_path.iterdir()) == []


def test_a_diverged_surface_is_refused(asset, tmp_path):
    vertices = asset.proxy.mesh.vertices.clone()
    vertices[3, 1] = torch.nan
    broken = without(asset, proxy=without(asset.proxy, mesh=Mesh(vertices, asset.proxy.mesh.faces)))
    with pytest.raises(OutputError, match="diverged"):
        write_glb(tmp_path / "a.glb", broken)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_alone(asset, tmp_path, monkeypatch):
    path = tmp_path / "a.glb"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("relight3d.export.glb_container.struct.pack", full)
    monkeypatch.setattr(glb_module, "bake_textures", _no_pictures)
    with pytest.raises(OutputError, match="disk is full"):
        write_glb(path, asset)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _no_pictures(*_) -> glb_module.PbrTextures:
    grey = np.full((2, 2, 3), 128, np.uint8)
    return glb_module.PbrTextures(grey, grey, grey)
