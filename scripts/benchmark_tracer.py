"""Times occlusion rays and writes the table in benchmarks/tracer.md.

    python scripts/benchmark_tracer.py --out benchmarks/tracer.md

Our tracer `embree` beside trimesh's own ray tracing and open3d's RaycastingScene, where they are
installed; neither is needed otherwise. All take the same rays, in turn, so that other work on the
machine slows each as much. Memory is that of a fresh process each.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmark_rasterizer import commit, processor, status_mb
from numpy.typing import NDArray

from relight3d.backends.cpu import library
from relight3d.backends.tracing.embree import EmbreeTracer, embree_version
from relight3d.core.surface import Mesh

Rays = tuple[NDArray[np.float32], NDArray[np.float32]]
Occluded = Callable[[Rays, int], NDArray[np.bool_]]
"""Answers rays with that many threads."""

OURS = "relight3d `embree`"
MESHES = {"100k": (250, 200), "1M": (1000, 500)}
"""Triangles, and the quads around and along a torus that make them."""
SUN = np.array([0.5, 0.3, 0.8]) / np.linalg.norm([0.5, 0.3, 0.8])
EPSILON = 1e-3
"""Rays start that far above the surface, whose size is about 3."""


def torus(around: int, along: int) -> Mesh:
    """A torus with bumps large and small."""
    u, v = np.meshgrid(
        np.arange(around) / around * 2 * np.pi, np.arange(along) / along * 2 * np.pi, indexing="ij"
    )
    radius = 0.35 + 0.05 * np.sin(9 * u) * np.cos(7 * v) + 0.01 * np.sin(41 * u + 3 * v)
    ring = 1 + radius * np.cos(v)
    points = np.stack([ring * np.cos(u), ring * np.sin(u), radius * np.sin(v)], -1).reshape(-1, 3)
    a = np.arange(around * along).reshape(around, along)
    b, c, d = np.roll(a, -1, 0), np.roll(a, (-1, -1), (0, 1)), np.roll(a, -1, 1)
    faces = np.stack([np.stack(corners, -1) for corners in ((a, b, c), (a, c, d))])
    return Mesh(torch.from_numpy(points).float(), torch.from_numpy(faces.reshape(-1, 3)))


def unit(x: NDArray) -> NDArray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def single(origins: NDArray, directions: NDArray) -> Rays:
    return origins.astype(np.float32), directions.astype(np.float32)


def scattered(mesh: Mesh, count: int) -> Rays:
    """From random points of the surface, in no order, by the cosine about the normal."""
    random = np.random.default_rng(0)
    corners = mesh.vertices[mesh.faces].double().numpy()
    edges = corners[:, 1:] - corners[:, :1]
    normals = np.cross(edges[:, 0], edges[:, 1])
    area = np.linalg.norm(normals, axis=-1)
    face = random.choice(len(mesh), count, p=area / area.sum())
    share = np.sqrt(random.random((count, 1)))
    turn = random.random((count, 1))
    points = corners[face, 0] + share * ((1 - turn) * edges[face, 0] + turn * edges[face, 1])
    normal = unit(normals[face])
    directions = unit(normal + (1 - 1e-6) * unit(random.normal(size=(count, 3))))
    return single(points + EPSILON * normal, directions)


def camera(count: int) -> Rays:
    """A square picture from above, row after row."""
    side = round(count**0.5)
    at = (np.arange(side) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(0.6 * at, 0.6 * at)
    directions = unit(np.stack([x, y, -np.ones_like(x)], -1).reshape(-1, 3))
    return single(np.tile([0.0, 0.0, 2.5], (side * side, 1)), directions)


def from_pixels(mesh: Mesh, count: int, sun: bool) -> Rays:
    """From what the pixels of a picture see: all toward the sun, or each by the cosine."""
    origins, directions = (torch.from_numpy(x) for x in camera(2 * count))
    hits = EmbreeTracer(mesh).hit(origins, directions)
    hit = (hits.triangle >= 0).nonzero()[:count, 0]
    normal = mesh.face_normals()[hits.triangle[hit]].double().numpy()
    points = (origins + hits.distance[:, None] * directions)[hit].double().numpy()
    random = np.random.default_rng(1)
    around = unit(normal + (1 - 1e-6) * unit(random.normal(size=points.shape)))
    return single(points + EPSILON * normal, np.broadcast_to(SUN, points.shape) if sun else around)


RAYS: dict[str, Callable[[Mesh, int], Rays]] = {
    "scattered points, cosine": scattered,
    "points in pixels' order, cosine": lambda mesh, count: from_pixels(mesh, count, sun=False),
    "points in pixels' order, sun": lambda mesh, count: from_pixels(mesh, count, sun=True),
    "camera": lambda mesh, count: camera(count),
}


def our_tracer(mesh: Mesh) -> Occluded:
    tracer = EmbreeTracer(mesh)

    def occluded(rays: Rays, threads: int) -> NDArray[np.bool_]:
        library.set_num_threads(threads)
        return tracer.occluded(*(torch.from_numpy(x) for x in rays)).numpy()

    return occluded


def trimesh_tracer(mesh: Mesh) -> Occluded:
    """Of one thread, whatever is asked."""
    import trimesh  # pyright: ignore[reportMissingImports]
    from trimesh.ray.ray_pyembree import RayMeshIntersector  # pyright: ignore[reportMissingImports]

    surface = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    tracer = RayMeshIntersector(surface)
    return lambda rays, threads: tracer.intersects_any(*rays)


def open3d_tracer(mesh: Mesh) -> Occluded:
    import open3d  # pyright: ignore[reportMissingImports]

    tensor = open3d.core.Tensor
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(tensor(mesh.vertices.numpy()), tensor(mesh.faces.numpy().astype(np.uint32)))

    def occluded(rays: Rays, threads: int) -> NDArray[np.bool_]:
        joined = tensor(np.concatenate(rays, 1))
        return scene.test_occlusions(joined, nthreads=threads).numpy()

    return occluded


TRACERS = {OURS: our_tracer, "trimesh": trimesh_tracer, "open3d": open3d_tracer}


def present() -> dict[str, str]:
    """Tracers that work here, and their versions."""
    versions = {}
    for name, make in TRACERS.items():
        try:
            make(torus(8, 6))
        except Exception as error:  # a missing library of the system is none of Python's errors
            print(f"{name} is left out: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        library_version = getattr(sys.modules.get(name), "__version__", None)
        versions[name] = library_version or f"Embree {embree_version()}"
    return versions


def megabytes(name: str, triangles: str) -> float:
    """What a process grows by when it makes one tracer and asks it once, the library loaded."""
    command = [sys.executable, __file__, "--memory", name, triangles]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else float("nan")


def print_memory(name: str, triangles: str) -> None:
    rays = camera(1 << 10)
    TRACERS[name](torus(8, 6))(rays, 1)
    mesh = torus(*MESHES[triangles])
    before = status_mb("VmRSS")
    tracer = TRACERS[name](mesh)
    tracer(rays, 1)
    print(status_mb("VmRSS") - before)


def race(tracers: dict[str, Occluded], rays: Rays, threads: int, repeats: int) -> dict[str, list]:
    """Seconds of wall clock and of all processors, of every tracer in turn."""
    times: dict[str, list] = {name: [] for name in tracers}
    for repeat in range(repeats + 1):
        for name, occluded in tracers.items():
            start = time.perf_counter(), time.process_time()
            occluded(rays, threads)
            if repeat:  # once to warm up
                times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return times


COLUMNS = ["rays", "threads", "tracer", "M rays/s", "per CPU s", "ours, clock", "ours, CPU"]
HOW_TO_READ = [
    "The tracers take turns. Medians of M rays in a second of the clock, and in a second of the",
    "processor time of all threads, which other work on the machine disturbs less. Ours: how many",
    "times faster `embree` is, the median of the turns. trimesh has one thread. MB: what a fresh",
    "process grows by.",
]


def header(versions: dict[str, str], count: int) -> list[str]:
    """What the numbers were measured on."""
    isa, load = library.chosen_isa(), os.getloadavg()[0]
    absent = [f"{name} is not installed here." for name in TRACERS if name not in versions]
    return [
        "# Tracers",
        "",
        f"Written by `scripts/benchmark_tracer.py` at {commit()}: {processor()},",
        f"{os.cpu_count()} cores, instruction set {isa}, torch {torch.__version__}, "
        f"load {load:.1f} at the start.",
        "; ".join(f"{name}, {version}" for name, version in versions.items()) + ".",
        *absent,
        "",
        f"Occlusion rays against a bumpy torus, {count // 1000}k a call.",
        *HOW_TO_READ,
    ]


def report(count: int, threads: int, repeats: int) -> str:
    """All measurements, as Markdown; each line is also printed when it is there."""
    versions = present()
    lines = header(versions, count)
    print("\n".join(lines))

    def add(*more: str) -> None:
        lines.extend(more)
        print("\n".join(more), flush=True)

    for triangles, size in MESHES.items():
        mesh = torus(*size)
        tracers = {name: TRACERS[name](mesh) for name in versions}
        memory = (f"{name} {megabytes(name, triangles):.0f} MB" for name in versions)
        add("", f"## {triangles} triangles", "", f"{', '.join(memory)}.", "")
        add(f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|")
        for label, make in RAYS.items():
            rays = make(mesh, count)
            answers = {name: occluded(rays, 1) for name, occluded in tracers.items()}
            for name in versions:
                differ = int((answers[name] != answers[OURS]).sum())
                assert differ < 1e-3 * count, f"{name} differs from ours at {differ} rays"
            for number in sorted({1, threads}):
                times = race(tracers, rays, number, repeats)
                for name in versions:
                    add(f"| {label} | {number} | {name} | {figures(times, name, len(rays[0]))} |")
    return "\n".join(lines) + "\n"


def figures(times: dict[str, list], name: str, count: int) -> str:
    """The last four columns."""
    theirs, ours = np.array(times[name]), np.array(times[OURS])
    rates, ratios = 1e-6 * count / np.median(theirs, 0), np.median(theirs / ours, 0)
    return " | ".join([*(f"{x:.2f}" for x in rates), *(f"{x:.2f}x" for x in ratios)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # pyright: ignore
    parser.add_argument("--rays", type=int, default=500_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--memory", nargs=2, metavar=("TRACER", "TRIANGLES"))
    arguments = parser.parse_args()
    if arguments.memory:
        print_memory(*arguments.memory)
        return
    text = report(arguments.rays, arguments.threads, arguments.repeats)
    if arguments.out:
        from relight3d.files.atomic import atomic_file

        with atomic_file(arguments.out) as path:
            path.write_text(text)


if __name__ == "__main__":
    main()
