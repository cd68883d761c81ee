import json
import os
import subprocess
import sys

import pytest

from relight3d.core.errors import CaptureError, CheckpointError, OutputError
from relight3d.pipeline.run_folder import Mode, RunFolder, hold_run, open_run
from relight3d.pipeline.run_settings import origin_of, stored_config

SETTINGS = {"seed": 0, "field": {"steps": 10}}


def begin(path, settings=SETTINGS, mode: Mode = "new"):
    with open_run(path, settings, mode, {"versions": {}}) as run:
        return run


def test_new_then_resume_then_overwrite(tmp_path):
    run = begin(tmp_path / "run")
    assert run.read_config() == {"settings": SETTINGS, "versions": {}}
    run.update_record({"stages": {"fit": 1}})
    run.update_record({"stages": {"decompose": 2}, "status": "done"})
    assert run.read_record() == {"stages": {"fit": 1, "decompose": 2}, "status": "done"}
    with pytest.raises(OutputError, match="already holds a run"):
        begin(tmp_path / "run")
    assert begin(tmp_path / "run", mode="resume").read_record()["status"] == "done"
    other = {"seed": 1, "field": {"steps": 10}}
    with pytest.raises(CheckpointError, match="seed is 1 now, was 0 then"):
        begin(tmp_path / "run", other, "resume")
    (tmp_path / "run" / "mine.txt").write_text("kept")
    run = begin(tmp_path / "run", other, "overwrite")
    assert run.read_record() == {}
    assert run.read_config()["settings"] == other
    assert (tmp_path / "run" / "mine.txt").exists()


@pytest.mark.parametrize("mode", ["new", "resume", "overwrite"])
def test_a_folder_with_other_things_is_left_alone(tmp_path, mode):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"photo\.jpg"):
        begin(tmp_path, mode=mode)
    assert (tmp_path / "photo.jpg").exists()
    with pytest.raises(OutputError, match="is a file"):
        begin(tmp_path / "photo.jpg", mode=mode)


def test_one_process_at_a_time(tmp_path):
    program = (
        "import sys; from pathlib import Path; from tests.pipeline.test_run_folder import begin\n"
        "try: begin(Path(sys.argv[1]), mode='resume')\n"
        "except Exception as error: print(error)"
    )
    with open_run(tmp_path / "run", SETTINGS, "new", {}):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "run")],
            capture_output=True,
            text=True,
            check=True,
        )
    assert "Another process is working" in done.stdout, done.stderr
    assert begin(tmp_path / "run", mode="resume").config_path.exists()


def test_not_a_run(tmp_path):
    with pytest.raises(CheckpointError, match="not the folder of a run"):
        RunFolder(tmp_path).read_config()
    (tmp_path / "config.json").write_text('{"settings": ')
    with pytest.raises(CheckpointError, match="damaged"):
        RunFolder(tmp_path).read_config()
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="damaged"):
        RunFolder(tmp_path).read_config()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission"):
        begin(tmp_path / "run")


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_that_did_not_begin_leaves_nothing(tmp_path, exists):
    if exists:
        (tmp_path / "run").mkdir()
    with (
        pytest.raises(CaptureError),
        open_run(tmp_path / "run", SETTINGS, "new", {}) as run,
    ):
        run.update_record({"status": "running"})
        raise CaptureError("photo 3 is gone")
    assert list(tmp_path.rglob("*")) == ([tmp_path / "run"] if exists else [])


def test_a_run_that_began_is_kept(tmp_path):
    with pytest.raises(CaptureError), open_run(tmp_path / "run", SETTINGS, "new", {}) as run:
        run.checkpoint_path("fit").write_bytes(b"x")
        raise CaptureError("photo 3 is gone")
    with pytest.raises(CaptureError), open_run(tmp_path / "run", SETTINGS, "resume", {}):
        raise CaptureError("photo 3 is gone")
    assert run.config_path.exists()


def test_resuming_notes_where_the_capture_is_now(tmp_path):
    for place in ("old", "new"):
        (tmp_path / place).mkdir()
        settings = {**SETTINGS, "inputs": {"hold_out": 8}}
        about = {"capture_path": str(tmp_path / place), "start_path": None}
        with open_run(tmp_path / "run", settings, "resume", about) as run:
            assert origin_of(run).capture == tmp_path / place
    assert origin_of(run).hold_out == 8
    (tmp_path / "new").rmdir()
    with pytest.raises(CheckpointError, match=r"new, which is not there.*--resume"):
        origin_of(run)


INPUTS = {"hold_out": 0}


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "hold_out"),
        ({"settings": [], "capture_path": "."}, "hold_out"),
        ({"settings": {"inputs": {"hold_out": "x"}}, "capture_path": "."}, "hold_out"),
        ({"settings": {"inputs": INPUTS}}, "capture_path"),
        ({"settings": {"inputs": INPUTS}, "capture_path": 3}, "capture_path"),
        ({"settings": {"inputs": INPUTS}, "capture_path": ".", "start_path": 3}, "start_path"),
    ],
)
def test_a_damaged_config_names_the_field(tmp_path, config, field):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"config\.json has no usable .*{field}"):
        origin_of(RunFolder(tmp_path))


def test_damaged_settings_and_records_say_what_to_do(tmp_path):
    (tmp_path / "config.json").write_text('{"settings": null}')
    with pytest.raises(CheckpointError, match=r"no usable 'settings'.*--overwrite"):
        stored_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="restore the file"):
        stored_config(tmp_path)
    for text in ("", "[]", '{"stages": []}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"run\.json.*remove it.*--resume"):
            RunFolder(tmp_path).read_record()


def test_names_no_disk_takes(tmp_path):
    with pytest.raises(OutputError, match="too long"):
        begin(tmp_path / ("x" * 300))


def test_a_run_that_cannot_be_locked(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OutputError, match="Could not write in the run folder"), hold_run(tmp_path):
        pass
