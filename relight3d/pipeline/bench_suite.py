"""What a suite is: captures to train and score, each with its settings. Readable without torch."""

import dataclasses
from pathlib import Path
from typing import Any

from relight3d.capture.options import ImportOptions
from relight3d.core.errors import ConfigurationError
from relight3d.pipeline.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class SuiteCapture:
    """One capture of a suite."""

    name: str
    """What results are called."""
    path: Path
    """Where it lies."""
    config: TrainConfig
    """Settings, but for the seed."""
    protocols: tuple[str, ...]
    preset: str
    """Name of the preset that `config` began with."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What was changed of it: dotted name -> value. Shown only."""
    hold_out: int = 0
    import_options: ImportOptions | None = None
    """How to pose it first; None: it has poses."""
    benchmark: str | None = None
    """The published benchmark it is a scene of."""


@dataclasses.dataclass(frozen=True)
class Suite:
    """Captures, and the seeds that each is trained with."""

    name: str
    captures: tuple[SuiteCapture, ...]
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if not self.captures or not self.seeds:
            raise ConfigurationError(f"Suite {self.name} needs captures and at least one seed.")
        if len(set(self.seeds)) != len(self.seeds):
            raise ConfigurationError(f"Suite {self.name}: a seed is there twice: {self.seeds}.")


@dataclasses.dataclass(frozen=True)
class Task:
    """One training of a suite."""

    capture: SuiteCapture
    seed: int
    run: Path
    """Its run folder."""

    @property
    def name(self) -> str:
        """For people."""
        return self.run.name

    @property
    def config(self) -> TrainConfig:
        """All settings."""
        return dataclasses.replace(self.capture.config, seed=self.seed)


def tasks_of(suite: Suite, out: Path) -> list[Task]:
    """Every training, seeds of one capture together; seed 0 without suffix."""
    return [
        Task(c, seed, out / "runs" / (f"{c.name}-seed{seed}" if seed else c.name))
        for c in suite.captures
        for seed in suite.seeds
    ]
