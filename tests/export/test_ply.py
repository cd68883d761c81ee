import dataclasses
import shutil
import struct
import subprocess

import numpy as np
import pytest
import torch

from relight3d.core.errors import FileFormatError, OutputError
from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.sh import basis
from relight3d.core.types import Asset, Materials, Splats
from relight3d.core.views import Similarity
from relight3d.export.ply import outward_normals, read_ply, write_ply
from relight3d.export.ply_table import read_vertices
from tests.export.assets import random_asset

INRIA = (
    ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    + [f"f_rest_{index}" for index in range(45)]
    + ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
)
TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def assert_same(got: Splats, expected: Splats) -> None:
    for field in dataclasses.fields(Splats):
        torch.testing.assert_close(getattr(got, field.name), getattr(expected, field.name))


def ply(names: list[str], rows: list[list[float]], kind: str = "binary_little_endian") -> bytes:
    """A .ply by hand, float columns."""
    head = f"ply\nformat {kind} 1.0\nelement vertex {len(rows)}\n"
    head += "".join(f"property float {name}\n" for name in names) + "end_header\n"
    if kind == "ascii":
        return head.encode() + "\n".join(" ".join(map(repr, row)) for row in rows).encode() + b"\n"
    order = "<" if "little" in kind else ">"
    return head.encode() + b"".join(struct.pack(f"{order}{len(row)}f", *row) for row in rows)


MINIMAL = [name for name in INRIA if name[0] not in "n" and not name.startswith("f_rest")]
ROW = [1.0, 2, 3, 0.1, 0.2, 0.3, 0.5, -1, -2, -3, 1, 0, 0, 0]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("materials", [True, False])
def test_round_trip(tmp_path, degree, materials):
    asset = random_asset(degree=degree, materials=materials)
    write_ply(tmp_path / "a.ply", asset)
    back = read_ply(tmp_path / "a.ply")
    assert_same(back.splats, asset.splats)
    assert back.exposure == 1.25
    if not materials:
        assert back.materials is None
        return
    for field in dataclasses.fields(Materials):
        torch.testing.assert_close(
            getattr(back.materials, field.name), getattr(asset.materials, field.name)
        )


def test_layout_is_inrias_then_the_material(tmp_path):
    asset = random_asset()
    write_ply(tmp_path / "a.ply", asset)
    table = read_vertices(tmp_path / "a.ply")
    extra = ["albedo_0", "albedo_1", "albedo_2", "roughness", "metallic", "progress"]
    extra.append("double_sided")
    assert list(table.names) == INRIA + extra
    assert table.rows.dtype.itemsize == 4 * 69
    sh = asset.splats.sh  # f_rest: all of red, all of green, all of blue
    np.testing.assert_array_equal(table.columns(["f_rest_0"])[:, 0], sh[:, 1, 0])
    np.testing.assert_array_equal(table.columns(["f_rest_15"])[:, 0], sh[:, 1, 1])
    np.testing.assert_array_equal(table.columns(["f_rest_44"])[:, 0], sh[:, 15, 2])
    assert any("linear" in comment for comment in table.comments)


def test_normalisation_is_undone(tmp_path):
    """What is seen at x from direction d in the capture's frame is seen so in the source's."""
    asset = random_asset()
    capture_from_source = Similarity(TURN, np.array([10.0, 0, -4]), 2.0)
    write_ply(tmp_path / "a.ply", asset, capture_from_source)
    back = read_ply(tmp_path / "a.ply")
    turn = torch.from_numpy(TURN).float()
    moved = capture_from_source.apply(back.splats.means.double().numpy())
    torch.testing.assert_close(torch.from_numpy(moved).float(), asset.splats.means)
    directions = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8], [1, 2, 3]]), dim=-1)
    torch.testing.assert_close(
        basis(directions, 3) @ back.splats.sh, basis(directions @ turn.T, 3) @ asset.splats.sh
    )
    torch.testing.assert_close(
        turn @ matrix_from_quaternion(back.splats.quats_wxyz),
        matrix_from_quaternion(asset.splats.quats_wxyz),
    )
    torch.testing.assert_close(2 * back.splats.log_scales.exp(), asset.splats.log_scales.exp())
    assert back.materials is not None
    assert asset.materials is not None
    torch.testing.assert_close(back.materials.normals @ turn.T, asset.materials.normals)


def test_normals_without_materials_are_thin_axes_outward():
    splats = random_asset(200).splats
    normals = outward_normals(splats)
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(200))
    axes = matrix_from_quaternion(splats.quats_wxyz)
    along = torch.einsum("nij,ni->nj", axes, normals).abs()
    assert (along.argmax(-1) == splats.log_scales.argmin(-1)).all()
    assert (((splats.means - splats.means.median(0).values) * normals).sum(-1) >= 0).all()


@pytest.mark.parametrize("kind", ["binary_little_endian", "binary_big_endian", "ascii"])
def test_every_encoding_in_any_column_order(tmp_path, kind):
    shuffled = sorted(MINIMAL, reverse=True)
    row = [ROW[MINIMAL.index(name)] for name in shuffled]
    (tmp_path / "a.ply").write_bytes(ply(shuffled, [row, row], kind))
    splats = read_ply(tmp_path / "a.ply").splats
    expected = torch.tensor([ROW, ROW])
    torch.testing.assert_close(splats.means, expected[:, 0:3])
    torch.testing.assert_close(splats.sh[:, 0], expected[:, 3:6])
    torch.testing.assert_close(splats.opacity_logits, expected[:, 6])
    torch.testing.assert_close(splats.log_scales, expected[:, 7:10])
    torch.testing.assert_close(splats.quats_wxyz, expected[:, 10:14])


def test_mixed_types_elements_before_and_windows_line_ends(tmp_path):
    head = "ply\nformat binary_little_endian 1.0\nelement camera 2\nproperty double f\n"
    head += "property uchar id\nelement vertex 1\nproperty uchar flag\n"
    head += "".join(f"property double {name}\n" for name in MINIMAL) + "end_header\n"
    body = struct.pack("<dBdB", 1, 2, 3, 4) + struct.pack("<B14d", 7, *ROW)
    (tmp_path / "a.ply").write_bytes(head.replace("\n", "\r\n").encode() + body)
    torch.testing.assert_close(read_ply(tmp_path / "a.ply").splats.means, torch.tensor([ROW[:3]]))


def test_surfels_get_a_third_scale(tmp_path):
    names = [name for name in MINIMAL if name != "scale_2"]
    (tmp_path / "a.ply").write_bytes(ply(names, [ROW[:9] + ROW[10:]]))
    scales = read_ply(tmp_path / "a.ply").splats.log_scales.exp()
    torch.testing.assert_close(scales[0, 2] / scales[0, :2].min(), torch.tensor(1e-3))


def test_eight_bit_infinities_are_tamed(tmp_path):
    row = [*ROW[:6], np.inf, -np.inf, -2, -3, 0, 0, 0, 0]
    (tmp_path / "a.ply").write_bytes(ply(MINIMAL, [row]))
    gaussians = read_ply(tmp_path / "a.ply").splats.gaussians()
    assert 0.999 < gaussians.opacities.item() < 1
    assert (gaussians.scales > 0).all()
    torch.testing.assert_close(gaussians.quats_wxyz, torch.tensor([[1.0, 0, 0, 0]]))


def test_materials_of_strangers_are_made_possible(tmp_path):
    names = [
        *MINIMAL,
        "nx",
        "ny",
        "nz",
        "albedo_0",
        "albedo_1",
        "albedo_2",
        "roughness",
        "metallic",
    ]
    (tmp_path / "a.ply").write_bytes(ply(names, [[*ROW, 0, 0, 0, -1, 0.5, 7, 0.25, 1]]))
    materials = read_ply(tmp_path / "a.ply").materials
    assert materials is not None
    torch.testing.assert_close(materials.albedo_linear, torch.tensor([[0.0, 0.5, 1.0]]))
    torch.testing.assert_close(materials.normals.norm(dim=-1), torch.ones(1))
    assert materials.progress.item() == 1


HEAD = b"ply\nformat binary_little_endian 1.0\n"
BODY = ply(MINIMAL, [ROW])
GOOD = BODY[len(HEAD) :]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"solid cube", "another kind"),
        (BODY[:60], "no end of its header"),
        (BODY[:-1], "cut off: 1 vertices"),
        (ply(MINIMAL, [ROW] * 3, "ascii")[:-30], "cut off"),
        (ply(MINIMAL, [ROW], "ascii").replace(b"-3", b"x3"), "not a number|cut off"),
        (BODY.replace(b"vertex 1", b"vertex 99999999999999"), "cut off: 99,999,999,999,999"),
        (BODY.replace(b"vertex 1", b"vertex " + b"9" * 400), "cut off"),
        (BODY.replace(b"vertex 1", b"vertex -1"), "means nothing"),
        (BODY.replace(b"vertex 1", b"vertex 1e9"), "means nothing"),
        (BODY.replace(b"vertex 1", b"vertex 0"), "holds no splats"),
        (BODY.replace(b"element vertex", b"element points"), "no element 'vertex'"),
        (HEAD + b"element face 9\nproperty list uchar int v\n" + GOOD, "lists"),
        (HEAD + b"element chunk 1\nproperty float min_x\n" + GOOD, "compressed"),
        (HEAD + b"element big 99999999999999\nproperty double d\n" + GOOD, "cut off"),
        (BODY.replace(b"float y", b"float x"), "twice"),
        (BODY.replace(b"float y", b"quaternion y"), "means nothing"),
        (BODY.replace(b"format binary_little_endian 1.0", b"comment no format"), "ascii or binary"),
        (BODY.replace(b"float f_dc_0", b"float red"), "point cloud or a mesh"),
        (ply([*MINIMAL, "f_rest_0"], [[*ROW, 0]]), "1 f_rest columns"),
        (ply([*MINIMAL, *(f"f_rest_{k + 1}" for k in range(9))], [ROW + [0] * 9]), "f_rest"),
        (ply(MINIMAL, [ROW, [np.nan, *ROW[1:]]]), "NaN or infinite position in 1 of 2.*number 1"),
        (ply(MINIMAL, [[*ROW[:3], np.inf, *ROW[4:]]]), "infinite colour"),
        (b"ply\n" + bytes(200_000), "no end of its header"),
    ],
)
def test_malformed_files_are_refused_with_one_message(tmp_path, data, words):
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(FileFormatError, match=words) as caught:
        read_ply(tmp_path / "a.ply")
    assert "a.ply" in str(caught.value)


def test_random_damage_never_does_worse_than_a_message(tmp_path):
    write_ply(tmp_path / "a.ply", random_asset(count=2, degree=0))
    data = np.frombuffer((tmp_path / "a.ply").read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = data.copy()
        broken[rng.integers(0, data.size, 4)] = rng.integers(0, 256, 4)
        (tmp_path / "b.ply").write_bytes(broken.tobytes())
        try:
            assert len(read_ply(tmp_path / "b.ply").splats) <= 2
        except FileFormatError as error:
            assert "b.ply" in str(error)


def test_diverged_splats_are_not_written(tmp_path):
    asset = random_asset()
    asset.splats.means[3, 1] = torch.nan
    with pytest.raises(OutputError, match="diverged"):
        write_ply(tmp_path / "a.ply", asset)
    assert list(tmp_path.iterdir()) == []


def test_foreign_reader_keeps_every_column(tmp_path):
    """Where it is installed: `npm install -g @playcanvas/splat-transform`."""
    program = shutil.which("splat-transform")
    if program is None:
        pytest.skip("splat-transform is not installed")
    asset: Asset = random_asset(50)
    write_ply(tmp_path / "a.ply", asset)
    command = [program, "-w", str(tmp_path / "a.ply"), str(tmp_path / "b.ply")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    back = read_ply(tmp_path / "b.ply")
    assert_same(back.splats, asset.splats)
    assert back.materials is not None
    assert asset.materials is not None
    torch.testing.assert_close(back.materials.normals, asset.materials.normals)
