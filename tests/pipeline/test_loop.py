import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from relight3d.core.checkpoint import load_checkpoint
from relight3d.core.errors import CheckpointError, ConfigurationError, DivergedError
from relight3d.pipeline import loop
from relight3d.pipeline.loop import Cadence, run_job
from relight3d.pipeline.loss_log import LossLog
from relight3d.pipeline.signals import Interrupted, StopRequest, stop_request
from tests.pipeline.toy import ToyJob

ROOT = Path(__file__).parents[2]


def start_toy(checkpoint: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.toy", str(checkpoint)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def undisturbed(checkpoint: Path):
    job = ToyJob()
    record = run_job(job, checkpoint, {"seed": 0}, StopRequest(), Cadence(steps=7))
    return job, record


def test_killed_runs_end_like_an_undisturbed_one(tmp_path):
    job, record = undisturbed(tmp_path / "whole")
    checkpoint = tmp_path / "killed"
    rng, kills, reached = random.Random(1), 0, 0
    for _ in range(4):
        process = start_toy(checkpoint)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.25))
        process.kill()
        process.wait()
        kills += process.returncode == -signal.SIGKILL
        if checkpoint.exists():
            steps_done = load_checkpoint(checkpoint)[1]["steps_done"]
            assert steps_done >= reached
            reached = steps_done
    assert kills >= 2
    assert 0 < reached < 200
    process = start_toy(checkpoint)
    assert "finished" in process.communicate()[0]
    tensors, meta = load_checkpoint(checkpoint)
    assert torch.equal(tensors["position"], job.position)
    assert torch.equal(tensors["velocity"], job.velocity)
    assert meta["log"]["curves"] == record.curves


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_saves_the_last_step(tmp_path, number):
    checkpoint = tmp_path / "c"
    process = start_toy(checkpoint)
    assert process.stdout is not None
    process.stdout.readline()
    while not checkpoint.exists():
        time.sleep(0.005)
    process.send_signal(number)
    output = process.communicate()[0]
    assert process.returncode == 128 + number
    steps_done = load_checkpoint(checkpoint)[1]["steps_done"]
    assert f"after step {steps_done} of 200" in output


def test_resumed_in_process(tmp_path):
    job, record = undisturbed(tmp_path / "whole")
    stop = StopRequest()
    first = ToyJob()
    step = first.step

    def step_and_ask():
        if first.steps_done == 61:
            stop.signal_number = signal.SIGINT
        return step()

    first.step = step_and_ask
    with pytest.raises(Interrupted, match="after step 62"):
        run_job(first, tmp_path / "c", {"seed": 0}, stop)
    second = ToyJob()
    resumed = run_job(second, tmp_path / "c", {"seed": 0}, StopRequest())
    assert torch.equal(second.position, job.position)
    assert resumed.curves == record.curves
    assert resumed.peak_memory_mb["host"] > 10


def test_finished_job_is_not_repeated(tmp_path):
    job, _ = undisturbed(tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    again, _ = undisturbed(tmp_path / "c")
    assert torch.equal(again.position, job.position)
    assert (tmp_path / "c").read_bytes() == before


def test_other_settings_are_refused(tmp_path):
    undisturbed(tmp_path / "c")
    with pytest.raises(CheckpointError, match="seed is 1 now, was 0 then"):
        run_job(ToyJob(seed=1), tmp_path / "c", {"seed": 1}, StopRequest())
    with pytest.raises(CheckpointError, match="total_steps is 300 now, was 200 then"):
        run_job(ToyJob(300), tmp_path / "c", {"seed": 0}, StopRequest())


def test_a_diverged_state_is_not_saved(tmp_path):
    job = ToyJob(total_steps=5)
    run_job(job, tmp_path / "c", {}, StopRequest(), Cadence(steps=1))
    kept = (tmp_path / "c").read_bytes()
    job = ToyJob(total_steps=5)
    job.load_state_tensors({"position": job.position, "velocity": job.velocity / 0}, 4)
    state = loop._State(job, tmp_path / "c", {})
    with pytest.raises(DivergedError, match="'toy' has diverged: by step 4 of 5, velocity"):
        state.save()
    assert (tmp_path / "c").read_bytes() == kept


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_impossible_cadences(seconds):
    with pytest.raises(ConfigurationError, match="--checkpoint-seconds"):
        Cadence(seconds)


def test_second_request_does_not_wait():
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell started pytest with '&'
    with stop_request() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_no_handlers_outside_the_main_thread():
    seen = []

    def work():
        with stop_request() as stop:
            seen.append(stop.signal_number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_loss_log_means():
    log = LossLog(800)
    for step in range(1, 7):
        log.add(step, {"loss": float(step)})
    assert log.curves == {"loss": {"steps": [2, 4, 6], "values": [1.5, 3.5, 5.5]}}
