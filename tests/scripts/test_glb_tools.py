"""The scripts that have .glb files judged by others: what they do without those others."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import check_glb
import node_tools
import numpy as np
import pytest
import three_renderer
import torch

from relight3d.core.types import Cameras, EnvironmentLight
from relight3d.core.views import Similarity
from relight3d.export.glb import gltf_from_capture, write_glb
from relight3d.shading.latlong import texel_directions
from tests.export.surfaces import box_mesh, surface_asset

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *arguments],
        env={"PATH": path, "HOME": "/nowhere", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_missing_programs_are_named(tmp_path):
    (tmp_path / "a.glb").write_bytes(b"glTF")
    done = run_script("check_glb.py", str(tmp_path / "a.glb"), path=str(tmp_path))
    assert done.returncode == 2
    assert "needs node" in done.stderr
    assert "apt install nodejs" in done.stderr
    missing = run_script("check_glb.py", str(tmp_path / "b.glb"), path=str(tmp_path))
    assert missing.returncode == 2
    assert "There is no file" in missing.stderr


@pytest.mark.parametrize("ask", [node_tools.node, node_tools.browser])
def test_every_missing_program_has_advice(monkeypatch, ask):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(node_tools.MissingToolError, match=r"not installed.*apt install"):
        ask()


def test_a_failed_installation_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(node_tools, "CACHE", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    failed = subprocess.CompletedProcess([], 1, "", "no network")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(node_tools.MissingToolError, match=r"could not install three.*no network"):
        node_tools.npm_package("three")


def test_errors_and_warnings_condemn_and_are_shown():
    counts = {"numErrors": 0, "numWarnings": 0, "numInfos": 1, "numHints": 0}
    message = {"code": "UNUSED_OBJECT", "pointer": "/meshes/0", "message": "It is unused."}
    report = {"issues": {**counts, "messages": [message]}, "info": {"totalTriangleCount": 12}}
    assert check_glb.is_sound(report)
    assert "UNUSED_OBJECT at /meshes/0" in check_glb.summary(report)
    for kind in ("numErrors", "numWarnings"):
        assert not check_glb.is_sound({"issues": {**counts, kind: 1}})


def test_khronos_finds_nothing_wrong(tmp_path):
    """Where the validator was installed by `scripts/check_glb.py` before."""
    home = node_tools.CACHE / f"gltf-validator-{node_tools.VERSIONS['gltf-validator']}"
    if shutil.which("node") is None or not home.is_dir():
        pytest.skip("Node.js or gltf-validator is not there: run scripts/check_glb.py once")
    asset = surface_asset(box_mesh(), count=200)
    similarity = Similarity(np.eye(3), np.array([1.0, 2.0, 3.0]), 0.1)
    write_glb(tmp_path / "a.glb", asset, similarity)
    report = check_glb.validated(tmp_path / "a.glb")
    assert report["issues"]["messages"] == []
    damaged = bytearray((tmp_path / "a.glb").read_bytes())
    where = damaged.index(b'"count":')
    damaged[where + 8 : where + 9] = b"9"
    (tmp_path / "b.glb").write_bytes(bytes(damaged))
    assert not check_glb.is_sound(check_glb.validated(tmp_path / "b.glb"))


def test_a_point_lies_at_the_same_pixel_in_both_worlds():
    """Our pinhole camera and OpenGL's matrices, through a similarity with a turn."""
    angle = 0.3
    turn = np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0],
                     [-math.sin(angle), 0, math.cos(angle)]])  # fmt: skip
    place = gltf_from_capture(Similarity(turn, np.array([0.2, 0.5, -1.0]), 0.5))
    pose = torch.eye(4)
    pose[:3, :3] = torch.from_numpy(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]))  # looks along y
    pose[:3, 3] = torch.tensor([0.1, 0.2, 3.0])
    intrinsics = torch.tensor([[80.0, 0, 30], [0, 90, 26], [0, 0, 1]])
    camera = Cameras(pose[None], intrinsics[None], 64, 48)
    point = torch.tensor([0.3, 0.4, 0.5, 1.0])
    seen = intrinsics @ (pose @ point)[:3]
    pixel = (seen[:2] / seen[2]).numpy()
    to_camera = np.linalg.inv(three_renderer.camera_to_gltf(camera, place))
    clip = three_renderer.projection(camera, place.scale) @ to_camera
    clip = clip @ np.append(place.apply(point[None, :3].double().numpy())[0], 1.0)
    x, y, z = clip[:3] / clip[3]
    np.testing.assert_allclose([(x + 1) * 32, (1 - y) * 24], pixel, atol=1e-4)
    assert -1 < z < 1


def test_three_js_finds_each_direction_where_we_put_it():
    """Its own formula (equirectUv in common.glsl.js), on our map as it gets it."""
    directions = texel_directions(16, 32)
    light = EnvironmentLight(0.5 + 0.5 * directions)  # every texel says where it looks
    turned = three_renderer.three_layout(light).radiance_linear
    x, y, z = directions[..., 0], directions[..., 2], -directions[..., 1]  # three's axes
    u = torch.atan2(z, x) / (2 * math.pi) + 0.5
    v = torch.asin(y.clamp(-1, 1)) / math.pi + 0.5
    column = (u * 32).floor().long() % 32
    row = ((1 - v) * 16).floor().long().clamp(0, 15)
    torch.testing.assert_close(turned[row, column], light.radiance_linear)
