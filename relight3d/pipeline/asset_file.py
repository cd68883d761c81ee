"""The result of a run as one file: an `Asset` as named tensors."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relight3d.core.checkpoint import load_checkpoint, save_checkpoint
from relight3d.core.errors import CheckpointError
from relight3d.core.surface import Mesh, Proxy, SurfaceMaterials
from relight3d.core.types import Asset, EnvironmentLight, Materials, Splats


def save_asset(path: Path, asset: Asset) -> None:
    """Write an asset, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors = _prefixed("splats", asset.splats)
    if asset.materials is not None:
        tensors |= _prefixed("materials", asset.materials)
    if asset.visibility_sh is not None:
        tensors["visibility_sh"] = asset.visibility_sh
    for name, light in asset.environments.items():
        tensors[f"environment/{name}"] = light.radiance_linear
    meta: dict[str, Any] = {"kind": "asset", "exposure": asset.exposure}
    if asset.proxy is not None:
        tensors |= _proxy_tensors(asset.proxy)
        meta["proxy_voxel"] = asset.proxy.voxel
    save_checkpoint(path, tensors, meta)


def load_asset(path: Path, device: torch.device | str = "cpu") -> Asset:
    """Read what `save_asset` wrote.

    Raises:
        CheckpointError: Missing, damaged, or not an asset.
    """
    if not path.is_file():
        raise CheckpointError(
            f"There is no asset {path} yet: the run has not come to its end. Continue it with the "
            "command that began it and --resume."
        )
    stored, meta = load_checkpoint(path)
    if meta.get("kind") != "asset":
        raise CheckpointError(f"{path} is a checkpoint, but not an asset.")
    tensors = {name: tensor.to(device) for name, tensor in stored.items()}
    splats = _record(path, tensors, "splats", Splats)
    if splats is None:
        raise CheckpointError(f"{path} has no splats; the run is damaged.")
    return Asset(
        splats=splats,
        materials=_record(path, tensors, "materials", Materials),
        environments={
            name.split("/", 1)[1]: EnvironmentLight(tensor)
            for name, tensor in tensors.items()
            if name.startswith("environment/")
        },
        visibility_sh=tensors.get("visibility_sh"),
        exposure=float(meta["exposure"]),
        proxy=_proxy(path, tensors, meta),
    )


def _proxy_tensors(proxy: Proxy) -> dict[str, Tensor]:
    """Flat, beside the materials of its vertices: 'proxy/...', 'proxy_materials/...'."""
    own = {name: value for name, value in vars(proxy).items() if isinstance(value, Tensor)}
    tensors = {f"proxy/{name}": value for name, value in (vars(proxy.mesh) | own).items()}
    if proxy.materials is not None:
        tensors |= _prefixed("proxy_materials", proxy.materials)
    return tensors


def _proxy(path: Path, tensors: dict[str, Tensor], meta: Mapping[str, Any]) -> Proxy | None:
    """What `_proxy_tensors` stored; None in assets without."""
    own = _record(path, tensors, "proxy", _StoredProxy)
    if own is None:
        return None
    if "proxy_voxel" not in meta:
        raise CheckpointError(f"{path} has a surface, but not its voxel; the run is damaged.")
    return Proxy(
        mesh=Mesh(vertices=own.vertices, faces=own.faces),
        normals=own.normals,
        radiance_linear=own.radiance_linear,
        views=own.views,
        voxel=float(meta["proxy_voxel"]),
        materials=_record(path, tensors, "proxy_materials", SurfaceMaterials),
    )


@dataclasses.dataclass(frozen=True)
class _StoredProxy:
    """The tensors of a `Proxy`, flat."""

    vertices: Tensor
    faces: Tensor
    normals: Tensor
    radiance_linear: Tensor
    views: Tensor


def _prefixed(group: str, record: Splats | Materials | SurfaceMaterials) -> dict[str, Tensor]:
    return {f"{group}/{f.name}": getattr(record, f.name) for f in dataclasses.fields(record)}


def _record(path: Path, tensors: dict[str, Tensor], group: str, kind):
    """The dataclass `kind` from the tensors of a group; None if the group is absent."""
    names = [field.name for field in dataclasses.fields(kind)]
    found = {name: tensors[f"{group}/{name}"] for name in names if f"{group}/{name}" in tensors}
    if not found:
        return None
    if len(found) < len(names):
        missing = ", ".join(name for name in names if name not in found)
        raise CheckpointError(
            f"{path} lacks {group} {missing}: it was made by another version of relight3d. Make it "
            f"again: `relight3d decompose {path.parent} --overwrite`, or train anew."
        )
    return kind(**found)
