"""What a suite gave, from its run folders: the content of bench.json, and the files beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relight3d.core.errors import FileFormatError
from relight3d.evaluation.bench_compare import Comparison
from relight3d.evaluation.bench_page import Shown, bench_html
from relight3d.evaluation.bench_scores import digest, scores_part
from relight3d.evaluation.bench_table import TIMED, markdown, readme_table
from relight3d.evaluation.evaluate import without_infinity
from relight3d.evaluation.published import load_published, matches
from relight3d.files.atomic import atomic_file
from relight3d.pipeline.bench_suite import Suite, SuiteCapture, Task
from relight3d.pipeline.machine import checkout_commit, describe_machine, installed_versions
from relight3d.pipeline.run_folder import RunFolder

FORMAT = "relight3d bench 1"


def content_of(
    suite: Suite, tasks: Sequence[Task], evaluations: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Scores, which two scorings have in common; and costs, which they have not.

    Args:
        suite: What was asked for.
        tasks: Its trainings, all finished.
        evaluations: By name of the task, its eval.json.
    """
    scores: dict[str, Any] = {}
    costs: dict[str, Any] = {}
    absent: dict[str, Any] = {}
    for task in tasks:
        name, seed = task.capture.name, str(task.seed)
        run, found = RunFolder(task.run), evaluations[task.name]
        config = run.read_config()
        part = scores_part(found, config["settings"]["inputs"]["capture"])
        scores.setdefault(name, {})[seed] = part
        costs.setdefault(name, {})[seed] = _costs(run.read_record(), config)
        missing = {p: one["absent"] for p, one in found["results"].items() if one.get("absent")}
        absent.setdefault(name, {})[seed] = missing
    return {
        "format": FORMAT,
        "suite": suite.name,
        "scores_sha256": digest(scores),
        "scores": scores,
        "absent": absent,
        "settings": {capture.name: _settings(capture, suite) for capture in suite.captures},
        "costs": costs,
        "machine": describe_machine(),
        "commit": checkout_commit(),
        "versions": installed_versions(),
    }


def _costs(record: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    stages = {name: stage for name, stage in record["stages"].items() if name in TIMED}
    seconds = {name: stage["seconds"] for name, stage in stages.items()}
    peaks = [stage["peak_memory_mb"] for stage in stages.values()]
    kinds = sorted({kind for peak in peaks for kind in peak}, reverse=True)
    own = record.get("bench", {})
    return {
        "seconds": seconds | ({"protocols": own["seconds"]} if "seconds" in own else {}),
        "peak_memory_mb": {kind: max(peak.get(kind, 0.0) for peak in peaks) for kind in kinds},
        "machine": record.get("machine", {}),
        "versions": config.get("versions", {}),
        "commit": record.get("commit", "unknown"),
    }


def _settings(capture: SuiteCapture, suite: Suite) -> dict[str, Any]:
    return {
        "preset": capture.preset,
        "options": capture.options,
        "hold_out": capture.hold_out,
        "imported": capture.import_options is not None,
        "protocols": list(capture.protocols),
        "seeds": list(suite.seeds),
        "benchmark": capture.benchmark,
    }


def write_results(
    out: Path,
    content: Mapping[str, Any],
    shown: Mapping[str, Shown],
    comparison: Comparison | None,
    table: Path | None,
) -> None:
    """bench.json, bench.md, bench.html and readme_table.md; bench.md also to `table`."""
    settings = content["settings"]
    asked = {name: (one["benchmark"], one["protocols"]) for name, one in settings.items()}
    matched, others = matches(asked, load_published())
    stored = dict(content)
    if comparison is not None:
        stored["comparison"] = comparison.as_json()
    text = markdown(content, comparison, matched, len(others))
    files = {
        out / "bench.json": json.dumps(without_infinity(stored), indent=1, allow_nan=False) + "\n",
        out / "bench.md": text,
        out / "bench.html": bench_html(content, shown, comparison, matched, others),
        out / "readme_table.md": readme_table(content),
    }
    if table is not None:
        files[table] = text
    for path, words in files.items():
        with atomic_file(path) as temporary:
            temporary.write_text(words, encoding="utf-8")


def read_bench(path: Path) -> dict[str, Any]:
    """The bench.json of an earlier run, or of the folder it is in.

    Raises:
        FileFormatError: There is none, or it is something else.
    """
    file = path / "bench.json" if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"{file} cannot be read as the result of an earlier run ({error}). Give the --out of "
            "an earlier `relight3d bench`, or its bench.json."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FileFormatError(
            f"{file} is not what `relight3d bench` writes ('format' is not '{FORMAT}'). Give the "
            "--out of an earlier run, made with this version."
        )
    if content.get("scores_sha256") != digest(content.get("scores", {})):
        raise FileFormatError(
            f"{file}: its scores do not have the SHA-256 that it names: they were changed. Repeat "
            "that run's command, which writes it anew."
        )
    return content
