"""The whole chain on a tiny capture, through the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from relight3d import capture as capture_room
from relight3d import cli
from relight3d.core.checkpoint import load_checkpoint
from relight3d.core.errors import CaptureError
from relight3d.files.exr import read_exr_rgb
from relight3d.files.images import read_image, write_png
from relight3d.pipeline.asset_file import load_asset
from tests.evaluation.test_page import assert_sound
from tests.pipeline.captures import FEW, make_capture, train


def same_content(first: Path, second: Path) -> bool:
    one, other = load_checkpoint(first)[0], load_checkpoint(second)[0]
    return one.keys() == other.keys() and all(
        one[name].numpy().tobytes() == other[name].numpy().tobytes() for name in one
    )


def test_everything_is_there(run, capture):
    metrics = json.loads((run / "metrics.json").read_text())
    assert len(metrics["views"]) == 2
    scores = metrics["results"]["relight3d"]
    assert scores["novel"]["psnr"] > 10
    lights = scores["relit"]["lights"]
    assert set(lights) == {"evening"}
    assert {"psnr_unrelit", "psnr_unrelit_best_gain"} <= lights["evening"].keys()
    assert {"gain", "psnr_raw", "psnr_aligned"} <= scores["albedo"].keys()
    assert scores["normal"]["mae_deg"] > 0
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"
    assert set(record["stages"]) == {"fit", "decompose", "proxy", "score", "report"}
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["field"]["steps"] == 24
    assert config["versions"]["relight3d"]
    assert list((run / "environment").iterdir()) == [run / "environment" / "day.hdr"]
    report = (run / "report.html").read_text()
    assert_sound(report)
    for words in ("Materials and shape", "Recovered light", "Relit, against", "Losses"):
        assert words in report, words


def test_same_seed_same_result(run, capture, tmp_path):
    assert train(capture, tmp_path / "again", "--no-review") == 0
    assert same_content(run / "asset.safetensors", tmp_path / "again" / "asset.safetensors")
    assert train(capture, tmp_path / "other", "--seed", "1", "--no-review") == 0
    assert not same_content(run / "asset.safetensors", tmp_path / "other" / "asset.safetensors")


def test_stages_alone_give_the_same(run, capture, tmp_path, capsys):
    out = tmp_path / "staged"
    assert train(capture, out, command="fit") == 0
    assert load_asset(out / "asset.safetensors").materials is None
    assert_sound((out / "report.html").read_text())
    pictures = tmp_path / "pictures"
    env = str(capture / "envmaps" / "evening.hdr")
    assert cli.run(["render", str(out), "--out", str(pictures), "--env", env]) == 2
    assert cli.run(["render", str(out), "--out", str(pictures), "--aovs", "rgb,albedo"]) == 2
    assert "decompose" in capsys.readouterr().err
    assert not pictures.exists()
    assert cli.run(["decompose", str(out)]) == 0
    assert same_content(run / "asset.safetensors", out / "asset.safetensors")
    changed = ["decompose", str(out), "--decomposition.joint-steps", "3"]
    assert cli.run(changed) == 2
    assert "joint_steps is 3 now, was 2 then" in capsys.readouterr().err
    assert cli.run([*changed, "--overwrite"]) == 0
    assert not same_content(run / "asset.safetensors", out / "asset.safetensors")


def test_large_photos_are_reduced_for_training(capture, tmp_path, monkeypatch):
    asked = []

    def stop_here(views, max_px):
        asked.append(max_px)
        raise CaptureError("enough")

    monkeypatch.setattr(capture_room, "load_photos", stop_here, raising=False)
    assert train(capture, tmp_path / "run", "--photo-px", "700") == 2
    assert asked == [700]
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_safe(run, capture, capsys):
    before = (run / "asset.safetensors").read_bytes()
    assert train(capture, run) == 2
    assert "--resume" in capsys.readouterr().err
    assert train(capture, run, "--resume", "--field.growth", "0.5") == 2
    assert "field.growth is 0.5 now, was 0.05 then" in capsys.readouterr().err
    assert (run / "asset.safetensors").read_bytes() == before
    assert train(capture, run, "--resume", "--no-review") == 0
    assert (run / "asset.safetensors").read_bytes() == before


def test_a_changed_capture_is_not_resumed(capture, tmp_path, capsys):
    mine = make_capture(tmp_path / "capture")
    assert train(mine, tmp_path / "run", "--no-review", command="fit") == 0
    write_png(mine / "train_000" / "rgba_day_000.png", np.full((24, 24, 4), 200, np.uint8))
    assert train(mine, tmp_path / "run", "--resume", command="fit") == 2
    assert "inputs.capture" in capsys.readouterr().err


def test_damaged_checkpoint_is_refused(capture, tmp_path, capsys):
    assert train(capture, tmp_path / "run", "--no-review", command="fit") == 0
    path = tmp_path / "run" / "checkpoints" / "fit.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert train(capture, tmp_path / "run", "--resume", command="fit") == 2
    assert "fit.safetensors" in capsys.readouterr().err


def test_hold_out_and_start_from_a_ply(run, tmp_path, capsys):
    capture = make_capture(tmp_path / "capture", test=0)
    ply = tmp_path / "start.ply"
    assert cli.run(["export", str(run), "--out", str(ply)]) == 0
    out = tmp_path / "run"
    assert train(capture, out, "--hold-out", "4", "--start", str(ply), command="fit") == 0
    assert len(json.loads((out / "metrics.json").read_text())["views"]) == 2
    assert "evening" not in (out / "metrics.json").read_text()
    none = ["--out", str(tmp_path / "none")]
    assert cli.run(["train", str(capture), *none, "--start", "missing.ply"]) == 2
    assert "missing.ply" in capsys.readouterr().err


def test_pictures(run, capture, tmp_path):
    out, env = tmp_path / "pictures", capture / "envmaps" / "evening.hdr"
    every = "rgb,albedo,normal,roughness,metallic,depth,alpha,progress"
    asked = ["--aovs", every, "--env", str(env), "--env-rotation-deg", "90", "--exr"]
    assert cli.run(["render", str(run), "--out", str(out), *asked]) == 0
    assert {path.name for path in out.iterdir()} == set(every.split(","))
    for aov in every.split(","):
        names = sorted(path.name for path in (out / aov).iterdir() if path.suffix != ".json")
        assert names == ["000.exr", "000.png", "001.exr", "001.png"]
        image = read_image(out / aov / "000.png")
        assert image.pixels.shape == (24, 24, 3)
        assert image.alpha is not None
    depth, alpha = read_exr_rgb(out / "depth" / "000.exr")
    assert alpha is not None
    assert depth[alpha[..., 0] > 0.9].mean() == pytest.approx(2.8, abs=0.5)
    assert json.loads((out / "depth" / "range.json").read_text())["white"] > 2.5


def test_gain_and_light_change_the_picture(run, capture, tmp_path):
    def rgb(*more):
        out = tmp_path / f"p{len(list(tmp_path.iterdir()))}"
        assert cli.run(["render", str(run), "--out", str(out), *more]) == 0
        return read_image(out / "rgb" / "000.png").pixels

    env = ["--env", str(capture / "envmaps" / "evening.hdr")]
    own, relit = rgb(), rgb(*env)
    dark = rgb(*env, "--albedo-gain", "0.1", "0.1", "0.1")
    turned = rgb(*env, "--env-rotation-deg", "180")
    assert np.abs(own - relit).max() > 0.02
    assert dark.sum() < relit.sum()
    assert np.abs(turned - relit).max() > 0.02


def test_turntable_and_camera_file(run, capture, tmp_path):
    out = tmp_path / "turn"
    asked = ["--views", "turntable", "--frames", "4", "--fps", "10"]
    assert cli.run(["render", str(run), "--out", str(out), *asked]) == 0
    assert len(list((out / "rgb").iterdir())) == 4
    assert (out / "rgb.mp4").stat().st_size > 500
    pose = np.eye(4)
    pose[2, 3] = 4.0
    frame = {"transform_matrix": pose.tolist()}
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps({"camera_angle_x": 0.7, "w": 20, "h": 10, "frames": [frame]}))
    assert (
        cli.run(["render", str(run), "--out", str(tmp_path / "file"), "--views", str(cameras)]) == 0
    )
    assert read_image(tmp_path / "file" / "rgb" / "000.png").pixels.shape == (10, 20, 3)


def test_fewer_pictures_than_before_leave_no_stale_ones(run, tmp_path):
    out = str(tmp_path / "turn")
    asked = ["render", str(run), "--out", out, "--views", "turntable", "--frames"]
    assert cli.run([*asked, "4"]) == 0
    assert cli.run([*asked, "2"]) == 0
    assert len(list((tmp_path / "turn" / "rgb").iterdir())) == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--views", "test", "--aovs", "rgb,shine"], "shine"),
        (["--views", "sideways"], "sideways"),
        (["--env", "missing.hdr"], "missing.hdr"),
        (["--env-rotation-deg", "5"], "--env"),
    ],
)
def test_wrong_wishes_draw_nothing(run, tmp_path, capsys, asked, said):
    assert cli.run(["render", str(run), "--out", str(tmp_path / "out"), *asked]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_eight_bit_environment_is_refused(run, tmp_path, capsys):
    write_png(tmp_path / "sky.hdr", np.zeros((8, 16, 3), np.uint8))
    asked = ["--env", str(tmp_path / "sky.hdr")]
    assert cli.run(["render", str(run), "--out", str(tmp_path / "out"), *asked]) == 2
    assert "sky.hdr" in capsys.readouterr().err


def test_exports(run, capture, tmp_path, capsys):
    plain, baked = tmp_path / "plain.ply", tmp_path / "baked.ply"
    env = ["--env", str(capture / "envmaps" / "evening.hdr")]
    assert cli.run(["export", str(run), "--format", "ply", "--out", str(plain)]) == 0
    assert cli.run(["export", str(run), "--out", str(baked), *env]) == 0
    assert plain.read_bytes() != baked.read_bytes()
    assert cli.run(["export", str(run), "--out", str(tmp_path / "light.hdr")]) == 0
    assert cli.run(["export", str(run), "--out", str(tmp_path / "light.exr")]) == 0
    capsys.readouterr()
    wrong = ["--light", "night"]
    assert cli.run(["export", str(run), "--out", str(tmp_path / "no.hdr"), *wrong]) == 2
    assert "day" in capsys.readouterr().err
    assert cli.run(["export", str(run), "--out", str(tmp_path / "no.stl")]) == 2
    assert not (tmp_path / "no.stl").exists()


def start(capture, out, *more):
    arguments = [
        "train",
        str(capture),
        "--out",
        str(out),
        *FEW,
        "--no-review",
        "--checkpoint-seconds",
        "0.01",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "relight3d.cli", *arguments, *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_and_resumed_is_the_same(run, capture, tmp_path):
    out, killed = tmp_path / "run", 0
    for waited_for in ("config.json", "checkpoints/fit.safetensors",
                       "checkpoints/decompose.safetensors", "asset.safetensors"):  # fmt: skip
        process = start(capture, out, "--resume")
        wait_for(out / waited_for, process)
        time.sleep(0.05)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 3
    process = start(capture, out, "--resume")
    said = process.communicate()
    assert process.returncode == 0, said
    assert same_content(run / "asset.safetensors", out / "asset.safetensors")
    partial = [path for path in out.rglob("*") if "partial" in path.name]
    assert not partial


@pytest.mark.slow
def test_interrupt_says_how_to_go_on(capture, tmp_path):
    out = tmp_path / "run"
    process = start(capture, out, "--field.steps", "100000")
    wait_for(out / "checkpoints" / "fit.safetensors", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "--resume" in said
    assert "everything is saved" in said
    assert (out / "checkpoints" / "fit.safetensors").exists()
