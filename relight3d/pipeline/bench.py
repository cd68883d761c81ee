"""`relight3d bench`: train and score every capture of a suite, and lay the results side by side.

Everything that is done is kept in OUT: runs/NAME (a run folder each, with eval.json), captures/NAME
(captures that had to be posed). The same command again does only what is missing.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from relight3d import capture as capture_room
from relight3d.capture import import_capture
from relight3d.core.checkpoint import require_same_settings
from relight3d.core.errors import CaptureError
from relight3d.evaluation.bench_compare import Comparison, compare
from relight3d.evaluation.protocols import protocols_named
from relight3d.evaluation.published import benchmark_of, load_published
from relight3d.pipeline.bench_result import content_of, read_bench, write_results
from relight3d.pipeline.bench_scoring import current_scores, read_shown, score_run
from relight3d.pipeline.bench_suite import Suite, Task, tasks_of
from relight3d.pipeline.loop import Cadence
from relight3d.pipeline.machine import checkout_commit
from relight3d.pipeline.own_process import in_own_process
from relight3d.pipeline.run_folder import RunFolder, write_json
from relight3d.pipeline.run_settings import run_settings
from relight3d.pipeline.train import TrainRequest, check_lights, train

Say = Callable[[str], None]
_ADVICE = (
    "The runs of a suite are kept and read again, so settings cannot change in between: use those, "
    "or another --out, or remove that folder to train it anew."
)


@dataclasses.dataclass(frozen=True)
class BenchRequest:
    """What to measure, and where to."""

    suite: Suite
    out: Path
    against: Path | None = None
    """An earlier result to compare with."""
    table: Path | None = None
    """Where to copy bench.md to."""
    rescore: bool = False
    """Score finished runs again, though their scores are there."""
    cadence: Cadence = dataclasses.field(default_factory=Cadence)


@dataclasses.dataclass(frozen=True)
class BenchResult:
    """What came out."""

    content: dict[str, Any]
    """As in bench.json."""
    comparison: Comparison | None


def bench(request: BenchRequest, say: Say) -> BenchResult:
    """Do what is not done yet, then write the tables.

    Raises:
        Interrupted: Stopped by the user; the same call goes on.
        CaptureError: Captures are missing: all of them are named, and nothing was trained.
        CheckpointError: A run is there with other settings; nothing was trained.
        Relight3dError: Anything else wrong with captures, settings, machine or disk.
    """
    suite = request.suite
    earlier = None if request.against is None else read_bench(request.against)
    _check_names(suite)
    require_captures(suite)
    places = {capture.name: _posed(capture, request.out, say) for capture in suite.captures}
    tasks = tasks_of(suite, request.out)
    for task in tasks:
        _check_settings(task, places[task.capture.name])
    evaluations = {}
    for number, task in enumerate(tasks, 1):
        say(f"capture {number} of {len(tasks)}, {task.name}{_left(tasks[number - 1 :], tasks)}")
        evaluations[task.name] = _measured(task, places[task.capture.name], request, say)
    content = content_of(suite, tasks, evaluations)
    comparison = None if earlier is None else compare(earlier["scores"], content["scores"])
    first = {task.capture.name: task for task in reversed(tasks)}
    shown = {name: read_shown(RunFolder(task.run)) for name, task in first.items()}
    write_results(request.out, content, shown, comparison, request.table)
    return BenchResult(content, comparison)


def _check_names(suite: Suite) -> None:
    for capture in suite.captures:
        protocols_named(capture.protocols)
        benchmark_of(capture.name, capture.benchmark, load_published())


def require_captures(suite: Suite) -> None:
    """Refuse a suite of which something is not there.

    Raises:
        CaptureError: Names everything that is missing.
    """
    missing = [capture for capture in suite.captures if not capture.path.exists()]
    if missing:
        raise CaptureError(
            f"Suite {suite.name}: {len(missing)} of {len(suite.captures)} captures are missing: "
            f"{', '.join(str(capture.path) for capture in missing)}. Nothing was trained. Name the "
            "folder they lie in with --captures, or put them there."
        )


def _posed(capture: Any, out: Path, say: Say) -> Path:
    """Where a capture with poses lies: as given, or imported into OUT/captures."""
    if capture.import_options is None:
        return capture.path
    place, note = out / "captures" / capture.name, out / "captures" / f"{capture.name}.import.json"
    options = json.loads(json.dumps(dataclasses.asdict(capture.import_options), default=str))
    if place.exists():
        found = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
        require_same_settings(note, options, found, _ADVICE)
        return place
    say(f"{capture.name}: finding the poses of its photos")
    write_json(note, options)
    in_own_process(
        f"Importing {capture.name}", import_capture, capture.path, place, capture.import_options
    )
    return place


def _check_settings(task: Task, place: Path) -> None:
    """Refuse a run that was made otherwise, before anything is trained."""
    capture = capture_room.load(place, task.capture.hold_out)
    if not capture.split("test"):
        raise CaptureError(
            f"{task.capture.name}: {place} has no test views, so it cannot be scored. Give it a "
            "hold_out in the suite: 8 is usual."
        )
    check_lights(capture)
    run = RunFolder(task.run)
    if run.config_path.exists():
        wanted = run_settings(task.config, capture, task.capture.hold_out, None)
        known = run.read_config().get("settings", {})
        require_same_settings(run.config_path, wanted, known, _ADVICE)


def _measured(task: Task, place: Path, request: BenchRequest, say: Say) -> dict[str, Any]:
    """Its scores, trained and scored first where that is not done."""
    run, protocols = RunFolder(task.run), task.capture.protocols
    if not _is_finished(run):
        wanted = TrainRequest(
            place, task.run, task.config, mode="resume", hold_out=task.capture.hold_out,
            cadence=request.cadence,
        )  # fmt: skip
        in_own_process(f"Training {task.name}", train, wanted)
        run.update_record({"commit": checkout_commit()})
    else:
        say(f"{task.name}: trained before")
    found = None if request.rescore else current_scores(run, protocols)
    if found is None:
        say(f"{task.name}: scoring by {', '.join(protocols)}")
        backend = task.config.backend
        in_own_process(f"Scoring {task.name}", score_run, task.run, place, protocols, backend)
        found = current_scores(run, protocols)
        assert found is not None, run.eval_path
    return found


def _is_finished(run: RunFolder) -> bool:
    if not (run.config_path.exists() and run.asset_path.exists()):
        return False
    record = run.read_record()
    return record.get("status") == "finished" and record.get("last_stage") == "decompose"


def _left(open_tasks: list[Task], tasks: list[Task]) -> str:
    """', about N min left', by what the finished ones took."""
    times = [seconds for task in tasks if (seconds := _seconds(RunFolder(task.run)))]
    todo = sum(not _is_finished(RunFolder(task.run)) for task in open_tasks)
    if not times or not todo:
        return ""
    return f", about {math.ceil(todo * sum(times) / len(times) / 60)} min left"


def _seconds(run: RunFolder) -> float:
    """What a finished and scored run took; 0 for others."""
    if not _is_finished(run):
        return 0.0
    record: Mapping[str, Any] = run.read_record()
    stages = sum(stage["seconds"] for stage in record["stages"].values())
    return stages + record.get("bench", {}).get("seconds", 0.0)
