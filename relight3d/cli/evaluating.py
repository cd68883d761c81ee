"""`relight3d eval`."""

import dataclasses
import sys
from pathlib import Path

import tyro

from relight3d.cli.parsing import parse
from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import DEFAULT_BOUNCES, require_spp
from relight3d.pipeline.config import BackendName


@dataclasses.dataclass(frozen=True)
class EvalArguments:
    """Score a run, or the frames of any other method, as the papers of the field do.

    Frames lie by map, DIR/rgb/000.png, DIR/albedo/, DIR/normal/, DIR/roughness/, DIR/metallic/,
    DIR/depth/000.npy, DIR/relit/LIGHT/000.png, numbered or called as the test views are; or as the
    capture itself lays them out, DIR/test_000/rgba_LIGHT.png. A map that is there must be there for
    every test view, at the size and bit depth of the truth.
    """

    run: tyro.conf.Positional[Path | None] = None
    """A finished run; or give --frames."""
    frames: Path | None = None
    """Folder of frames of any method; needs --capture, nothing else of ours."""
    capture: Path | None = None
    """The capture that holds the truth. Default for a run: the one it was made from."""
    protocol: tuple[str, ...] = ("relight3d",)
    """One or more protocols; `--list` says what each does."""
    json: Path | None = None
    """Also write everything, with the values of every view, to this file."""
    lights: tuple[str, ...] = ()
    """Relight under these alone. Default: every light the capture has truth of, or the protocol's
    habit."""
    hold_out: int = 0
    """With --frames: every so many-th photo is a test view, if the capture has none of its own."""
    list: tyro.conf.FlagCreatePairsOff[bool] = False
    """Say what every protocol does, and stop."""
    backend: BackendName = "auto"
    """Rasterizer, for a run."""
    spp: int | None = None
    """Rays a pixel of a run's relit pictures, 2 to 512; 0: fast shading. Default: the run's own."""
    bounces: int = DEFAULT_BOUNCES
    """With rays: how often surfaces send light on to each other; 0: never."""

    def __post_init__(self) -> None:
        """Refuse what says too little or too much."""
        if self.list:
            return
        if self.spp:
            require_spp(self.spp, "--spp")
        if (self.run is None) == (self.frames is None):
            raise ConfigurationError(
                "Give either a run or --frames DIR --capture CAPTURE; `--list` shows the protocols."
            )
        if self.frames is not None and self.capture is None:
            raise ConfigurationError(
                "--frames needs --capture: the folder that holds the true pictures."
            )
        if self.run is not None and self.hold_out:
            raise ConfigurationError(
                "--hold-out belongs to --frames; a run keeps the split it was trained with."
            )


def run_eval(arguments: list[str]) -> None:
    """Print scores, and write them if asked."""
    parsed = parse("eval", EvalArguments, arguments, {})

    from relight3d.evaluation.protocols import PROTOCOLS
    from relight3d.evaluation.result_table import protocol_lines, result_lines

    if parsed.list:
        print("\n\n".join("\n".join(protocol_lines(p)) for p in PROTOCOLS.values()))
        return

    from relight3d.pipeline.judge import EvalRequest, judge
    from relight3d.pipeline.run_folder import write_json

    result = judge(
        EvalRequest(
            protocols=parsed.protocol,
            run=parsed.run,
            frames=parsed.frames,
            capture=parsed.capture,
            hold_out=parsed.hold_out,
            lights=parsed.lights,
            backend=parsed.backend,
            spp=parsed.spp,
            bounces=parsed.bounces,
        ),
        lambda text: print(text, file=sys.stderr),
    )
    print("\n".join(result_lines(result)))
    if parsed.json is not None:
        write_json(parsed.json, result)
        print(f"Every view's scores are in {parsed.json}")
