"""Times the rasterizers and writes the table in benchmarks/rasterizer.md.

    python scripts/benchmark_rasterizer.py --out benchmarks/rasterizer.md

Every row comes from a fresh process, so that memory peaks are its own. CPU ms is the processor time
of all threads: on a machine with other work it is the honest measure, while wall ms depends on the
company. Each is the median of the repeats after two calls to warm up.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SIZES = [(20_000, 256), (100_000, 512), (100_000, 800), (500_000, 800)]
CHANNELS = [16, 4]
COMPARED = (20_000, 256, 16)
"""The scene on which the reference is timed too."""

WHY_TWO_RATIOS = [
    "The one-thread rows compare the arithmetic. With more threads, torch's OpenMP workers spin",
    "while they wait for each other; where the machine has other work this multiplies the",
    "reference's time, and the ratio says as much about the company as about the code.",
]


def status_mb(key: str) -> float:
    """A line of /proc/self/status, in MB; NaN where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":"))


def measure(backend: str, splats: int, size: int, channels: int, repeats: int) -> dict[str, float]:
    """Time one backend on one scene, in this process."""
    import torch
    from scenes import bumpy_sphere

    from relight3d.backends.registry import get_rasterizer

    rasterize = get_rasterizer(backend)  # pyright: ignore[reportArgumentType]
    scene = bumpy_sphere(splats, channels, size, size).leaves()
    leaves = list(scene.tensors().values())
    before = status_mb("VmRSS")
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    drawn = rasterize(scene.gaussians, scene.features, scene.cameras)
    # Laid out in memory as what was drawn, which the gradient of a loss would be, too. Inputs.
    cotangents = [torch.rand_like(drawn.features), torch.rand_like(drawn.alpha)]
    before += sum(tensor.nbytes for tensor in cotangents) / 2**20
    del drawn
    times = []
    for _ in range(repeats + 2):
        clocks = [(time.process_time(), time.perf_counter())]
        raster = rasterize(scene.gaussians, scene.features, scene.cameras)
        clocks.append((time.process_time(), time.perf_counter()))
        gradients = torch.autograd.grad([raster.features, raster.alpha], leaves, cotangents)
        clocks.append((time.process_time(), time.perf_counter()))
        del raster, gradients
        times.append([1e3 * (end[k] - clocks[0][k]) for end in clocks[1:] for k in (0, 1)])
    medians = [statistics.median(column) for column in zip(*times[2:], strict=True)]
    names = ("forward_cpu", "forward_wall", "both_cpu", "both_wall")
    return {**dict(zip(names, medians, strict=True)), "peak_mb": status_mb("VmHWM") - before}


def in_fresh_process(backend: str, scene: tuple[int, int, int], threads: int, repeats: int):
    """`measure`, with both torch and the kernel on that many threads."""
    command = [sys.executable, __file__, "--measure", backend, *map(str, scene)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    result = subprocess.run(
        [*command, "--repeats", str(repeats)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The last commit that changed what is measured."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%h", "--", "relight3d/backends"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def header() -> list[str]:
    """What the numbers were measured on."""
    import torch

    from relight3d.backends.cpu import library

    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return [
        "# Rasterizers",
        "",
        f"Written by `scripts/benchmark_rasterizer.py` at {commit()}: {processor()},",
        f"{os.cpu_count()} cores, instruction set {library.chosen_isa()}, "
        f"torch {torch.__version__}, load {load} at the start.",
        "",
        "Surfel-like splats on a bumpy sphere filling 60 % of a square image. Medians. CPU ms is",
        "the processor time of all threads, which other work on the machine disturbs less than it",
        "does wall ms; peak MB is what a fresh process needs above its inputs.",
    ]


def row(label: str, r: dict[str, float]) -> str:
    """One line of a table."""
    return (
        f"| {label} | {r['forward_cpu']:.1f} | {r['both_cpu']:.1f} | {r['forward_wall']:.1f} "
        f"| {r['both_wall']:.1f} | {r['peak_mb']:.0f} |"
    )


def table(first: str) -> list[str]:
    """The head of a table."""
    return [
        "",
        f"| {first} | fwd CPU ms | fwd + bwd CPU ms | fwd wall ms | fwd + bwd wall ms | peak MB |",
        "|---|---|---|---|---|---|",
    ]


def report(backend: str, threads: int, repeats: int, reference_rows: bool) -> str:
    """All measurements, as Markdown; each row is also printed when it is there."""
    lines = header()

    def add(*more: str) -> None:
        lines.extend(more)
        print("\n".join(more), flush=True)

    print("\n".join(lines))
    add("", f"## Backend `{backend}`, {threads} threads", *table("splats, pixels, channels"))
    for channels in CHANNELS:
        for splats, size in SIZES:
            result = in_fresh_process(backend, (splats, size, channels), threads, repeats)
            add(row(f"{splats // 1000}k, {size}², {channels}", result))
    splats, size, channels = COMPARED
    add("", f"## Against the reference: {splats // 1000}k, {size}², {channels} channels")
    add(*table("backend, threads"))
    for count in sorted({threads, 1}, reverse=True):
        fast, slow = (in_fresh_process(b, COMPARED, count, repeats) for b in (backend, "reference"))
        add(row(f"`{backend}`, {count}", fast), row(f"`reference`, {count}", slow))
        cpu, wall = (slow[key] / fast[key] for key in ("both_cpu", "both_wall"))
        add(f"| ratio | | **{cpu:.0f}x** | | **{wall:.0f}x** | |")
    add("", *WHY_TWO_RATIOS)
    if reference_rows:
        add("", "## Backend `reference`", *table("splats, pixels, channels"))
        for splats, size in SIZES[:3]:
            result = in_fresh_process("reference", (splats, size, 16), threads, 1)
            add(row(f"{splats // 1000}k, {size}², 16", result))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # pyright: ignore
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--reference-rows", action="store_true", help="time the reference on more")
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--measure", nargs=4, metavar=("BACKEND", "SPLATS", "SIZE", "CHANNELS"))
    arguments = parser.parse_args()
    if arguments.measure:
        backend, *scene = arguments.measure
        print(json.dumps(measure(backend, *map(int, scene), repeats=arguments.repeats)))
        return
    text = report(arguments.backend, arguments.threads, arguments.repeats, arguments.reference_rows)
    if arguments.out:
        from relight3d.files.atomic import atomic_file

        with atomic_file(arguments.out) as path:
            path.write_text(text)


if __name__ == "__main__":
    main()
