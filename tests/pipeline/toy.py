"""A small resumable job, and a program that runs it: to be killed by tests."""

import sys
import time
from pathlib import Path

import torch

from relight3d.core.job import step_generator
from relight3d.pipeline.loop import Cadence, run_job
from relight3d.pipeline.signals import Interrupted, stop_request


class ToyJob:
    """Noisy momentum descent: every step depends on all steps before."""

    name = "toy"

    def __init__(self, total_steps: int = 200, seed: int = 0, pause_s: float = 0.0):
        self.total_steps, self.seed, self.pause_s, self.steps_done = total_steps, seed, pause_s, 0
        self.position, self.velocity = torch.ones(50), torch.zeros(50)

    def step(self):
        noise = torch.randn(50, generator=step_generator(self.seed, self.name, self.steps_done))
        self.velocity = 0.9 * self.velocity - 0.1 * self.position + 0.01 * noise
        self.position = self.position + self.velocity
        self.steps_done += 1
        time.sleep(self.pause_s)
        return {"loss": float((self.position**2).mean())}

    def state_tensors(self):
        return {"position": self.position, "velocity": self.velocity}

    def load_state_tensors(self, tensors, steps_done):
        self.position, self.velocity = tensors["position"], tensors["velocity"]
        self.steps_done = steps_done


def main(checkpoint: Path) -> None:
    job = ToyJob(pause_s=0.003)
    print("started", flush=True)
    try:
        with stop_request() as stop:
            run_job(job, checkpoint, {"seed": 0}, stop, Cadence(steps=7))
    except Interrupted as interrupted:
        print(interrupted)
        sys.exit(interrupted.exit_code)
    print("finished", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
