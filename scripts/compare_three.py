"""Compare an exported .glb as three.js draws it with our own pictures of the same run.

    python scripts/compare_three.py RUN --env MAP.hdr [--view 0] [--out DIR] [--table FILE.md]

three.js lights by environment maps without occlusion. So its picture is compared, over the object,
  - with the light summed by brute force on three.js's own surface (same mesh, same textures): says
    whether the textures' encodings, the BRDF and the map's orientation are understood alike;
  - with our splats without occlusion and bounce: adds what meshing and resampling cost;
  - with `relight3d render`, occlusion included: what a user sees side by side.
Turned and mirrored maps have to fit worse. Needs Node.js's npm and Chromium, see CONTRIBUTING.md.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from node_tools import MissingToolError, stop
from three_renderer import FINE, BrowserError, ThreePictures, draw_by_three
from torch import Tensor

from relight3d.backends.registry import get_rasterizer
from relight3d.core.color import srgb_from_linear
from relight3d.core.errors import Relight3dError
from relight3d.core.photos import cameras_of
from relight3d.core.planes import pixel_rays
from relight3d.core.types import Asset, Cameras, EnvironmentLight
from relight3d.decomposition.relight import Relighter
from relight3d.export.glb import gltf_from_capture, write_glb
from relight3d.files.environment import read_environment
from relight3d.files.pictures import contact_sheet, encode_png
from relight3d.pipeline.asset_file import load_asset
from relight3d.pipeline.machine import prepare_torch
from relight3d.pipeline.render import capture_of
from relight3d.pipeline.run_folder import RunFolder
from relight3d.shading.deferred import GBuffer
from relight3d.shading.latlong import downsample
from relight3d.shading.reference import shade_by_samples

Picture = Float[Tensor, "H W ch"]
BRUTE_PIXELS, BRUTE_ROWS = 1500, 64
"""How many pixels are lit by brute force, from a map of how many rows."""
COLUMNS = (
    "run, map, view",
    "compared with",
    "mean, r g b",
    "PSNR",
    "correlation",
    "turned, mirrored",
)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Two linear pictures over the pixels that both cover."""

    ratio: tuple[float, float, float]
    """Mean of the first over mean of the second, by channel."""
    psnr: float
    """Of sRGB-encoded values, dB."""
    correlation: float
    """Of sRGB-encoded values, all channels together."""


def main() -> None:
    """Draw by both, compare, write the sheet."""
    parser = argparse.ArgumentParser(description="Compare three.js with our own renderer.")
    parser.add_argument("run", type=Path, help="a finished run whose asset has a surface")
    parser.add_argument("--env", type=Path, required=True, help=".hdr or .exr")
    parser.add_argument("--view", type=int, default=0, help="which test view")
    parser.add_argument("--out", type=Path, default=Path("three_js"), help="folder for the sheet")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for the browser")
    parser.add_argument("--table", type=Path, help="Markdown file to append the rows to")
    options = parser.parse_args()
    try:
        compare(options)
    except (MissingToolError, BrowserError, Relight3dError) as error:
        stop(error)


def compare(options: argparse.Namespace) -> None:
    """The whole comparison of one view under one map."""
    prepare_torch()
    run = RunFolder(options.run)
    asset, capture = load_asset(run.asset_path), capture_of(run)
    views = capture.split("test") or capture.split("train")
    camera = cameras_of([views[options.view % len(views)]])
    light = read_environment(options.env)
    with tempfile.TemporaryDirectory() as scratch:
        glb = Path(scratch) / "asset.glb"
        write_glb(glb, asset, capture.capture_from_source)
        place = gltf_from_capture(capture.capture_from_source)
        theirs = draw_by_three(glb, camera, place, variants(light), options.timeout)
    drawn = {name: coarse(theirs.pictures[name]) for name in variants(light)}
    ours, plain = by_splats(asset, camera, light)
    three, *others = (picture * alpha_first(asset.exposure) for picture in drawn.values())
    where = f"{options.run.name}, {options.env.stem}, {options.view}"
    rows = brute_rows(where, theirs, camera, light)
    for words, picture in (("our splats, unoccluded", plain), ("`relight3d render`", ours)):
        wrong = max(agreement(other, picture).correlation for other in others)
        rows.append(row("", words, agreement(three, picture), wrong))
    table = "\n".join(rows)
    report = f"{table}\n\n{surfaces(theirs, asset, camera)}\n"
    print(f"{heading()}\n{report}{theirs.version}")
    write_sheet(options.out, three, plain, ours)
    if options.table is not None:
        head = "" if options.table.is_file() else heading() + "\n"
        with options.table.open("a", encoding="utf-8") as file:
            file.write(head + table + "\n")


def variants(light: EnvironmentLight) -> dict[str, EnvironmentLight]:
    """The map, and wrong ones: turned by quarters, and mirrored."""
    radiance, quarter = light.radiance_linear, light.radiance_linear.shape[1] // 4
    wrong = {f"turned_{90 * k}": radiance.roll(k * quarter, 1) for k in (1, 2, 3)}
    maps = {"lit": radiance, **wrong, "mirrored": radiance.flip(1)}
    return {name: EnvironmentLight(values) for name, values in maps.items()}


def alpha_first(exposure: float) -> Tensor:
    """Factors on r, g, b, alpha that expose a picture."""
    return torch.tensor([exposure] * 3 + [1.0])


def coarse(fine: Float[np.ndarray, "h w 4"]) -> Picture:
    """Straight colour and coverage of pixels, from their samples."""
    blocks = torch.from_numpy(fine).unflatten(0, (-1, FINE)).unflatten(2, (-1, FINE))
    covered = (blocks[..., 3:] > 0).float()
    alpha = covered.mean((1, 3))
    color = (blocks[..., :3] * covered).mean((1, 3)) / alpha.clamp_min(1e-6)
    return torch.cat([color, alpha], -1)


def by_splats(asset: Asset, camera: Cameras, light: EnvironmentLight) -> tuple[Picture, Picture]:
    """Our pictures, straight colour and coverage: as rendered, and without occlusion and bounce."""
    rasterize = get_rasterizer("auto")
    with torch.no_grad():
        usual = Relighter(asset, rasterize, light)
        plain = Relighter(asset, rasterize, light, bounce=False, occlusion=usual.occlusion)
        assert plain.occlusion is not None
        plain.seen = plain.light.solid_angle.expand_as(plain.seen).contiguous()
        everything = torch.zeros_like(plain.occlusion.sh)
        everything[:, 0] = (4 * torch.pi) ** 0.5  # the constant 1
        plain.occlusion = dataclasses.replace(plain.occlusion, sh=everything)
        drawn = [relighter.render(camera) for relighter in (usual, plain)]
    pictures = [
        torch.cat([maps["rgb"] / maps["alpha"].clamp_min(1e-6), maps["alpha"]], -1)
        for maps in drawn
    ]
    return pictures[0], pictures[1]


def brute_rows(
    where: str, theirs: ThreePictures, camera: Cameras, light: EnvironmentLight
) -> list[str]:
    """Pictures by three.js against the rendering equation on its own surface, at random samples."""
    surface, inside = surface_of(theirs, camera)
    chosen = inside.nonzero()[:, 0]
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))
    chosen = chosen[order[:BRUTE_PIXELS]]
    radiance = light.radiance_linear
    radiance = downsample(radiance, min(BRUTE_ROWS, radiance.shape[0]))
    shaded = []
    for rows in chosen.split(100):
        part = GBuffer(*(getattr(surface, name)[rows] for name in
                         ("albedo", "roughness", "metallic", "normal", "view")))  # fmt: skip
        shaded.append(shade_by_samples(part, radiance, 1024).radiance)
    truth = torch.cat(shaded)
    right, *wrong = (
        _agreement(torch.from_numpy(theirs.pictures[name]).flatten(0, 1)[chosen, :3], truth)
        for name in variants(light)
    )
    best_wrong = max(found.correlation for found in wrong)
    return [row(where, "brute force on its surface", right, best_wrong)]


def surface_of(theirs: ThreePictures, camera: Cameras) -> tuple[GBuffer, Bool[Tensor, " P"]]:
    """What three.js takes each fine sample for, in our axes; and where there is something."""
    albedo, normal, surface = (
        torch.from_numpy(theirs.pictures[name]).flatten(0, 1)
        for name in ("albedo", "normal", "surface")
    )
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # y up to z up
    normals = torch.nn.functional.normalize(normal[:, :3] @ turn.T, dim=-1)
    rays = pixel_rays(camera.scaled(FINE)).reshape(-1, 3)
    view = -torch.nn.functional.normalize(rays, dim=-1)
    facing = (normals * view).sum(-1) > 0.1
    inside = (albedo[:, 3] > 0) & facing
    return GBuffer(albedo[:, :3], surface[:, :1], surface[:, 1:2], normals, view), inside


def surfaces(theirs: ThreePictures, asset: Asset, camera: Cameras) -> str:
    """How far the textured mesh is from the splats it was made of, in words."""
    with torch.no_grad():
        relighter = Relighter(asset, get_rasterizer("auto"), EnvironmentLight(torch.ones(8, 16, 3)))
        maps = relighter.render(camera)
    albedo, surface = (coarse(theirs.pictures[name]) for name in ("albedo", "surface"))
    gbuffer, _ = surface_of(theirs, camera)
    normal = gbuffer.normal.reshape(theirs.pictures["normal"].shape[0], -1, 3)
    normal = coarse(np.concatenate([normal.numpy(), theirs.pictures["normal"][..., 3:]], -1))
    alpha, three_alpha = maps["alpha"][..., 0], albedo[..., 3]
    both = (alpha > 0.99) & (three_alpha > 0.99)
    union = ((alpha > 0.5) | (three_alpha > 0.5)).sum()
    overlap = ((alpha > 0.5) & (three_alpha > 0.5)).sum() / union

    def of(name: str) -> Tensor:
        return (maps[name] / maps["alpha"].clamp_min(1e-6))[both]

    cosine = torch.nn.functional.cosine_similarity(normal[both][:, :3], of("normal"), dim=-1)
    angle = cosine.clamp(-1, 1).arccos().rad2deg()
    return (
        f"Mesh against splats: silhouettes overlap {100 * overlap:.1f} %, albedo off by "
        f"{(albedo[both][:, :3] - of('albedo')).abs().mean():.3f}, roughness by "
        f"{(surface[both][:, :1] - of('roughness')).abs().mean():.3f}, metallic by "
        f"{(surface[both][:, 1:2] - of('metallic')).abs().mean():.3f} (mean absolute); normals by "
        f"{angle.median():.1f} deg in the median."
    )


def agreement(three: Picture, ours: Picture) -> Agreement:
    """Over the pixels that both cover wholly."""
    both = (three[..., 3] > 0.99) & (ours[..., 3] > 0.99)
    return _agreement(three[both][:, :3], ours[both][:, :3])


def _agreement(first: Float[Tensor, "n 3"], second: Float[Tensor, "n 3"]) -> Agreement:
    red, green, blue = (first.mean(0) / second.mean(0)).tolist()
    shown = [srgb_from_linear(values).clamp(0.0, 1.0) for values in (first, second)]
    error = ((shown[0] - shown[1]) ** 2).mean()
    correlation = torch.corrcoef(torch.stack([values.flatten() for values in shown]))[0, 1]
    return Agreement((red, green, blue), float(-10 * error.log10()), float(correlation))


def heading() -> str:
    """Of the table."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def row(where: str, against: str, found: Agreement, wrong: float) -> str:
    """One line of the table; `wrong` is the best correlation that a wrong map reaches."""
    means = " ".join(f"{100 * (value - 1):+.1f} %" for value in found.ratio)
    fits = (f"{found.psnr:.1f} dB", f"{found.correlation:.3f}", f"{wrong:.3f}")
    cells = (where, against, means, *fits)
    return f"| {' | '.join(cells)} |"


def write_sheet(out: Path, three: Picture, plain: Picture, ours: Picture) -> None:
    """OUT/sheet.png: the pictures side by side, on white."""
    cells = []
    for picture in (three, plain, ours):
        color, alpha = srgb_from_linear(picture[..., :3]).clamp(0.0, 1.0), picture[..., 3:]
        shown = color * alpha + 1.0 - alpha
        cells.append((shown.clamp(0.0, 1.0) * 255 + 0.5).to(torch.uint8).numpy())
    out.mkdir(parents=True, exist_ok=True)
    labels = ["three.js", "our splats, unoccluded", "relight3d render"]
    (out / "sheet.png").write_bytes(encode_png(contact_sheet([cells], column_labels=labels)))
    print(f"Side by side: {out / 'sheet.png'}")


if __name__ == "__main__":
    main()
