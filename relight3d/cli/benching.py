"""`relight3d bench`."""

import dataclasses
import shlex
import sys
from pathlib import Path

import tyro

from relight3d.cli.parsing import parse
from relight3d.core.errors import ConfigurationError


@dataclasses.dataclass(frozen=True)
class BenchArguments:
    """Train and score every capture of a suite, and put the results into one table.

    Results: OUT/bench.md, bench.json, bench.html, readme_table.md; the runs are in OUT/runs. The
    same command again goes on where it was stopped, and trains nothing twice.
    """

    suite: str
    """A suite: demo (bundled, minutes), dev, or the path of a .yaml file."""
    out: Path
    """Folder for runs and tables; one of an earlier call with the same settings is continued."""
    captures: Path | None = None
    """Folder that the suite's captures lie in. Default: what the suite says."""
    preset: str | None = None
    """Instead of all presets of the suite; its options stay."""
    protocol: tuple[str, ...] = ()
    """Instead of all protocols of the suite; `relight3d eval --list` says what each does."""
    seeds: tuple[int, ...] = ()
    """Train every capture with each of these. Default: what the suite says, usually 0 alone."""
    against: Path | None = None
    """An earlier --out, or its bench.json: say what has become better or worse beyond the noise."""
    table: Path | None = None
    """Also write bench.md to this file."""
    rescore: tyro.conf.FlagCreatePairsOff[bool] = False
    """Score finished runs again, though their scores are there."""
    checkpoint_seconds: float = 20.0
    """How often trainings are saved."""

    def __post_init__(self) -> None:
        """Refuse what would be overwritten while it is read."""
        if self.table is not None and self.table.is_dir():
            raise ConfigurationError(f"--table {self.table} is a folder; name a file.")


def run_bench(arguments: list[str]) -> None:
    """Measure, tabulate, compare."""
    parsed = parse("bench", BenchArguments, arguments, {})

    from relight3d.suites import load_suite

    suite = load_suite(parsed.suite, parsed.captures, parsed.preset, parsed.protocol, parsed.seeds)

    from relight3d.evaluation.bench_table import comparison_lines
    from relight3d.pipeline.bench import BenchRequest, bench
    from relight3d.pipeline.loop import Cadence
    from relight3d.pipeline.signals import Interrupted

    request = BenchRequest(
        suite=suite,
        out=parsed.out,
        against=parsed.against,
        table=parsed.table,
        rescore=parsed.rescore,
        cadence=Cadence(parsed.checkpoint_seconds),
    )
    try:
        result = bench(request, lambda text: print(text, file=sys.stderr, flush=True))
    except KeyboardInterrupt as stopped:
        again = shlex.join(["relight3d", "bench", *arguments])
        said = str(stopped) or "Interrupted."
        number = getattr(stopped, "exit_code", 130) - 128
        raise Interrupted(f"{said} Continue with:\n  {again}", number) from None
    if result.comparison is not None:
        print("\n".join(comparison_lines(result.comparison)))
    print(f"Tables are in {parsed.out / 'bench.md'}, pictures in {parsed.out / 'bench.html'}")
    print(f"SHA-256 of the scores: {result.content['scores_sha256']}")
