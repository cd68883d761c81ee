"""`relight3d export --format glb` on a tiny run."""

import dataclasses

from relight3d import cli
from relight3d.pipeline.asset_file import load_asset, save_asset
from tests.export.surfaces import sphere_mesh, surface_asset


def exported_with(proxy, run, tmp_path, monkeypatch):
    """From now on the run's asset has this surface, whatever its few steps of fitting left."""
    asset = load_asset(run / "asset.safetensors")
    path = tmp_path / "asset.safetensors"
    save_asset(path, dataclasses.replace(asset, proxy=proxy))
    monkeypatch.setattr("relight3d.pipeline.export.load_asset", lambda *_: load_asset(path))


def test_a_run_without_a_surface_says_what_to_train_with(run, tmp_path, capsys, monkeypatch):
    exported_with(None, run, tmp_path, monkeypatch)
    out = tmp_path / "a.glb"
    assert cli.run(["export", str(run), "--out", str(out)]) == 2
    assert "--preset cpu-traced" in capsys.readouterr().err
    assert not out.exists()


def test_a_light_is_not_baked_into_materials(run, capture, tmp_path, capsys):
    env = str(capture / "envmaps" / "evening.hdr")
    arguments = ["export", str(run), "--format", "glb", "--out", str(tmp_path / "a"), "--env", env]
    assert cli.run(arguments) == 2
    assert "Leave --env away" in capsys.readouterr().err


def test_a_surface_becomes_a_file(run, tmp_path, capsys, monkeypatch):
    exported_with(surface_asset(sphere_mesh(8), count=10).proxy, run, tmp_path, monkeypatch)
    out = tmp_path / "mesh.bin"
    assert cli.run(["export", str(run), "--format", "glb", "--out", str(out)]) == 0
    assert "textured surface" in capsys.readouterr().out
    assert out.read_bytes().startswith(b"glTF")
