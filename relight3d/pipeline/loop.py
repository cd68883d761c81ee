"""The loop around any job: progress, checkpoints, Ctrl-C, resuming."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from relight3d.core.checkpoint import load_checkpoint, require_same_settings, save_checkpoint
from relight3d.core.errors import ConfigurationError, DivergedError
from relight3d.core.job import Job
from relight3d.core.progress import Progress
from relight3d.pipeline.loss_log import LossLog
from relight3d.pipeline.machine import peak_memory_mb, reset_peak_memory
from relight3d.pipeline.signals import Interrupted, StopRequest

ADVICE = "Use the same settings, or another --out, or --overwrite to start again."


@dataclasses.dataclass(frozen=True)
class Cadence:
    """How often a running job is saved: whatever comes first."""

    seconds: float = 20.0
    steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse what would never be due."""
        if not self.seconds >= 0:
            raise ConfigurationError(
                f"--checkpoint-seconds must be 0 or more, got {self.seconds}. 20 is usual."
            )


@dataclasses.dataclass(frozen=True)
class JobRecord:
    """What is known about a finished job."""

    name: str
    steps: int
    seconds: float
    """Time in the loop, over all runs it took."""
    peak_memory_mb: dict[str, float]
    """Of the process ('host') and, if one was used, of the GPU ('gpu')."""
    curves: dict[str, dict[str, list[int | float]]]
    """Per logged scalar, 'steps' and 'values'."""


def run_job(
    job: Job,
    checkpoint: Path,
    settings: Mapping[str, Any],
    stop: StopRequest,
    cadence: Cadence = Cadence(),
) -> JobRecord:
    """Bring a job to its end, from its checkpoint if there is one.

    Args:
        job: Freshly built from the same settings, capture and seed.
        checkpoint: File to continue from and to write.
        settings: Everything the result depends on, as JSON values. A checkpoint made with others
            is refused.
        stop: Looked at after every step.
        cadence: When to save.

    Raises:
        Interrupted: A stop was asked for; the checkpoint holds all steps done.
        CheckpointError: The checkpoint is damaged or was made with other settings.
        OutputError: A checkpoint could not be written.
        DivergedError: The state holds NaN or infinity; an earlier checkpoint is as it was.
    """
    reset_peak_memory()
    state = _State(job, checkpoint, settings)
    if checkpoint.exists():
        state.load()
    progress = Progress(job.name, job.total_steps, job.steps_done)
    values: Mapping[str, float] = {}
    saved_at, saved_step = time.monotonic(), job.steps_done
    while job.steps_done < job.total_steps:
        values = job.step()
        state.log.add(job.steps_done, values)
        progress.update(job.steps_done, values)
        due = time.monotonic() - saved_at >= cadence.seconds or (
            cadence.steps is not None and job.steps_done - saved_step >= cadence.steps
        )
        if due or stop.signal_number is not None:
            state.save()
            saved_at, saved_step = time.monotonic(), job.steps_done
        if stop.signal_number is not None and job.steps_done < job.total_steps:
            progress.close(job.steps_done, values)
            raise Interrupted(
                f"Stopped in '{job.name}' after step {job.steps_done} of {job.total_steps}; "
                "everything is saved.",
                stop.signal_number,
            )
    if saved_step != job.steps_done or not checkpoint.exists():
        state.save()
    progress.close(job.steps_done, values)
    return state.record()


def check_continues(checkpoint: Path, settings: Mapping[str, Any]) -> None:
    """Refuse settings that differ from those of a checkpoint; nothing, if there is none.

    Raises:
        CheckpointError: Names the differing settings; or the checkpoint is damaged.
    """
    if checkpoint.exists():
        _, meta = load_checkpoint(checkpoint)
        require_same_settings(checkpoint, settings, meta.get("settings", {}), ADVICE)


def _check_finite(job: Job, tensors: Mapping[str, Tensor]) -> None:
    """Keep the last good checkpoint when a job has gone astray."""
    bad = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        raise DivergedError(
            f"'{job.name}' has diverged: by step {job.steps_done} of {job.total_steps}, "
            f"{', '.join(bad[:5])} hold NaN or infinity. Nothing of it was saved. Check the poses, "
            "sizes and lights of the capture; lower the rates if you raised them."
        )


class _State:
    """What a checkpoint holds beside the job's own tensors."""

    def __init__(self, job: Job, path: Path, settings: Mapping[str, Any]):
        self._job, self._path, self._settings = job, path, settings
        self.log = LossLog(job.total_steps)
        self._start, self._seconds_before = time.monotonic(), 0.0
        self._memory_before: dict[str, float] = {}

    def save(self) -> None:
        job, tensors = self._job, self._job.state_tensors()
        _check_finite(job, tensors)
        meta = {
            "job": job.name,
            "steps_done": job.steps_done,
            "total_steps": job.total_steps,
            "settings": self._settings,
            "seconds": self._seconds(),
            "peak_memory_mb": self._memory(),
            "log": self.log.state(),
        }
        save_checkpoint(self._path, tensors, meta)

    def load(self) -> None:
        tensors, meta = load_checkpoint(self._path)
        own = {"job": self._job.name, "total_steps": self._job.total_steps}
        then = {"job": meta.get("job"), "total_steps": meta.get("total_steps")}
        require_same_settings(
            self._path, {**self._settings, **own}, {**meta.get("settings", {}), **then}, ADVICE
        )
        self._job.load_state_tensors(tensors, meta["steps_done"])
        self.log.restore(meta["log"])
        self._seconds_before, self._memory_before = meta["seconds"], meta["peak_memory_mb"]

    def record(self) -> JobRecord:
        job = self._job
        return JobRecord(job.name, job.steps_done, self._seconds(), self._memory(), self.log.curves)

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._start

    def _memory(self) -> dict[str, float]:
        now = peak_memory_mb()
        return {
            name: max(now.get(name, 0.0), self._memory_before.get(name, 0.0))
            for name in now | self._memory_before
        }
