"""`relight3d import`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from relight3d.capture.options import ImportOptions
from relight3d.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class ImportArguments:
    """Turn any source of photos into a capture folder; photos without poses get them."""

    source: tyro.conf.Positional[Path]
    """Photo folder, video, COLMAP model, nerfstudio / instant-ngp / Blender transforms, or a scene
    of TensoIR-Synthetic, Synthetic4Relight, Stanford-ORB, OpenIllumination, NRHints, Shiny Blender,
    Glossy-Synthetic, NeRF-synthetic or Mip-NeRF 360 as its makers give it."""
    capture: tyro.conf.Positional[Path]
    """The folder to write; must not exist or be empty."""
    options: Annotated[ImportOptions, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=ImportOptions
    )


def run_import(arguments: list[str]) -> None:
    """Write a capture folder."""
    parsed = parse("import", ImportArguments, arguments, {})

    from relight3d.capture import import_capture

    capture = import_capture(parsed.source, parsed.capture, parsed.options)
    train, test = len(capture.split("train")), len(capture.split("test"))
    kept = f", {test} of them for testing" if test else ""
    print(f"{train + test} views{kept} are in {parsed.capture}")
    print(f"Next: relight3d train {parsed.capture} --out RUN")
