"""A run's asset as a file for other programs: `relight3d export`."""

import dataclasses
from pathlib import Path
from typing import Literal

from relight3d.backends.registry import get_rasterizer
from relight3d.core.errors import ConfigurationError
from relight3d.core.sh import degree_of
from relight3d.core.types import Asset, EnvironmentLight
from relight3d.core.views import Similarity
from relight3d.export.bake import bake_sh
from relight3d.export.formats import write_asset, writer_for
from relight3d.export.light import write_light
from relight3d.files.environment import read_environment
from relight3d.pipeline.asset_file import load_asset
from relight3d.pipeline.config import BackendName
from relight3d.pipeline.drawing import Light, Painter, device_of
from relight3d.pipeline.machine import prepare_torch
from relight3d.pipeline.render import capture_of
from relight3d.pipeline.run_folder import RunFolder

LIGHT_FORMATS = ("hdr", "exr")


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """What to write of a run, where to, and in which frame."""

    run: Path
    out: Path
    format: str | None
    """'ply', 'glb', or 'hdr' / 'exr' for the recovered light; None: by the suffix of `out`."""
    frame: Literal["source", "capture"] = "source"
    env: Path | None = None
    env_rotation_rad: float = 0.0
    light: str | None = None
    """Which recovered light, if there are several."""
    backend: BackendName = "auto"


def export(request: ExportRequest) -> str:
    """Write the file; returns a sentence about it.

    Raises:
        CheckpointError: Not a finished run.
        ConfigurationError: Unknown format; a light or material the run does not have.
        OutputError: The file cannot be written.
    """
    prepare_torch()
    suffix = request.format or request.out.suffix.lower().lstrip(".")
    if suffix not in LIGHT_FORMATS:
        writer_for(request.out, request.format)  # refuse an unknown format before any work
    if suffix == "glb" and request.env is not None:
        raise ConfigurationError(
            "--env bakes a light into the colours of splats; a .glb holds materials, which the "
            "program that opens it lights. Leave --env away, or export --format ply."
        )
    run = RunFolder(request.run)
    undo = Similarity()
    if request.frame == "source":
        undo = capture_of(run).capture_from_source
    if suffix in LIGHT_FORMATS:
        asset = load_asset(run.asset_path)
        name, light = chosen_light(asset, request.light)
        write_light(request.out, light, undo)
        return f"The recovered light '{name}' is in {request.out}"
    rasterize = get_rasterizer(request.backend)
    asset = load_asset(run.asset_path, device_of(rasterize))
    said = "with the look of its photos"
    if request.env is not None:
        light = Light(read_environment(request.env), request.env_rotation_rad)
        asset = baked(asset, Painter(asset, rasterize), light)
        said = f"lit by {request.env.name}"
    write_asset(request.out, asset, undo, request.format)
    if suffix == "glb":
        return f"A textured surface, upright and as large as the source, is in {request.out}"
    return f"{len(asset.splats):,} splats {said} are in {request.out}"


def baked(asset: Asset, painter: Painter, light: Light) -> Asset:
    """The asset whose plain SH show it under another light, for viewers that know no materials.

    Raises:
        ConfigurationError: The asset has no materials.
    """
    color_of = painter.splat_colors(light)
    assert asset.materials is not None
    degree = degree_of(asset.splats.sh.shape[1])
    splats, _ = bake_sh(asset.splats, asset.materials.normals, color_of, max(degree, 2))
    return dataclasses.replace(asset, splats=splats)


def chosen_light(asset: Asset, name: str | None) -> tuple[str, EnvironmentLight]:
    """The recovered light of that name, or the only one.

    Raises:
        ConfigurationError: None was recovered, or the name is missing or wrong.
    """
    names = list(asset.environments)
    if not names:
        raise ConfigurationError(
            "This run recovered no environment: its photos were lit by known point lights, or only "
            "its first stage is done."
        )
    if name is None and len(names) == 1:
        name = names[0]
    if name not in asset.environments:
        asked = "Name one with --light" if name is None else f"There is no light '{name}'"
        raise ConfigurationError(f"{asked}. Recovered lights: {', '.join(names)}.")
    return name, asset.environments[name]
