"""`relight3d train` and `relight3d fit`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from relight3d.cli.parsing import early_value, parse, resume_command
from relight3d.core.errors import ConfigurationError
from relight3d.pipeline.config import TrainConfig
from relight3d.presets import load_preset

DEFAULT_PRESET = "object"


@dataclasses.dataclass(frozen=True)
class TrainArguments:
    """Turn a capture into a relightable asset, with a report and scores if there are test views."""

    capture: tyro.conf.Positional[Path]
    """A capture folder: made by `relight3d import`, or any posed layout it can read."""
    out: Path
    """The folder of this run; must not hold one yet."""
    preset: str = DEFAULT_PRESET
    """Settings to begin with: cpu-fast, object, scene, max, or the path of a .yaml file. The
    options below override them; their defaults shown here are the preset's."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Continue the run in --out where it stopped; the result is the same."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the run in --out."""
    hold_out: int = 0
    """Keep every so many-th photo for testing, where the capture has no test views. 0: none."""
    start: Path | None = None
    """Begin with the splats of a 3DGS .ply, in the capture's own frame, instead of from nothing."""
    review: bool = True
    """At the end, score the test views and write the report."""
    checkpoint_seconds: float = 20.0
    """How often to save; no more than this is lost when the power fails."""
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=TrainConfig
    )

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.resume and self.overwrite:
            raise ConfigurationError("Give --resume or --overwrite, not both.")
        if self.hold_out < 0 or self.hold_out == 1:
            raise ConfigurationError(
                f"--hold-out must be 0 or at least 2, got {self.hold_out}: of every so many photos "
                "one is kept back, the others train."
            )


def run_train(arguments: list[str]) -> None:
    """Everything: fit, decompose, score, report."""
    _run("train", arguments)


def run_fit(arguments: list[str]) -> None:
    """Only the radiance field."""
    _run("fit", arguments)


def _run(command: str, arguments: list[str]) -> None:
    preset = early_value(arguments, "--preset")
    preset = DEFAULT_PRESET if preset is None else preset
    parsed = parse(command, TrainArguments, arguments, {"config": load_preset(preset)})

    from relight3d.pipeline.loop import Cadence
    from relight3d.pipeline.signals import Interrupted
    from relight3d.pipeline.train import TrainRequest, train

    request = TrainRequest(
        capture=parsed.capture,
        out=parsed.out,
        config=parsed.config,
        mode="resume" if parsed.resume else "overwrite" if parsed.overwrite else "new",
        last_stage="fit" if command == "fit" else "decompose",
        hold_out=parsed.hold_out,
        start=parsed.start,
        review=parsed.review,
        cadence=Cadence(parsed.checkpoint_seconds),
    )
    try:
        run = train(request)
    except Interrupted as stopped:
        resume = resume_command(command, arguments)
        raise Interrupted(
            f"{stopped} Continue with:\n  {resume}", stopped.exit_code - 128
        ) from None
    print(f"The run is in {run.path}")
    if run.report_path.exists():
        print(f"Look at {run.report_path}")
