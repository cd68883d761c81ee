"""`relight3d export`."""

import dataclasses
import math
from pathlib import Path
from typing import Literal

import tyro

from relight3d.cli.parsing import parse
from relight3d.core.errors import ConfigurationError
from relight3d.pipeline.config import BackendName


@dataclasses.dataclass(frozen=True)
class ExportArguments:
    """Write a run's asset for other programs, or the light that was recovered from its photos."""

    run: tyro.conf.Positional[Path]
    """A finished run."""
    out: Path
    """The file to write."""
    format: Literal["ply", "glb", "hdr", "exr"] | None = None
    """ply: splats as every 3DGS viewer reads them, with material columns. glb: the surface as a
    mesh with base colour, metallic-roughness and normal textures (Blender, three.js, game engines).
    hdr, exr: the recovered light. Default: by the suffix of --out."""
    env: Path | None = None
    """Bake this environment map (.hdr or .exr) into the splats' colours, instead of the look of the
    photos. Not for glb, which holds materials."""
    env_rotation_deg: float = 0.0
    """Turn that map counter-clockwise about the vertical, seen from above."""
    frame: Literal["source", "capture"] = "source"
    """source: undo the capture's normalisation (a .glb stays upright: its turn is kept). capture:
    keep its frame."""
    light: str | None = None
    """Which recovered light to write, if there are several."""
    backend: BackendName = "auto"
    """Rasterizer."""

    def __post_init__(self) -> None:
        """Refuse what cannot be written."""
        if (self.env is None and self.env_rotation_deg) or not math.isfinite(self.env_rotation_deg):
            raise ConfigurationError("--env-rotation-deg turns the map of --env: give both.")


def run_export(arguments: list[str]) -> None:
    """Write a file."""
    parsed = parse("export", ExportArguments, arguments, {})

    from relight3d.pipeline.export import ExportRequest, export

    print(
        export(
            ExportRequest(
                run=parsed.run,
                out=parsed.out,
                format=parsed.format,
                frame=parsed.frame,
                env=parsed.env,
                env_rotation_rad=math.radians(math.fmod(parsed.env_rotation_deg, 360.0)),
                light=parsed.light,
                backend=parsed.backend,
            )
        )
    )
