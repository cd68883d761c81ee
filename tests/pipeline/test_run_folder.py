import os
import subprocess
import sys

import pytest

from relight3d.core.errors import CheckpointError, OutputError
from relight3d.pipeline.run_folder import Mode, RunFolder, open_run

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
