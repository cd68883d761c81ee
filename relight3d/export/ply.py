"""3DGS .ply: the layout every splat viewer reads, with the material in further columns.

Columns, float32, little endian: x y z, nx ny nz, f_dc_0..2, f_rest_* (channel by channel),
opacity (logit), scale_0..2 (log), rot_0..3 (wxyz); then albedo_0..2 (linear), roughness, metallic,
progress, double_sided. Readers that do not know the last seven ignore them. Our SH are 3DGS's,
number by number.
"""

import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relight3d import __version__
from relight3d.core.errors import FileFormatError, OutputError
from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.transform import transform_materials, transform_splats
from relight3d.core.types import Asset, Materials, Splats
from relight3d.core.views import Similarity
from relight3d.export.ply_table import WHAT, VertexTable, read_vertices
from relight3d.files.atomic import atomic_file

POSITION = ["x", "y", "z"]
NORMAL = ["nx", "ny", "nz"]
DC = ["f_dc_0", "f_dc_1", "f_dc_2"]
SCALE = ["scale_0", "scale_1", "scale_2"]
ROTATION = ["rot_0", "rot_1", "rot_2", "rot_3"]
ALBEDO = ["albedo_0", "albedo_1", "albedo_2"]
MATERIAL = [*ALBEDO, "roughness", "metallic"]
TRUST = ["progress", "double_sided"]
"""Of our own files; 1 where a file does not have them."""
_REST_COUNTS = (0, 9, 24, 45)
_EXPOSURE = "relight3d exposure"
_LARGEST_LOGIT = 15.0
"""Opacity 1 - 3e-7: what an infinite logit (opacity exactly 1, from 8-bit formats) becomes."""
_SMALLEST_LOG_SCALE = -20.0
_SAME_FRAME = Similarity()


def write_ply(path: Path, asset: Asset, capture_from_source: Similarity = _SAME_FRAME) -> None:
    """Write splats, normals and materials in the source's own frame.

    Args:
        path: Target; replaced only when the new file is complete.
        asset: In the capture's frame. Without materials the normals are the splats' thin axes,
            turned away from the middle of the asset, and the material columns are left out.
        capture_from_source: The capture's normalisation, which is undone: positions, sizes,
            orientations, normals and SH.

    Raises:
        OutputError: The asset has NaN or infinite values, or the file cannot be written.
    """
    splats = transform_splats(asset.splats, capture_from_source.inverse())
    columns: dict[str, Tensor] = {}

    def add(names: list[str], values: Tensor) -> None:
        columns.update(zip(names, values.detach().float().cpu().unbind(-1), strict=True))

    add(POSITION, splats.means)
    materials = asset.materials
    if materials is None:
        add(NORMAL, outward_normals(splats))
    else:
        materials = transform_materials(materials, capture_from_source.inverse())
        add(NORMAL, torch.nn.functional.normalize(materials.normals, dim=-1))
    add(DC, splats.sh[:, 0])
    rest = splats.sh[:, 1:].transpose(1, 2).flatten(1)
    add([f"f_rest_{index}" for index in range(rest.shape[1])], rest)
    add(["opacity"], splats.opacity_logits[:, None])
    add(SCALE, splats.log_scales)
    add(ROTATION, torch.nn.functional.normalize(splats.quats_wxyz, dim=-1))
    if materials is not None:
        add(ALBEDO, materials.albedo_linear)
        add(["roughness"], materials.roughness)
        add(["metallic"], materials.metallic)
        add(["progress"], materials.progress)
        add(["double_sided"], materials.double_sided)
    table = torch.stack(list(columns.values()), -1).numpy().astype("<f4", copy=False)
    if not np.isfinite(table).all():
        raise OutputError(
            f"Could not write {path}: the splats have NaN or infinite values. The fit that made "
            "them has diverged."
        )
    header = _header(len(splats), list(columns), materials is not None, asset.exposure)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        file.write(table.data)


def read_ply(path: Path) -> Asset:
    """Read a 3DGS .ply of ours or anybody's: Inria's, gsplat's, nerfstudio's layout, 2DGS.

    SH degree 0 to 3; ascii or binary, either byte order; any column order; unknown columns are
    ignored. A missing third scale (2DGS) becomes a thousandth of the smaller of the two.

    Returns:
        The asset in the file's own frame, with materials if all their columns are there (missing
        `progress` and `double_sided` count as 1), no lights.

    Raises:
        FileFormatError: Missing, cut off, malformed, compressed, without the columns of splats, or
            with NaN values. One message, naming the file.
    """
    table = read_vertices(path)
    splats = _read_splats(path, table)
    return Asset(
        splats=splats,
        materials=_read_materials(table, splats),
        environments={},
        exposure=_read_exposure(table.comments),
    )


def outward_normals(splats: Splats) -> Float[Tensor, "N 3"]:
    """The thinnest axis of each splat, turned away from the middle of all: a guess of the sign."""
    axes = matrix_from_quaternion(splats.quats_wxyz)
    thinnest = splats.log_scales.argmin(-1)[:, None, None].expand(-1, 3, 1)
    normals = axes.gather(2, thinnest).squeeze(-1)
    middle = splats.means.median(0).values
    inward = ((splats.means - middle) * normals).sum(-1, keepdim=True) < 0
    return torch.where(inward, -normals, normals)


def _header(count: int, names: list[str], has_materials: bool, exposure: float) -> bytes:
    normals = "of the surface, outward" if has_materials else "thinnest axes, sign guessed"
    lines = io.StringIO()
    lines.write("ply\nformat binary_little_endian 1.0\n")
    lines.write(f"comment relight3d {__version__}\n")
    lines.write("comment relight3d frame: the source's own, normalisation undone\n")
    lines.write("comment relight3d colour: sRGB display = 0.5 + SH (f_dc, f_rest), Rec. 709\n")
    lines.write(f"comment relight3d normals: {normals}\n")
    if has_materials:
        lines.write("comment relight3d material: glTF metallic-roughness, albedo linear Rec. 709\n")
    lines.write(f"comment {_EXPOSURE} {exposure!r}\n")
    lines.write(f"element vertex {count}\n")
    lines.writelines(f"property float {name}\n" for name in names)
    lines.write("end_header\n")
    return lines.getvalue().encode("ascii")


def _read_splats(path: Path, table: VertexTable) -> Splats:
    scale = SCALE if "scale_2" in table.names else SCALE[:2]
    missing = set([*POSITION, *DC, "opacity", *scale, *ROTATION]) - set(table.names)
    if missing:
        raise FileFormatError(
            f"{WHAT} {path} lacks {', '.join(sorted(missing))}: it is a point cloud or a mesh, "
            "not Gaussian splats. Give a .ply as 3DGS trainers write it."
        )
    sh = _read_sh(path, table)
    means, quats, scales = (table.columns(names) for names in (POSITION, ROTATION, scale))
    logits = np.clip(table.columns(["opacity"])[:, 0], -_LARGEST_LOGIT, _LARGEST_LOGIT)
    if len(scale) == 2:
        scales = np.concatenate([scales, scales.min(1, keepdims=True) - np.log(1000)], 1)
    scales = np.maximum(scales, _SMALLEST_LOG_SCALE, dtype=np.float32)
    everything = {"position": means, "rotation": quats, "scale": scales, "opacity": logits,
                  "colour": sh}  # fmt: skip
    for name, values in everything.items():
        bad = np.flatnonzero(~np.isfinite(values).reshape(len(table), -1).all(1))
        if bad.size:
            raise FileFormatError(
                f"{WHAT} {path} has NaN or infinite {name} in {bad.size:,} of {len(table):,} "
                f"splats, first in number {bad[0]}. Clean it in an editor."
            )
    quats[~quats.any(1)] = (1, 0, 0, 0)
    return Splats(*map(torch.from_numpy, (means, quats, scales, logits, sh)))


def _read_sh(path: Path, table: VertexTable) -> Float[np.ndarray, "N K 3"]:
    count = sum(name.startswith("f_rest_") for name in table.names)
    names = [f"f_rest_{index}" for index in range(count)]
    if count not in _REST_COUNTS or not table.has(names):
        raise FileFormatError(
            f"{WHAT} {path} has {count} f_rest columns; SH of degree 0 to 3 have "
            f"{', '.join(map(str, _REST_COUNTS))}. Export it with SH degree 3 or lower."
        )
    rest = table.columns(names).reshape(len(table), 3, count // 3).transpose(0, 2, 1)
    return np.concatenate([table.columns(DC)[:, None], rest], 1)


def _read_materials(table: VertexTable, splats: Splats) -> Materials | None:
    """The material columns; None if incomplete or not finite."""
    if not table.has([*MATERIAL, *NORMAL]):
        return None
    values = torch.from_numpy(table.columns(MATERIAL))
    normals = torch.from_numpy(table.columns(NORMAL))
    one = torch.ones(len(splats), 1)
    trust = [torch.from_numpy(table.columns([n])) if n in table.names else one for n in TRUST]
    if not all(found.isfinite().all() for found in (values, normals, *trust)):
        return None
    values = values.clamp(0.0, 1.0)
    length = normals.norm(dim=-1, keepdim=True)
    normals = torch.where(length > 1e-6, normals / length.clamp_min(1e-6), outward_normals(splats))
    return Materials(
        albedo_linear=values[:, :3].contiguous(),
        roughness=values[:, 3:4].contiguous(),
        metallic=values[:, 4:5].contiguous(),
        normals=normals,
        progress=trust[0].clamp(0.0, 1.0),
        double_sided=trust[1].clamp(1e-3, 1.0),
    )


def _read_exposure(comments: tuple[str, ...]) -> float:
    for comment in comments:
        if comment.startswith(_EXPOSURE):
            try:
                value = float(comment[len(_EXPOSURE) :])
            except ValueError:
                continue
            if 0 < value < 1e6:
                return value
    return 1.0
