"""Make a capture with ground truth out of a glTF model or a built-in scene, by path tracing.

    python scripts/make_capture.py --model boombox.glb --envs forest.hdr studio.hdr --out boombox
    python scripts/make_capture.py --scene closed_room --envs sky.hdr --out room
    python scripts/make_capture.py --model boombox.glb --points 80 --out boombox_point

The result is a folder in TensoIR-Synthetic's layout (environment maps) or NRHints' (point lights),
which `relight3d train` reads. Needs Mitsuba 3: pip install 'relight3d[maker]'. Interrupted, the
same command goes on where it was.
"""

import argparse
import sys
from pathlib import Path

from capture_maker.job import make
from capture_maker.plan import Settings, make_plan
from capture_maker.scenes import SCENES
from capture_maker.tracer import DEFAULT_VARIANT, load_mitsuba

from relight3d.core.errors import Relight3dError


def main() -> int:
    """Parse, plan, render; the exit status is 2 where the user has to change something."""
    options = vars(parser().parse_args())
    out, overwrite = options.pop("out"), options.pop("overwrite")
    try:
        options |= {key: tuple(options[key]) for key in ("envs", "rotations")}
        settings = Settings(**options)
        mi = load_mitsuba(settings.variant)
        plan = make_plan(settings, mi.__version__)
        for note in plan.notes:
            print(f"make_capture: {note}", file=sys.stderr)
        make(plan, mi, out, overwrite)
    except Relight3dError as error:
        print(f"make_capture: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmake_capture: interrupted; the same command goes on.", file=sys.stderr)
        return 130
    print(out)
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    scenes = "; ".join(f"{name}: {maker().tests}" for name, maker in SCENES.items())
    add = made.add_argument
    add("--model", type=Path, metavar="FILE", help=".glb or .gltf, metallic-roughness")
    add("--scene", choices=list(SCENES), help=f"a built-in scene instead ({scenes})")
    add(
        "--envs",
        type=Path,
        nargs="+",
        default=[],
        metavar="NAME.hdr",
        help=".hdr or .exr, latitude-longitude; the first is the training light, the rest relight",
    )
    add(
        "--rotations",
        type=int,
        nargs="+",
        default=[0],
        metavar="DEG",
        help="turns of the training light, taken in turn by the training photos",
    )
    add(
        "--points",
        type=int,
        default=0,
        metavar="N",
        help="instead of maps: N point lights, one a training photo in turn; others in the test",
    )
    add("--train", type=int, default=80, metavar="N", help="training photos (%(default)s)")
    add("--test", type=int, default=16, metavar="N", help="test views (%(default)s)")
    add("--size", type=int, default=256, metavar="PX", help="edge of a picture (%(default)s)")
    add("--spp", type=int, metavar="N", help="paths a pixel (192; closed_room 1024)")
    add(
        "--max-depth",
        type=int,
        metavar="N",
        help="longest path, 2: direct light alone (5 for models, 5 to 16 for scenes)",
    )
    add("--floor", action="store_true", help="put the model on a floor of 0.5 grey")
    add(
        "--mean-radiance",
        type=float,
        metavar="L",
        help="scale every map to this mean (0.8; closed_room 4)",
    )
    add("--intensity", type=float, metavar="I", help="of point lights, W/sr (60; closed_room 6)")
    add("--seed", type=int, default=0, help="of cameras, lights and noise")
    add(
        "--variant",
        default=DEFAULT_VARIANT,
        help="of Mitsuba (%(default)s; llvm_ad_rgb needs libLLVM 19 or newer)",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="the capture")
    add("--overwrite", action="store_true", help="replace a capture of other settings in DIR")
    return made  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
