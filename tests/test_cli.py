import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relight3d import __version__, cli
from relight3d.cli.parsing import early_value, first_positional, resume_command
from relight3d.core.errors import CaptureError
from relight3d.pipeline import export as exporting
from relight3d.pipeline import render as rendering
from relight3d.pipeline.signals import Interrupted


def run_program(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "relight3d.cli", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_overview_names_every_command(capsys):
    assert cli.run([]) == 0
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in cli.COMMANDS)
    assert cli.run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_overview_loads_nothing_heavy():
    program = (
        "import sys; from relight3d import cli; cli.run(['--help'])\n"
        "heavy = {'torch', 'numpy', 'tyro', 'cv2', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_of_train_loads_no_torch():
    program = (
        "import sys; from relight3d import cli\n"
        "try: cli.run(['train', '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--field.steps" in done.stdout
    assert "--preset" in done.stdout


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.run([command, "--help"])
    assert stop.value.code == 0
    assert f"relight3d {command}" in capsys.readouterr().out


def test_unknown_command(capsys):
    assert cli.run(["tran"]) == 2
    assert "Did you mean 'train'" in capsys.readouterr().err


def test_wrong_arguments_end_with_code_2():
    for arguments in (
        ["train"],
        ["train", "capture", "--out", "run", "--no-such-option"],
        ["train", "capture", "--out", "run", "--field.steps", "many"],
        ["train", "capture", "--out", "run", "--field.steps", "0"],
        ["train", "capture", "--out", "run", "--resume", "--overwrite"],
        ["train", "capture", "--out", "run", "--hold-out", "1"],
        ["render", "run", "--out", "pictures", "--albedo-gain", "1", "-1", "1"],
        ["export", "run", "--out", "f.ply", "--env-rotation-deg", "10"],
    ):
        with pytest.raises(SystemExit) as stop:
            cli.run(arguments)
        assert stop.value.code == 2, arguments


def raising(monkeypatch, error):
    def fail(arguments):
        raise error

    monkeypatch.setattr(cli, "_command", lambda name: fail)
    return cli.run(["train"])


def test_errors_become_one_message(monkeypatch, capsys):
    assert raising(monkeypatch, CaptureError("photo 3 is gone")) == 2
    assert capsys.readouterr().err == "relight3d: photo 3 is gone\n"
    assert raising(monkeypatch, OSError(28, "No space left on device", "x")) == 2
    assert "disk is full" in capsys.readouterr().err
    assert raising(monkeypatch, KeyboardInterrupt()) == 130
    assert raising(monkeypatch, Interrupted("Stopped after step 3.", 15)) == 143
    assert "Stopped after step 3." in capsys.readouterr().err


def test_mistakes_of_ours_keep_their_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        raising(monkeypatch, ZeroDivisionError())
    with pytest.raises(FileNotFoundError):
        raising(monkeypatch, FileNotFoundError(2, "No such file", "x"))


@pytest.mark.parametrize(("number", "words"), [(13, "permission denied"), (36, "too long")])
def test_what_the_system_refuses_is_one_message(monkeypatch, capsys, number, words):
    assert raising(monkeypatch, OSError(number, "no", "photo.png")) == 2
    said = capsys.readouterr().err
    assert said.startswith("relight3d: photo.png: ")
    assert words in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "missing", "--out", "run"],
        ["train", "missing", "--out", "run", "--preset", "no_such_preset"],
        ["train", "missing", "--out", "run", "--preset", "missing" * 100 + ".yaml"],
        ["train", "missing", "--out", "run", "--preset", ""],
        ["decompose", "missing"],
        ["render", "missing", "--out", "pictures"],
        ["export", "missing", "--out", "f.ply"],
        ["import", "missing", "capture"],
    ],
)
def test_missing_inputs_end_with_code_2_and_write_nothing(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(arguments) == 2
    said = capsys.readouterr().err
    assert any(words in said for words in ("missing", "no_such_preset", "no preset ''."))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["render", "export"])
@pytest.mark.parametrize(("degrees", "same"), [("810", 90.0), ("-450", -90.0), ("3.6e302", 0.0)])
def test_light_turns_modulo_a_whole_turn(monkeypatch, command, degrees, same):
    asked = []
    for module, name in ((rendering, "render"), (exporting, "export")):
        monkeypatch.setattr(module, name, lambda request: asked.append(request) or 0)
    arguments = ["run", "--out", "o", "--env", "e.hdr", "--env-rotation-deg", degrees]
    assert cli.run([command, *arguments]) == 0
    turn = asked[0].lights.rotation_rad if command == "render" else asked[0].env_rotation_rad
    assert abs(turn) < 2 * math.pi
    if abs(float(degrees)) < 1e3:  # beyond, a double knows no degrees
        assert turn == pytest.approx(math.radians(same))


def test_lights_may_be_asked_for_many_times(monkeypatch):
    asked = []
    monkeypatch.setattr(rendering, "render", lambda request: asked.append(request.lights) or 0)
    suns = ["--sun", "10,20:1", "--sun=-30,45:3,2,1"]
    others = ["--softlight", "0,90,40:1", "--point", "0,0,1:5", "--lights", "a", "--lights", "b"]
    assert cli.run(["render", "run", "--out", "o", *suns, *others]) == 0
    assert asked[0].suns == ("10,20:1", "-30,45:3,2,1")
    assert asked[0].softlights == ("0,90,40:1",)
    assert asked[0].points == ("0,0,1:5",)
    assert asked[0].files == (Path("a"), Path("b"))


def test_rays_are_asked_for_by_their_number(monkeypatch):
    asked = []
    monkeypatch.setattr(rendering, "render", lambda request: asked.append(request.trace) or 0)
    for options in (
        [],
        ["--spp", "32"],
        ["--spp", "64"],
        ["--spp", "64", "--denoise", "on"],
        ["--spp", "2", "--floor", "lowest"],
        ["--spp", "2", "--floor=-0.5"],
    ):
        assert cli.run(["render", "run", "--out", "o", *options]) == 0
    assert asked[0] is None
    assert [trace.denoise for trace in asked[1:4]] == [True, False, True]
    assert [trace.floor for trace in asked[3:]] == [None, "lowest", -0.5]
    assert cli.run(["render", "run", "--out", "o", "--spp", "513"]) == 2
    for options in (["--floor", "lowest"], ["--floor", "nan", "--spp", "2"]):
        with pytest.raises(SystemExit) as stop:
            cli.run(["render", "run", "--out", "o", *options])
        assert stop.value.code == 2


def test_info_shows_what_is_there(capsys):
    assert cli.run(["info"]) == 0
    shown = capsys.readouterr().out
    for words in ("relight3d", "torch", "cpu-fast", "backend reference", "processor"):
        assert words in shown, words


def test_option_found_before_parsing():
    assert early_value(["c", "--preset", "max"], "--preset") == "max"
    assert early_value(["c", "--preset=max", "--preset=scene"], "--preset") == "scene"
    assert early_value(["c", "--preset"], "--preset") is None
    assert first_positional(["run", "--x"]) == "run"
    assert first_positional(["--x"]) is None


def test_resume_command():
    again = resume_command("train", ["my capture", "--out", "run", "--overwrite"])
    assert again == "relight3d train 'my capture' --out run --resume"
