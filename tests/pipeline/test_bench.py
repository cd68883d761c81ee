"""Suites on tiny captures, through the command line: tables, resuming, refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_captures as tiny
import yaml

from relight3d import cli
from relight3d.pipeline.bench_suite import tasks_of
from relight3d.suites import load_suite, suite_names
from tests.evaluation.test_page import assert_sound
from tests.pipeline.captures import make_capture

FEW = {
    "backend": "cpu",
    "field": {"steps": 8, "initial_splats": 100, "max_splats": 110, "sh_degree": 1},
    "decomposition": {
        "specular_steps": 2, "diffuse_steps": 2, "joint_steps": 1, "environment_height": 4,
        "visibility_directions": 32, "shadow_map_px": 16,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    root = tmp_path_factory.mktemp("captures")
    make_capture(root / "ball", train=4, test=2)
    tiny.nerfstudio(root / "real" / "disc")
    return root


def write_suite(folder: Path, **changes) -> Path:
    content = {
        "preset": "object",
        "protocols": ["relight3d", "tensoir"],
        "captures": {
            "ball": {"options": FEW},
            "disc": {
                "path": "real/disc", "hold_out": 3, "protocols": ["relight3d", "nvs"],
                "options": FEW, "import": {},
            },
        },
    }  # fmt: skip
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return path


def bench(suite, out, captures, *more):
    return cli.run(
        ["bench", "--suite", str(suite), "--out", str(out), "--captures", str(captures), *more]
    )


@pytest.fixture(scope="module")
def done(captures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    suite = write_suite(folder)
    assert bench(suite, folder / "out", captures) == 0
    return suite, folder / "out"


def read(out: Path) -> dict:
    return json.loads((out / "bench.json").read_text(), parse_constant=pytest.fail)


def states(out: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of what a training writes."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(out.glob("runs/*/checkpoints/*"))
    }


def test_tables_are_there(done):
    _, out = done
    found = read(out)
    assert list(found["scores"]) == ["ball", "disc"]
    results = found["scores"]["ball"]["0"]["results"]
    assert list(results) == ["relight3d", "tensoir"]
    assert len(results["relight3d"]["novel"]["views"]["psnr"]) == 2
    cost = found["costs"]["ball"]["0"]
    seconds = cost["seconds"].keys()  # of so few steps, there need not be a surface
    assert {"fit", "decompose", "score", "report", "protocols"} == seconds - {"proxy"}
    assert cost["peak_memory_mb"]["host"] > 1
    assert found["settings"]["disc"]["hold_out"] == 3
    assert (out / "captures" / "disc" / "transforms.json").exists()
    text = (out / "bench.md").read_text()
    assert f"{results['relight3d']['novel']['psnr']:.2f} dB" in text
    assert "| ball | evening |" in text
    assert "| fit | decompose | proxy | inverse | score | report | all in |" in text
    page = (out / "bench.html").read_text()
    assert_sound(page)
    assert page.count("<figure>") == 3 * (2 + 1)
    assert "not comparable" in page
    assert (out / "readme_table.md").read_text().count("\n") == 4


def test_again_trains_nothing_and_scores_the_same(done, captures, capsys):
    suite, out = done
    before, trained = read(out), states(out)
    assert bench(suite, out, captures) == 0
    assert read(out) == {**before, "commit": read(out)["commit"]}
    assert bench(suite, out, captures, "--rescore", "--against", str(out)) == 0
    assert read(out)["scores_sha256"] == before["scores_sha256"]
    assert read(out)["scores"] == before["scores"]
    assert states(out) == trained
    said = capsys.readouterr()
    assert "trained before" in said.err
    assert "0 scores are better beyond the noise, 0 worse" in said.out
    assert read(out)["comparison"]["notes"] == []


def test_other_settings_are_refused(done, captures, tmp_path, capsys):
    suite, out = done
    before = states(out)
    assert bench(suite, out, captures, "--preset", "scene") == 2
    said = capsys.readouterr().err
    assert "made with another configuration" in said
    assert "another --out" in said
    entries = {"disc": {"path": "real/disc", "hold_out": 3, "import": {"max_size_px": 64}}}
    changed = write_suite(tmp_path, captures=entries)
    assert bench(changed, out, captures) == 2
    assert "max_size_px is 64 now, was 1600 then" in capsys.readouterr().err
    assert states(out) == before


def test_a_run_without_scores_is_scored(done, captures):
    suite, out = done
    digest = read(out)["scores_sha256"]
    (out / "runs" / "ball" / "eval.json").unlink()
    assert bench(suite, out, captures) == 0
    assert read(out)["scores_sha256"] == digest


def test_missing_captures_are_named_before_anything_is_trained(tmp_path, captures, capsys):
    entries = {"ball": {}, "gone": {}, "lost": {"path": "real/lost"}}
    suite = write_suite(tmp_path, captures=entries)
    assert bench(suite, tmp_path / "out", captures) == 2
    said = capsys.readouterr().err
    assert "2 of 3 captures are missing" in said
    assert "gone" in said
    assert "lost" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"captures": {"ball": {"protocols": ["tensor"]}}}, "There is no protocol tensor"),
        ({"captures": {"ball": {"benchmark": "tensor"}}}, "no benchmark 'tensor'"),
        ({"captures": {"disc": {"path": "real/disc"}}}, "hold_out"),
        ({"captures": {"ball": {"hold_ou": 8}}}, "Did you mean 'hold_out'"),
        ({"captures": {"ball": {"options": {"field": {"step": 1}}}}}, "'field.step'"),
        ({"captures": {"../ball": {}}}, "cannot hold slashes"),
        ({"captures": {}}, "captures"),
        ({"seeds": [1, 1]}, "twice"),
    ],
)
def test_wrong_suites_are_refused(tmp_path, captures, capsys, changes, words):
    suite = write_suite(tmp_path, **changes)
    assert bench(suite, tmp_path / "out", captures) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "runs").exists()


def test_an_unknown_suite_lists_suites(tmp_path, capsys):
    assert cli.run(["bench", "--suite", "dem", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "Did you mean 'demo'" in said
    assert all(name in said for name in suite_names())
    assert cli.run(["bench", "--suite", "dev", "--out", str(tmp_path / "out")]) == 2
    assert "--captures" in capsys.readouterr().err


def start(suite, out, captures):
    command = [sys.executable, "-m", "relight3d.cli", "bench", "--suite", str(suite)]
    command += ["--out", str(out), "--captures", str(captures), "--checkpoint-seconds", "0"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(run: Path) -> bool:
    """Whether nobody works in a run folder any more."""
    fcntl = pytest.importorskip("fcntl")
    with (run / ".lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "where"),
    [(signal.SIGKILL, "ball/checkpoints/fit.safetensors"), (signal.SIGINT, "ball/eval.json")],
)
def test_goes_on_where_it_was_ended(done, captures, tmp_path, number, where):
    """In the middle of a training, and between two captures."""
    suite, out = write_suite(tmp_path), tmp_path / "out"
    process = start(suite, out, captures)
    wait_for(out / "runs" / where, process)
    os.kill(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    assert not (out / "bench.json").exists()
    if number == signal.SIGINT:
        assert "Continue with:\n  relight3d bench --suite" in said
    deadline = time.monotonic() + 60
    while not all(ended(run) for run in (out / "runs").iterdir()):
        assert time.monotonic() < deadline, "an orphan goes on working"
        time.sleep(0.05)
    assert bench(suite, out, captures) == 0
    assert read(out)["scores_sha256"] == read(done[1])["scores_sha256"]


def test_runs_of_other_seeds_have_a_suffix(captures, tmp_path):
    suite = load_suite(str(write_suite(tmp_path, seeds=[0, 7])), captures)
    tasks = tasks_of(suite, tmp_path)
    assert [task.name for task in tasks] == ["ball", "ball-seed7", "disc", "disc-seed7"]
    assert [task.config.seed for task in tasks] == [0, 7, 0, 7]
    assert tasks[0].config.field.steps == 8


def test_bundled_suites_can_be_read(tmp_path):
    for name in suite_names():
        suite = load_suite(name, tmp_path, protocols=["nvs"])
        assert all(capture.protocols == ("nvs",) for capture in suite.captures)
    assert load_suite("demo", None).captures[0].path.is_dir()
