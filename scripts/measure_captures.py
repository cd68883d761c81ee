"""Train captures with a preset and write what came out to benchmarks/captures.md and .json.

    python scripts/measure_captures.py --runs RUNS CAPTURE [CAPTURE ...] [--preset cpu-fast]

Every capture gets a run folder in RUNS. A measurement that was stopped goes on where it was; one
that is done is only read again, so captures can be added one by one. Options after `--` are passed
to `relight3d train`.
"""

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks"


def main() -> None:
    """Parse, train, write."""
    parser = argparse.ArgumentParser(description="Train captures and tabulate the results.")
    parser.add_argument("captures", nargs="+", type=Path, help="capture folders")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--preset", default="cpu-fast")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the two result files")
    own, passed = split_at_dashes(sys.argv[1:])
    options = parser.parse_args(own)
    results_path = options.out / "captures.json"
    results = json.loads(results_path.read_text()) if results_path.exists() else {}
    for capture in options.captures:
        measured = measure(capture, options.runs, options.preset, passed)
        results[f"{capture.name} {options.preset}"] = measured
        options.out.mkdir(parents=True, exist_ok=True)
        results_path.write_text(json.dumps(results, indent=2) + "\n")
        (options.out / "captures.md").write_text(as_markdown(results))
    print(f"Results are in {options.out / 'captures.md'}")


def split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and after `--`."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def measure(capture: Path, runs: Path, preset: str, passed: list[str]) -> dict[str, Any]:
    """Train one capture, or go on with it, and read its scores."""
    run = runs / f"{capture.name}-{preset}"
    record = read(run / "run.json")
    if record.get("status") != "finished":
        command = [sys.executable, "-m", "relight3d.cli", "train", str(capture)]
        command += ["--preset", preset, "--out", str(run), "--resume", *passed]
        subprocess.run(command, check=True, cwd=ROOT)
        record = read(run / "run.json")
        record["commit"] = commit()
        (run / "run.json").write_text(json.dumps(record, indent=2) + "\n")
    stages = record["stages"]
    return {
        "capture": capture.name,
        "preset": preset,
        "options": passed,
        "commit": record.get("commit", commit()),
        "machine": record["machine"],
        "seconds": {name: stage["seconds"] for name, stage in stages.items()},
        "peak_memory_mb": max(stage["peak_memory_mb"]["host"] for stage in stages.values()),
        "metrics": read(run / "metrics.json"),
    }


def read(path: Path) -> dict[str, Any]:
    """A JSON file, or nothing."""
    return json.loads(path.read_text()) if path.exists() else {}


def commit() -> str:
    """What was measured; '+' marks uncommitted changes."""
    if not (ROOT / ".git").exists():
        return "unknown"
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                          check=True).stdout.strip()  # fmt: skip
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode
    return name + ("+" if changed else "")


def as_markdown(results: dict[str, Any]) -> str:
    """Two tables and how to repeat them."""
    lines = [
        "# Captures: quality, time, memory",
        "",
        "PSNR is pooled over all test views and channels, sRGB on white. Relighting scales albedo",
        "by TensoIR's official rule; beside it the unrelit photo with the best factor per",
        "channel, and what relighting gains over it; 'as found' is relit without that scaling.",
        "Repeat with `scripts/measure_captures.py`.",
        "",
        "| capture | preset | novel views | by physics | SSIM | normals | albedo as found "
        "| aligned | fit | decompose | all | memory | commit |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_quality(result) for result in results.values()]
    lines += ["", "| capture | preset | light | relit | unrelit, best gain | gained | as found |",
              "|---|---|---|---|---|---|---|"]  # fmt: skip
    for result in results.values():
        lines += [_relit(result, name, r) for name, r in result["metrics"].get("relit", {}).items()]
    machines = {_machine(result["machine"]) for result in results.values()}
    lines += ["", *sorted(machines), f"Table written on Python {platform.python_version()}."]
    return "\n".join(lines) + "\n"


def _quality(result: dict[str, Any]) -> str:
    metrics, seconds = result["metrics"], result["seconds"]
    novel, albedo = metrics.get("novel_views", {}), metrics.get("albedo", {})
    cells = [
        result["capture"],
        " ".join([result["preset"], *result["options"]]),
        _number(novel.get("psnr"), "{:.2f} dB"),
        _number(novel.get("psnr_physics"), "{:.2f} dB"),
        _number(novel.get("ssim"), "{:.4f}"),
        _number(metrics.get("normal_mae_deg"), "{:.2f}°"),
        _number(albedo.get("psnr_raw"), "{:.2f} dB"),
        _number(albedo.get("psnr_aligned"), "{:.2f} dB"),
        _number(seconds.get("fit"), "{:.0f} s"),
        _number(seconds.get("decompose"), "{:.0f} s"),
        _number(sum(seconds.values()), "{:.0f} s"),
        _number(result["peak_memory_mb"], "{:.0f} MB"),
        result["commit"],
    ]
    return f"| {' | '.join(cells)} |"


def _relit(result: dict[str, Any], light: str, scores: dict[str, float]) -> str:
    baseline = scores["psnr_unrelit_best_gain"]
    return (
        f"| {result['capture']} | {result['preset']} | {light} | {scores['psnr']:.2f} dB "
        f"| {baseline:.2f} dB | {scores['gain_over_unrelit_db']:+.2f} dB "
        f"| {_number(scores.get('psnr_albedo_as_found'), '{:.2f} dB')} |"
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _machine(machine: dict[str, str]) -> str:
    gpu = f", {machine['gpu']}" if "gpu" in machine else ""
    return f"Measured on {machine['processor']}, {machine['cores']} cores{gpu}."


if __name__ == "__main__":
    main()
