import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relight3d.core import checkpoint
from relight3d.core.checkpoint import load_checkpoint, require_same_settings, save_checkpoint
from relight3d.core.errors import CheckpointError, OutputError

TENSORS = {
    "means": torch.arange(12.0).reshape(4, 3),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 3),
    "flags": torch.tensor([True, False]),
    "half": torch.tensor([0.5, 2.0], dtype=torch.bfloat16),
    "turned": torch.arange(6.0).reshape(2, 3).T,
}
META = {"job": "fit", "steps_done": 3, "nested": {"rate": 1e-3, "range": [0.1, 0.9]}}


def test_round_trip(tmp_path):
    save_checkpoint(tmp_path / "c", TENSORS, META)
    tensors, meta = load_checkpoint(tmp_path / "c")
    assert meta == META
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    (tmp_path / "plain").touch()
    assert (tmp_path / "c").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_tensors_that_share_memory(tmp_path):
    whole = torch.arange(6.0)
    save_checkpoint(tmp_path / "c", {"whole": whole, "part": whole[2:4]}, {})
    assert load_checkpoint(tmp_path / "c")[0]["part"].tolist() == [2.0, 3.0]


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_cut_off(tmp_path, keep):
    path = tmp_path / "c"
    save_checkpoint(path, TENSORS, META)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="cut off"):
        load_checkpoint(path)


def test_changed_byte(tmp_path):
    path = tmp_path / "c"
    save_checkpoint(path, TENSORS, META)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_not_a_checkpoint(tmp_path):
    (tmp_path / "text").write_text("{}" * 100)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "text")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        load_checkpoint(tmp_path / "foreign")
    save_file({"a": torch.zeros(1)}, tmp_path / "odd", metadata={checkpoint.FORMAT: "[1]"})
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        load_checkpoint(tmp_path / "odd")


def test_what_the_system_refuses_is_not_called_damaged(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "c", TENSORS, META)

    def refuse(path, *arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=r"c cannot be read: Permission denied\. Mend"):
        load_checkpoint(tmp_path / "c")


def test_other_version(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 99)
    save_checkpoint(tmp_path / "c", TENSORS, META)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="version 99"):
        load_checkpoint(tmp_path / "c")


def test_other_settings_are_named(tmp_path):
    found = json.loads(json.dumps({"field": {"steps": 10, "range": (0.1, 0.9)}, "seed": 0}))
    require_same_settings(tmp_path, {"field": {"steps": 10, "range": (0.1, 0.9)}, "seed": 0},
                          found, "")  # fmt: skip
    with pytest.raises(CheckpointError, match=r"field\.steps is 20 now, was 10 then"):
        require_same_settings(tmp_path, {"field": {"steps": 20, "range": (0.1, 0.9)}, "seed": 0},
                              found, "")  # fmt: skip
    with pytest.raises(CheckpointError, match="backend is cpu now, was absent then"):
        require_same_settings(tmp_path, found | {"backend": "cpu"}, found, "")


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "c"
    save_checkpoint(path, TENSORS, {"steps_done": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(path, TENSORS, {"steps_done": 2})
    monkeypatch.undo()
    assert load_checkpoint(path)[1] == {"steps_done": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_full_disk(tmp_path):
    """A real refusal by the system: no file of this process may exceed 64 kB."""
    program = f"""
import resource, torch
from pathlib import Path
from relight3d.core.checkpoint import save_checkpoint
from relight3d.core.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
path = Path({str(tmp_path)!r}) / "c"
save_checkpoint(path, {{"a": torch.zeros(10)}}, {{}})
try:
    save_checkpoint(path, {{"a": torch.zeros(100000)}}, {{}})
except OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Could not write the checkpoint" in done.stdout, done.stderr
    assert load_checkpoint(tmp_path / "c")[0]["a"].shape == (10,)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
