"""Rendered maps as picture files: DIR/<aov>/NNN.png, and .exr on request.

PNGs are 8-bit RGBA with straight alpha: `rgb` sRGB, `albedo` linear x 255, `normal` 0.5 n + 0.5 in
the capture's own world frame, scalars as grey. An .exr holds the same maps unquantised: `rgb` and
`albedo` linear and premultiplied, as OpenEXR defines colour; the others as plain values; plus A.
"""

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from relight3d.core.color import srgb_from_linear
from relight3d.files.atomic import atomic_file
from relight3d.files.exr import write_exr
from relight3d.files.pictures import encode_png

Aov = Literal["rgb", "albedo", "normal", "roughness", "metallic", "depth", "alpha", "progress"]
AOVS: tuple[Aov, ...] = get_args(Aov)
_EXR_CHANNELS = {"rgb": "RGB", "albedo": "RGB", "normal": "XYZ"}


def frame_path(out: Path, aov: Aov, index: int, suffix: str = ".png") -> Path:
    """DIR/<aov>/NNN.suffix, numbered from 000."""
    return out / aov / f"{index:03d}{suffix}"


def save_frames(
    out: Path,
    aov: Aov,
    index: int,
    image: Float[Tensor, "H W C"],
    alpha: Float[Tensor, "H W 1"],
    *,
    premultiplied: bool = True,
    capture_from_source: Float[np.ndarray, "3 3"] | None = None,
    grey_range: tuple[float, float] = (0.0, 1.0),
    exr: bool = False,
) -> UInt8[np.ndarray, "H W 4"]:
    """Write one map of one view as .png, and as .exr if asked.

    Args:
        out: The folder that gets one subfolder per map.
        aov: Which map.
        index: Number of the view.
        image: `rgb` linear radiance (exposed), `albedo` linear, `normal` world vectors of any
            length in the capture's normalised frame, scalars with one channel.
        alpha: Coverage in [0, 1].
        premultiplied: Whether `image` was composited over nothing, as a rasterizer returns it;
            False for maps that were divided by alpha already, such as depth.
        capture_from_source: Rotation of the capture's normalisation, undone for normals.
        grey_range: Scalars at these values are black and white (depth).
        exr: Also write the unquantised map.

    Returns:
        The 8-bit picture as written.

    Raises:
        OutputError: A file cannot be written; none is left half written.
    """
    values, alpha = image.detach().float().cpu(), alpha.detach().float().cpu().clamp(0.0, 1.0)
    if premultiplied:
        values = straight(values, alpha)
    if aov == "normal":
        values = _source_normals(values, capture_from_source)
    if aov == "alpha":
        values = alpha
    picture = encode_aov(aov, values, alpha, grey_range)
    with atomic_file(frame_path(out, aov, index)) as temporary:
        temporary.write_bytes(encode_png(picture))
    if exr:
        names = tuple(_EXR_CHANNELS.get(aov, "Y"))
        if aov in ("rgb", "albedo"):
            values = values * alpha
        pixels = torch.cat([values, alpha], -1).numpy()
        write_exr(frame_path(out, aov, index, ".exr"), pixels, (*names, "A"))
    return picture


def straight(
    premultiplied: Float[Tensor, "H W C"], alpha: Float[Tensor, "H W 1"]
) -> Float[Tensor, "H W C"]:
    """Divide by alpha; 0 where nothing is covered. Differentiable where covered."""
    covered = alpha > 1e-6
    return torch.where(covered, premultiplied / alpha.clamp_min(1e-6), 0.0)


def encode_aov(
    aov: Aov,
    values: Float[Tensor, "H W C"],
    alpha: Float[Tensor, "H W 1"],
    grey_range: tuple[float, float] = (0.0, 1.0),
) -> UInt8[np.ndarray, "H W 4"]:
    """Straight values of a map to 8-bit RGBA; rounded to nearest, black where alpha is 0.

    The map `alpha` is opaque grey: its values are the coverage itself.
    """
    if aov == "rgb":
        shown = srgb_from_linear(values)
    elif aov == "normal":
        shown = 0.5 * values + 0.5
    elif aov == "albedo":
        shown = values
    else:
        low, high = grey_range
        shown = ((values - low) / (high - low)).expand(-1, -1, 3)
    if aov == "alpha":
        alpha = torch.ones_like(alpha)
    shown = torch.where(alpha > 0, shown, 0.0)
    levels = torch.cat([shown, alpha], -1).nan_to_num(0.0).clamp(0.0, 1.0) * 255 + 0.5
    return levels.to(torch.uint8).numpy()


def _source_normals(
    normals: Float[Tensor, "H W 3"], rotation: Float[np.ndarray, "3 3"] | None
) -> Float[Tensor, "H W 3"]:
    """Unit length, in the source's frame; 0 stays 0."""
    normals = torch.nn.functional.normalize(normals, dim=-1)
    if rotation is None:
        return normals
    return normals @ torch.from_numpy(rotation).to(normals)  # row vectors: n @ R is R^T n
