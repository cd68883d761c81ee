"""What each part of inverse rendering is worth: the third stage with one thing changed, scored.

    python scripts/ablate_inverse.py RUN [RUN ...] --out WORK --table benchmarks/inverse.md

Each RUN is a finished run of `relight3d train --preset cpu-fast` on a capture with ground truth;
its fit and its distillation are shared by all rows. A row's run is kept below WORK, and read, not
repeated, by the same command. Relit and albedo are scored as `relight3d eval
--protocol tensoir` does; 'over unrelit' is against the photo with its best factor per channel, and
normals are over the object alone, as `--protocol relight3d` says them.
"""

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from relight3d.core.errors import ConfigurationError, Relight3dError
from relight3d.core.settings import DEFAULT_BOUNCES
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.pipeline.judge import EvalRequest, judge
from relight3d.pipeline.loop import Cadence
from relight3d.pipeline.machine import checkout_commit, describe_machine
from relight3d.pipeline.run_folder import RunFolder, write_json
from relight3d.pipeline.run_settings import stored_config
from relight3d.pipeline.train import LaterStages, decompose_run

REGULARISERS = "no regulariser"
NO_INDIRECT = "no indirect light"
ROWS: dict[str, dict[str, Any]] = {
    "all of it": {},
    "no occlusion": {"occlusion": False},
    NO_INDIRECT: {"indirect": False},
    "16 rays": {"rays": 16, "last_rays": 16},
    "64 rays": {"rays": 64, "last_rays": 64},
    "256 rays": {"rays": 256, "last_rays": 256},
    REGULARISERS: {
        "albedo_smoothness": 0.0,
        "gloss_smoothness": 0.0,
        "metallic_weight": 0.0,
        "light_weight": 0.0,
        "light_smoothness": 0.0,
    },
    "no radiometric consistency": {"consistency_weight": 0.0},
    "no polish": {"polish_steps": 0},
}


def main() -> int:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="finished runs")
    parser.add_argument("--out", required=True, type=Path, help="where the rows' runs go")
    parser.add_argument("--table", type=Path, help="Markdown file to write")
    parser.add_argument("--note", default="", help="what to say of the runs above the table")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--steps", type=int, default=600, help="steps of the stage, all rows")
    parser.add_argument("--polish-steps", type=int, default=40)
    parser.add_argument("--spp", type=int, default=48, help="rays a pixel when scored")
    options = parser.parse_args()
    try:
        results = {run.name: scored(run, options.out / run.name, options) for run in options.runs}
    except Relight3dError as error:
        print(f"ablate_inverse: {error}", file=sys.stderr)
        return 2
    text = table(results, options)
    print(text)
    if options.table:
        options.table.write_text(text)
    return 0


def scored(run: Path, out: Path, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Scores by row, of distillation alone first."""
    if stored_config(run).inverse.steps:
        raise ConfigurationError(
            f"{run} has been refined already; the rows start from distillation alone: give a run "
            "of preset cpu-fast, or one of `relight3d decompose RUN --inverse.steps 0`."
        )
    found = {"distillation alone": score(run, out / "distilled.json", 0)}
    for name in options.rows:
        path = out / name.replace(" ", "_")
        later = settings(run, {"steps": options.steps, "polish_steps": options.polish_steps}, name)
        if not (path / "done").exists():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(run, path)
            RunFolder(path).checkpoint_path("inverse").unlink(missing_ok=True)
            decompose_run(path, later, overwrite=False, cadence=Cadence(), review=False)
            (path / "done").touch()
        spp = options.spp
        bounces = 0 if name == NO_INDIRECT else DEFAULT_BOUNCES
        found[name] = score(path, out / f"{path.name}.json", spp, bounces)
        stage = RunFolder(path).read_record()["stages"]["inverse"]
        found[name]["seconds"] = stage["seconds"]
    return found


def settings(run: Path, common: dict[str, int], row: str) -> LaterStages:
    """The later stages' settings of a row."""
    stored = stored_config(run)
    inverse = dataclasses.replace(InverseConfig(), **{**common, **ROWS[row]})
    return LaterStages(stored.decomposition, stored.proxy, inverse, stored.score_spp)


def score(run: Path, cache: Path, spp: int, bounces: int = DEFAULT_BOUNCES) -> dict[str, Any]:
    """The scores of both protocols, from `cache` if they are there."""
    if not cache.exists():
        request = EvalRequest(
            protocols=("tensoir", "relight3d"), run=run, perceptual=False, spp=spp,
            bounces=bounces,
        )  # fmt: skip
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, judge(request, lambda text: print(text, file=sys.stderr)))
    return json.loads(cache.read_text())["results"]


def table(results: dict[str, dict[str, dict[str, Any]]], options: argparse.Namespace) -> str:
    """One part a capture, one row a setting."""
    machine = describe_machine()
    lines = [
        "# What each part of inverse rendering is worth",
        "",
        f"Written by `scripts/ablate_inverse.py`: {options.steps} steps and "
        f"{options.polish_steps} of polish, pictures of {options.spp} rays a pixel ('distillation "
        "alone': fast shading). Without indirect light, relit pictures have none either. One fit "
        "and one distillation for all rows of a capture. Relit and albedo by the protocol tensoir, "
        "in dB; 'over unrelit' and normals by relight3d's own.",
        "",
        f"{machine['processor']}, {machine['cores']} cores, table written at {checkout_commit()}.",
        *(["", options.note] if options.note else []),
    ]
    for name, rows in results.items():
        lights = list(next(iter(rows.values()))["tensoir"]["relit"]["lights"])
        head = ["setting", *lights, "mean relit", "over unrelit", "albedo", "leak", "normals", "s"]
        lines += ["", f"## {name}", "", line(head), line(["---"] * len(head))]
        lines += [line(cells(row, found, lights)) for row, found in rows.items()]
    return "\n".join(lines) + "\n"


def cells(row: str, found: dict[str, Any], lights: list[str]) -> list[str]:
    """Of one setting."""
    official, ours = found["tensoir"], found["relight3d"]
    relit = [official["relit"]["lights"][light]["psnr"] for light in lights]
    gained = [ours["relit"]["lights"][light]["gain_over_unrelit_db"] for light in lights]
    seconds = found.get("seconds")
    return [
        row,
        *(f"{value:.2f}" for value in relit),
        f"{sum(relit) / len(relit):.2f}",
        f"{sum(gained) / len(gained):+.2f}",
        f"{official['albedo']['psnr_aligned']:.2f}",
        f"{official['albedo']['shadow_leak']:.2f}",
        f"{ours['normal']['mae_deg']:.2f}°",
        "" if seconds is None else f"{seconds:.0f}",
    ]


def line(values: list[str]) -> str:
    """Of a Markdown table."""
    return "| " + " | ".join(values) + " |"


if __name__ == "__main__":
    sys.exit(main())
