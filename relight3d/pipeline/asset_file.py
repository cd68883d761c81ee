"""The result of a run as one file: an `Asset` as named tensors."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from relight3d.core.checkpoint import load_checkpoint, save_checkpoint
from relight3d.core.errors import CheckpointError
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
    save_checkpoint(path, tensors, {"kind": "asset", "exposure": asset.exposure})


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
    )


def _prefixed(group: str, record: Splats | Materials) -> dict[str, Tensor]:
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
