"""Kill a training at random moments, resume it, and compare with an undisturbed one.

    python scripts/prove_resume.py CAPTURE --kills 10 [-- options of `relight3d train`]

Both trainings get the same settings. The disturbed one is ended by SIGKILL, which no program can
catch, after a random time, and started again with --resume; the two assets must be equal byte for
byte. Writes what happened to benchmarks/resume.md.
"""

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from relight3d.core.checkpoint import load_checkpoint
from relight3d.pipeline.machine import checkout_commit

OUT = Path(__file__).resolve().parent.parent / "benchmarks"


def main() -> None:
    """Train twice, once disturbed; exit 1 if the results differ."""
    parser = argparse.ArgumentParser(description="Kill, resume, compare.")
    parser.add_argument("capture", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    own, passed = split_at_dashes(sys.argv[1:])
    options = parser.parse_args(own)
    with tempfile.TemporaryDirectory() as scratch:
        calm, shaken = Path(scratch) / "calm", Path(scratch) / "shaken"
        started = time.monotonic()
        subprocess.run(command(options.capture, calm, passed), check=True)
        whole = time.monotonic() - started
        started = time.monotonic()  # what every start costs, with nothing left to do
        subprocess.run([*command(options.capture, calm, passed), "--resume"], check=True)
        start_up = min(time.monotonic() - started, 0.8 * whole)
        lines = disturb(options, shaken, passed, start_up, whole)
        subprocess.run([*command(options.capture, shaken, passed), "--resume"], check=True)
        equal = digest(calm) == digest(shaken)
    verdict = "equal, byte for byte" if equal else "DIFFERENT"
    text = report(options.capture.name, passed, lines, verdict)
    (OUT / "resume.md").write_text(text)
    print(text)
    sys.exit(not equal)


def split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and after `--`."""
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def command(capture: Path, out: Path, passed: list[str]) -> list[str]:
    """A training without its report, which the asset does not depend on."""
    start = [sys.executable, "-m", "relight3d.cli", "train", str(capture), "--out", str(out)]
    return [*start, "--no-review", "--checkpoint-seconds", "1", *passed]


def disturb(
    options: argparse.Namespace, out: Path, passed: list[str], start_up: float, whole: float
) -> list[str]:
    """Start, wait, kill, again and again; returns a line per kill.

    A start alone takes `start_up` seconds, an undisturbed training `whole`. On average each life
    does its share of the work, so that kills fall all over it.
    """
    moments, lines = random.Random(options.seed), []
    for number in range(options.kills):
        resumed = ["--resume"] if out.exists() else []
        process = subprocess.Popen([*command(options.capture, out, passed), *resumed])
        wait = start_up + moments.uniform(0.0, 2.0) * (whole - start_up) / (options.kills + 1)
        try:
            if process.wait(wait):
                raise SystemExit(f"Life {number + 1} ended with an error: see above.")
            lines.append(f"| {number + 1} | had finished before {wait:.1f} s were over |")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            lines.append(f"| {number + 1} | after {wait:.1f} s; last checkpoint: {newest(out)} |")
    return lines


def newest(run: Path) -> str:
    """Stage and step of the run's newest checkpoint."""
    found = sorted((run / "checkpoints").glob("*.safetensors"), key=lambda p: p.stat().st_mtime)
    if not found:
        return "none yet"
    meta = load_checkpoint(found[-1])[1]
    return f"{meta['job']}, step {meta['steps_done']} of {meta['total_steps']}"


def digest(run: Path) -> str:
    """Of the finished asset."""
    return hashlib.sha256((run / "asset.safetensors").read_bytes()).hexdigest()


def report(capture: str, passed: list[str], lines: list[str], verdict: str) -> str:
    """What happened, as Markdown."""
    return "\n".join(
        [
            "# Killed and resumed",
            "",
            f"Written by `scripts/prove_resume.py` at {checkout_commit()}: capture `{capture}`,",
            f"options `{' '.join(passed)}`.",
            "",
            "A training is ended by SIGKILL at random moments and resumed each time by `--resume`;",
            "an undisturbed one beside it.",
            "",
            "| killed | |",
            "|---|---|",
            *lines,
            "",
            f"The two assets are **{verdict}**.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
