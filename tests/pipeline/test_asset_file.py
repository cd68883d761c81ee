import dataclasses

import pytest
import torch

from relight3d.core.checkpoint import load_checkpoint, save_checkpoint
from relight3d.core.errors import CheckpointError
from relight3d.core.surface import SurfaceMaterials
from relight3d.core.types import EnvironmentLight
from relight3d.pipeline.asset_file import load_asset, save_asset
from tests.export.assets import random_asset
from tests.export.surfaces import box_mesh, surface_asset


def assert_same(one, other) -> None:
    """The same record, tensor by tensor."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    else:
        assert one == other


@pytest.fixture
def asset():
    return dataclasses.replace(
        surface_asset(box_mesh(2), count=30),
        environments={"day": EnvironmentLight(torch.rand(4, 8, 3))},
        visibility_sh=torch.rand(30, 9),
    )


def with_vertex_materials(asset):
    count = len(asset.proxy.mesh.vertices)
    materials = SurfaceMaterials(torch.rand(count, 3), torch.rand(count, 1), torch.rand(count, 1))
    return dataclasses.replace(
        asset, proxy=dataclasses.replace(asset.proxy, voxel=0.1, materials=materials)
    )


def test_everything_comes_back(tmp_path, asset):
    for index, one in enumerate((random_asset(), asset, with_vertex_materials(asset))):
        path = tmp_path / f"{index}.safetensors"
        save_asset(path, one)
        assert_same(load_asset(path), one)


def test_an_asset_without_a_surface_has_none(tmp_path):
    """As every file of earlier versions."""
    save_asset(tmp_path / "a.safetensors", random_asset())
    assert load_asset(tmp_path / "a.safetensors").proxy is None
    tensors, meta = load_checkpoint(tmp_path / "a.safetensors")
    assert not any(name.startswith("proxy") for name in tensors)
    assert "proxy_voxel" not in meta


@pytest.mark.parametrize("lost", ["proxy/faces", "proxy_materials/metallic", "proxy_voxel"])
def test_half_a_surface_is_refused(tmp_path, asset, lost):
    path = tmp_path / "a.safetensors"
    save_asset(path, with_vertex_materials(asset))
    tensors, meta = load_checkpoint(path)
    for record in (tensors, meta):
        record.pop(lost, None)
    save_checkpoint(path, tensors, meta)
    with pytest.raises(CheckpointError, match=lost.split("/")[-1].replace("proxy_", "")):
        load_asset(path)
