"""Compare our light transport with Mitsuba 3's and write the table in benchmarks/mitsuba.md.

    python scripts/compare_mitsuba.py --maps capture/envmaps --model boombox.glb \
        --out benchmarks/mitsuba.md

The same triangles, materials, lights and camera rays go through both. Needs Mitsuba 3:
pip install 'relight3d[maker]'.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from capture_maker.lights import point_emitter
from capture_maker.scenes import Stage
from capture_maker.tracer import load_mitsuba
from transport_check.cases import Case, all_cases, pose_of
from transport_check.scene import Lights, TracedScene, camera_rays
from transport_check.theirs import GltfTracer, OwnLobeTracer, exact_emitter

from relight3d.core.errors import Relight3dError
from relight3d.core.types import PointLight
from relight3d.files.environment import read_environment
from relight3d.pipeline.machine import checkout_commit, describe_machine
from relight3d.shading.montecarlo.lights import EnvironmentSampler, LightSampler

RAYS_PER_PIXEL = 16
CAUSTIC_SCENES, CAUSTIC_PATHS = ("mirror_ball",), 8
"""Where a mirror throws a lamp's light onto other things, few paths find it; they weigh much."""


@dataclasses.dataclass(frozen=True)
class Row:
    """Two pictures, compared over all pixels and channels."""

    case: Case
    scene: str
    ours: float
    """Mean radiance."""
    theirs: float
    noise: float
    """Standard error of the ratio, from how the halves of each picture's samples differ."""
    rmse: float
    """Root mean squared difference of pixels over Mitsuba's mean; both pictures' noise counts."""
    spp: tuple[int, int]
    """Paths a pixel by us (by each strategy) and by Mitsuba."""
    seconds: tuple[float, float]

    def line(self) -> str:
        """Of the table."""
        return (
            f"| {self.scene} | {self.case.light_name} | {self.case.bounces} | {self.ours:.4f} "
            f"| {self.theirs:.4f} | {self.ours / self.theirs:.4f} ± {self.noise:.4f} "
            f"| {self.rmse:.3f} | {self.spp[0]} / {self.spp[1]} "
            f"| {self.seconds[0]:.1f} / {self.seconds[1]:.1f} |"
        )


def lights_of(case: Case, stage: Stage) -> tuple[Lights, dict]:
    """The case's light for us and for Mitsuba."""
    if isinstance(case.light, Path):
        radiance = read_environment(case.light).radiance_linear
        return Lights(LightSampler(EnvironmentSampler(radiance))), exact_emitter(case.light)
    power = stage.intensity
    lamp = PointLight(case.light, (power, power, power))
    return Lights(delta=(lamp,)), point_emitter(np.array(case.light), power)


def compare(case: Case, mi: ModuleType, size_px: int, spp: int, samples: int) -> Row:
    """Follow the same camera rays in both, twice each, which tells the noise."""
    stage = case.stage()
    lights, emitter = lights_of(case, stage)
    origins, directions, _ = camera_rays(
        pose_of(stage), stage.views.fov_x_rad, size_px, RAYS_PER_PIXEL,
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    if not case.bounces and lights.distant is None:
        spp = samples = 2  # nothing is random
    spp *= 8 if case.own_lobe else 1  # which is quick, and needs them
    if case.bounces and stage.name in CAUSTIC_SCENES:
        spp, samples = spp * CAUSTIC_PATHS, samples * CAUSTIC_PATHS
    start = time.perf_counter()
    theirs = (OwnLobeTracer if case.own_lobe else GltfTracer)(mi, stage.surfaces)
    scene = theirs.scene(emitter, case.bounces + 2, hide_light=True)
    arrays = origins.numpy(), directions.numpy()
    pair = [theirs.rays(scene, *arrays, spp // 2, seed) for seed in (1, 2)]
    between = time.perf_counter()
    ours = TracedScene(stage.surfaces)
    bounce = ours.bounces(lights, case.bounces, torch.Generator().manual_seed(9))
    own_pair = [
        ours.radiance(
            origins, directions, lights, samples=samples // 2, seed=seed, bounce=bounce
        ).numpy()
        for seed in (1, 2)
    ]
    seconds = (time.perf_counter() - between, between - start)
    halves = np.array([own_pair, pair], np.float64)
    pixels = halves.reshape(2, 2, size_px**2, RAYS_PER_PIXEL, 3).mean(3)
    means = pixels.mean((1, 2, 3))
    gaps = 0.5 * (pixels[:, 0] - pixels[:, 1]).mean(-1)
    errors = np.linalg.norm(gaps, axis=1) / gaps.shape[1] / means
    ours_and_theirs = pixels.mean(1)
    difference = ours_and_theirs[0] - ours_and_theirs[1]
    return Row(
        case, stage.name, means[0], means[1], float(np.hypot(*errors) * means[0] / means[1]),
        float(np.sqrt((difference**2).mean()) / means[1]),
        (RAYS_PER_PIXEL * samples, RAYS_PER_PIXEL * spp), seconds,
    )  # fmt: skip


HEAD = """# Light transport against Mitsuba 3

Written by `scripts/compare_mitsuba.py`: {size} x {size} pixels of {rays} camera rays, the same in
both; Mitsuba {version} `path`, one thread each. Means are of linear radiance over all pixels and
channels; ± is the standard error of their ratio. `rmse` is of pixels, over Mitsuba's mean, and
counts the noise of both. `paths` a pixel: ours by each of up to three strategies / Mitsuba's.

Mitsuba reflects by a plugin of glTF's BRDF in plain Python, hence its seconds; `white_metal` by its
own `roughconductor`, whose shadowing is separable where glTF's is height-correlated, which at this
roughness is the same to within a few tenths of a percent. Bounces of ours are brute force here.

Where a mirror throws the light of a small lamp onto other things (`mirror_ball`, 1 and 3 bounces),
few paths find it in either program, and they weigh much; both follow {caustic} times as many there.

{processor}, commit {commit}.

| scene | light | bounces | ours | Mitsuba | ratio | rmse | paths | seconds |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> int:
    """Parse, render, write."""
    made = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    add = made.add_argument
    add("--maps", type=Path, required=True, metavar="DIR", help="lat-long .hdr maps")
    add("--model", type=Path, metavar="FILE", help="a .glb or .gltf with textures")
    add("--bounces", type=int, nargs="*", default=[], help="beside direct light, e.g. 1 3")
    add("--only", default="", help="scenes whose name holds this")
    add("--size", type=int, default=16, metavar="PX", help="edge of a picture (%(default)s)")
    add("--spp", type=int, default=64, help="Mitsuba's paths for a camera ray (%(default)s)")
    add(
        "--samples",
        type=int,
        default=64,
        help="our rays by each strategy for a camera ray (%(default)s)",
    )
    add("--out", type=Path, required=True, metavar="FILE.md", help="the table")
    options = made.parse_args()
    try:
        mi = load_mitsuba()
        rows = []
        for case in all_cases(options.maps, options.model, tuple(options.bounces)):
            if options.only in case.stage().name:
                rows.append(compare(case, mi, options.size, options.spp, options.samples))
                print(rows[-1].line(), flush=True)
    except Relight3dError as error:
        print(f"compare_mitsuba: {error}", file=sys.stderr)
        return 2
    head = HEAD.format(
        size=options.size, rays=RAYS_PER_PIXEL, version=mi.__version__, caustic=CAUSTIC_PATHS,
        processor=describe_machine()["processor"], commit=checkout_commit(),
    )  # fmt: skip
    options.out.write_text(head + "\n".join(row.line() for row in rows) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
