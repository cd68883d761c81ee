"""Checkpoints: named tensors and a JSON record in one safetensors file, whole or not at all.

The record lies in the file's own metadata, so tensors and record can never disagree. A checksum
over the tensors finds a file that was cut off or changed. Nothing in the file is ever executed.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from relight3d.core.errors import CheckpointError, OutputError

FORMAT = "relight3d checkpoint"
VERSION = 1


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and record; the previous file stays until the new one is on the disk.

    Args:
        path: Where; its folder exists.
        tensors: Of any device and layout; stored contiguous.
        meta: JSON values only (tuples come back as lists).

    Raises:
        OutputError: The disk is full or the folder cannot be written; the old file is untouched.
    """
    stored = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    record = {"version": VERSION, "checksum": _checksum(stored), "meta": meta}
    temporary = path.with_name(f".{path.name}.partial")
    try:
        save_file(stored, temporary, metadata={FORMAT: json.dumps(record)})
        temporary.chmod(0o666 & ~_umask())  # the library makes it private
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"Could not write the checkpoint {path}: {error}. Nothing half written was left, and "
            "an earlier checkpoint is as it was. Free some space or mend the folder's permissions, "
            "then continue with --resume."
        ) from error


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote: tensors on the CPU, and the record.

    Raises:
        CheckpointError: The file is missing, cut off, damaged, of another version, or not ours.
    """
    if not path.is_file():
        raise CheckpointError(
            f"There is no checkpoint {path}. Give the folder of a run that was started before."
        )
    try:
        path.open("rb").close()  # the library calls every refusal a missing file
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}. Mend its permissions, or check the disk."
        ) from error
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            version = _record(path, header)["version"]
            if version != VERSION:
                raise CheckpointError(
                    f"{path} is a checkpoint of format version {version}; this program reads "
                    f"version {VERSION}. Use the program that wrote it, or start again."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({error}): it is cut off or not a checkpoint. "
            "Remove it to repeat this stage from its start."
        ) from error
    record = _record(path, header)
    if _checksum(tensors) != record.get("checksum") or not isinstance(record.get("meta"), dict):
        raise CheckpointError(
            f"{path} is damaged: its checksum does not fit its content. "
            "Remove it to repeat this stage from its start."
        )
    return tensors, record["meta"]


def require_same_settings(
    where: Path, wanted: Mapping[str, Any], found: Mapping[str, Any], advice: str
) -> None:
    """Refuse to continue something that was begun with other settings.

    Raises:
        CheckpointError: Names every differing field, both values, and ends with `advice`.
    """
    wanted = json.loads(json.dumps(wanted))
    differing = _differences(wanted, found, "")
    if differing:
        raise CheckpointError(
            f"{where} was made with another configuration: {'; '.join(differing)}. {advice}"
        )


def _differences(wanted: Any, found: Any, path: str) -> list[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = [*wanted, *(name for name in found if name not in wanted)]
        return [
            line
            for name in names
            for line in _differences(
                wanted.get(name, "absent"), found.get(name, "absent"), f"{path}.{name}".strip(".")
            )
        ]
    return [] if wanted == found else [f"{path} is {wanted} now, was {found} then"]


def _record(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    """The JSON record in a safetensors header."""
    try:
        record = json.loads(header[FORMAT])
        if isinstance(record, dict) and "version" in record:
            return record
    except (KeyError, ValueError, RecursionError):
        pass
    raise CheckpointError(
        f"{path} is a safetensors file, but not a checkpoint of this program. "
        "Give a file from the `checkpoints` folder of a run."
    )


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 over names, types, shapes and bytes."""
    value = 0
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return value


def _umask() -> int:
    """Permissions that new files do not get; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
