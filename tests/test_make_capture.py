"""The script as its user meets it: layouts, repetition, resuming after SIGKILL, bad input."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import make_capture
import numpy as np
import PIL.Image
import pytest
import torch
from capture_maker.plan import Settings
from capture_maker.scenes import SCENES
from make_demo_capture import folder_digest
from tiny_gltf import png_uri, quad, write_gltf

from relight3d.capture import load
from relight3d.core.errors import ConfigurationError
from relight3d.core.types import EnvironmentLight
from relight3d.files.environment import read_environment, write_environment

ROOT = Path(__file__).resolve().parent.parent
mitsuba = pytest.importorskip("mitsuba", reason="Mitsuba comes with the extras [dev] and [maker]")
TINY = ["--scene", "furnace_ball", "--train", "3", "--test", "1", "--size", "16", "--spp", "2"]


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("maps")
    radiance = torch.rand(16, 32, 3, generator=torch.Generator().manual_seed(0))
    for name, value in {"sky": radiance, "lamp": radiance**8}.items():
        write_environment(folder / f"{name}.hdr", EnvironmentLight(value))
    bad = np.ones((16, 32, 3), np.float32)
    bad[3, 4] = np.nan
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": bad}).write(str(folder / "nan.exr"))
    names = ("sky.hdr", "lamp.hdr", "nan.exr")
    return {Path(name).stem: str(folder / name) for name in names}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["make_capture.py", *map(str, arguments)])
    return make_capture.main()


def test_the_layout_of_maps(maps, monkeypatch, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--envs", maps["sky"], maps["lamp"], "--rotations", 0, 45, "--out", out]
    assert run(monkeypatch, *TINY, *options) == 0
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    view = ("albedo.png", "normal.png", "roughness.png", "metallic.png", "depth.npy")
    assert names == {
        "scene.json", "envmaps/sky.hdr", "envmaps/lamp.hdr",
        *(f"train_00{i}/metadata.json" for i in range(3)),
        "train_000/rgba_sky_000.png", "train_001/rgba_sky_045.png", "train_002/rgba_sky_000.png",
        "test_000/metadata.json", "test_000/rgba_sky_000.png", "test_000/rgba_lamp.png",
        *(f"test_000/{name}" for name in view),
    }  # fmt: skip
    capture = load(out)
    assert [v.split for v in capture.views] == ["train"] * 3 + ["test"]
    assert capture.views[1].light.rotation_rad == pytest.approx(math.pi / 4)
    assert set(capture.environments) == {"sky", "lamp"}
    assert set(capture.views[3].truth) == {
        "albedo", "normal", "roughness", "metallic", "depth", "relit/lamp",
    }  # fmt: skip
    radiance = read_environment(out / "envmaps" / "lamp.hdr").radiance_linear.double()
    edges = torch.linspace(0, math.pi, 17, dtype=torch.float64).cos()
    mean = (radiance.mean((1, 2)) * (edges[:-1] - edges[1:])).sum() / 2
    assert mean.item() == pytest.approx(0.8, rel=0.005)
    scene = json.loads((out / "scene.json").read_text())
    assert scene["mode"] == "rotated" and scene["tests"] == SCENES["furnace_ball"]().tests
    assert scene["measured"]["indirect_share"] < 0.02  # a ball alone does not light itself


def test_the_layout_of_point_lights(monkeypatch, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, *TINY, "--points", 2, "--out", out) == 0
    capture = load(out)
    lights = [view.light.points[0] for view in capture.views]
    assert [v.split for v in capture.views] == ["train"] * 3 + ["test"]
    assert lights[0].position == lights[2].position != lights[1].position
    assert lights[3].position not in [light.position for light in lights[:3]]
    assert all(light.intensity_linear == (60.0,) * 3 for light in lights)
    assert {"albedo", "normal", "roughness", "metallic", "depth"} <= set(capture.views[3].truth)


def test_enclosed_pictures_are_full(maps, monkeypatch, tmp_path: Path) -> None:
    options = ["--scene", "closed_room", "--train", 3, "--test", 1, "--size", 16, "--spp", 2]
    assert run(monkeypatch, *options, "--envs", maps["sky"], "--out", tmp_path / "room") == 0
    for path in (tmp_path / "room").rglob("rgba*.png"):
        assert (np.array(PIL.Image.open(path))[..., 3] == 255).all()
    scene = json.loads((tmp_path / "room" / "scene.json").read_text())
    assert scene["measured"]["indirect_share"] > 0.3
    load(tmp_path / "room")


def test_the_same_twice_on_any_number_of_cores(maps, monkeypatch, tmp_path: Path) -> None:
    import drjit

    options = [*TINY, "--envs", maps["sky"], "--size", 40]  # several blocks
    assert run(monkeypatch, *options, "--out", tmp_path / "a") == 0
    count = drjit.thread_count()
    drjit.set_thread_count(1)
    assert run(monkeypatch, *options, "--out", tmp_path / "b") == 0
    drjit.set_thread_count(count)
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b")
    assert run(monkeypatch, *options, "--seed", 1, "--out", tmp_path / "c") == 0
    assert folder_digest(tmp_path / "a") != folder_digest(tmp_path / "c")


@pytest.mark.slow
@pytest.mark.parametrize("at", ["scene.json", "train_001/rgba_sky_000.png", "test_000/albedo.png"])
def test_a_killed_run_goes_on(maps, monkeypatch, tmp_path: Path, at: str) -> None:
    options = [*TINY, "--train", "8", "--size", "32", "--spp", "300", "--envs", maps["sky"]]
    out = tmp_path / "killed"
    command = [sys.executable, "scripts/make_capture.py", *options, "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 120
        while not (out / at).exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "train_007" / "metadata.json").exists()
    assert run(monkeypatch, *options, "--out", out) == 0
    assert run(monkeypatch, *options, "--out", tmp_path / "calm") == 0
    assert folder_digest(out) == folder_digest(tmp_path / "calm")


def test_a_capture_of_other_settings_is_left_alone(maps, monkeypatch, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, *TINY, "--envs", maps["sky"], "--out", out) == 0
    before = folder_digest(out)
    changed = [*TINY, "--envs", maps["sky"], "--spp", 3, "--out", out]
    assert run(monkeypatch, *changed) == 2
    assert "spp: there 2, asked 3" in capsys.readouterr().err
    assert folder_digest(out) == before
    (out / "mine.txt").write_text("not of a capture")
    assert run(monkeypatch, *changed, "--overwrite") == 2
    (out / "mine.txt").unlink()
    assert run(monkeypatch, *changed, "--overwrite") == 0
    assert run(monkeypatch, *changed[:-2], "--out", tmp_path / "new") == 0
    assert folder_digest(out) == folder_digest(tmp_path / "new")


def test_a_folder_of_something_else_is_left_alone(maps, monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    options = [*TINY, "--envs", maps["sky"], "--out", tmp_path, "--overwrite"]
    assert run(monkeypatch, *options) == 2
    assert "other files (thesis.txt" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def broken_models() -> dict[str, tuple[dict | bytes | None, str]]:
    red = png_uri(np.full((2, 2, 3), [255, 0, 0]))
    textured = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    whole = quad(textured, [red])
    outside = quad(textured, ["../secret.png"])
    cut = quad(textured, [red])
    cut["accessors"][1]["count"] = 400
    index = quad({"pbrMetallicRoughness": {"baseColorTexture": {"index": 7}}}, [red])
    return {
        "missing": (None, "cannot be opened"),
        "empty": (b"", "is empty"),
        "not glTF": (b"solid something", "is not a glTF file"),
        "cut glb": (b"glTF\2\0\0\0\xff\0\0\0\xf0\0\0\0JSON{}", "cut off"),
        "old": ({**whole, "asset": {"version": "1.0"}}, "version 1.0"),
        "draco": (
            {**whole, "extensionsRequired": ["KHR_draco_mesh_compression"]},
            "KHR_draco_mesh_compression",
        ),
        "no texture coordinates": (quad(textured, [red], None), "texture coordinates"),
        "hostile path": (outside, "secret.png"),
        "absolute path": (quad(textured, ["/etc/passwd"]), "/etc/passwd"),
        "no picture": (quad(textured, ["data:image/png;base64,AAAA"]), "no PNG"),
        "past the end": (cut, "cut off"),
        "no such texture": (index, "damaged"),
        "no meshes": ({"asset": {"version": "2.0"}, "scenes": [{}]}, "no triangles"),
    }


@pytest.mark.parametrize("name", broken_models())
def test_a_bad_model_is_one_message(name, maps, monkeypatch, tmp_path: Path, capsys) -> None:
    content, words = broken_models()[name]
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"a file outside")
    model = folder / "model.gltf"
    if isinstance(content, dict):
        write_gltf(model, content)
    elif content is not None:
        model.write_bytes(content)
    out = tmp_path / "out"
    options = ["--model", model, "--envs", maps["sky"], "--out", out]
    assert run(monkeypatch, *options) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--envs", "{nan}"], "NaN"),
        (["--envs", "{sky}", "/no/such/map.hdr"], "map.hdr"),
        (["--envs", "{sky}", "{sky}"], "Two environment maps"),
        (["--envs", "{sky}", "--points", "3"], "either"),
        ([], "either"),
        (["--envs", "{sky}", "--floor"], "--floor"),
        (["--envs", "{sky}", "--size", "0"], "--size"),
        (["--envs", "{sky}", "--rotations", "400"], "--rotations"),
        (["--envs", "{sky}", "--variant", "cobol"], "--variant"),
    ],
)
def test_bad_options_are_one_message(
    options, words, maps, monkeypatch, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    filled = [option.format(**maps) for option in options]
    assert run(monkeypatch, *TINY, *filled, "--out", out) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1
    assert not out.exists()


def test_a_missing_mitsuba_is_said(maps, monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    assert run(monkeypatch, *TINY, "--envs", maps["sky"], "--out", tmp_path / "out") == 2
    assert "pip install" in capsys.readouterr().err


def test_a_map_name_that_means_a_turn_is_refused(maps, monkeypatch, tmp_path, capsys) -> None:
    path = tmp_path / "sky_045.hdr"
    path.write_bytes(Path(maps["sky"]).read_bytes())
    assert run(monkeypatch, *TINY, "--envs", path, "--out", tmp_path / "out") == 2
    assert "Rename" in capsys.readouterr().err


def test_a_model_and_a_scene_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="either"):
        Settings(model=Path("a.glb"), scene="furnace_ball", points=1)
