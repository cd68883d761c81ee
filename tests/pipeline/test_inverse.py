"""The third stage of a run: what it leaves, what it redoes, and what it needs."""

import dataclasses
import json
import shutil

import pytest

from relight3d import cli
from relight3d.core.checkpoint import load_checkpoint
from relight3d.core.errors import CheckpointError, SurfaceError
from relight3d.files.images import read_image
from relight3d.pipeline import stages
from relight3d.pipeline.asset_file import load_asset
from relight3d.pipeline.loop import Cadence
from relight3d.pipeline.run_settings import (
    decompose_settings,
    fit_settings,
    inverse_settings,
    stored_config,
)
from relight3d.pipeline.train import LaterStages, decompose_run
from tests.pipeline.captures import make_capture, train

INVERSE = [
    "--inverse.steps", "2", "--inverse.polish-steps", "1", "--inverse.pixels", "40",
    "--inverse.rays", "4", "--inverse.last-rays", "8", "--inverse.polish-px", "300",
    "--inverse.polish-rays", "4", "--inverse.environment-height", "8",
    "--inverse.consistency-points", "10",
]  # fmt: skip
STAGES = ("fit", "decompose", "inverse")


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return make_capture(tmp_path_factory.mktemp("capture"), test=1)


@pytest.fixture(scope="module")
def plain(capture, tmp_path_factory):
    """A run without the stage."""
    out = tmp_path_factory.mktemp("runs") / "plain"
    assert train(capture, out, "--no-review") == 0
    return out


@pytest.fixture(autouse=True)
def short_turntables(monkeypatch):
    monkeypatch.setattr("relight3d.pipeline.review.TURNTABLE_FRAMES", 2)
    monkeypatch.setattr("relight3d.pipeline.review.TURNTABLE_WIDTH_PX", 32)


def checkpoints(run):
    """Content and time of change of each stage's checkpoint."""
    paths = (run / "checkpoints" / f"{stage}.safetensors" for stage in STAGES)
    return {p.stem: (p.read_bytes(), p.stat().st_mtime_ns) for p in paths if p.exists()}


def later_of(run, score_spp=0, **inverse):
    config = stored_config(run)
    small = {
        "pixels": 40, "rays": 4, "last_rays": 8, "environment_height": 8, "consistency_points": 10
    }  # fmt: skip
    changed = dataclasses.replace(config.inverse, **(small | inverse))
    return LaterStages(config.decomposition, config.proxy, changed, score_spp)


def decompose(run, later, overwrite=False, review=False):
    return decompose_run(run, later, overwrite, Cadence(), review)


def test_a_run_to_its_end(capture, tmp_path):
    out = tmp_path / "run"
    assert train(capture, out, *INVERSE, "--score-spp", "4") == 0
    asset = load_asset(out / "asset.safetensors")
    assert asset.proxy is not None and asset.proxy.materials is not None
    assert asset.materials is not None and len(asset.proxy.mesh) > 100
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished"
    assert set(record["stages"]) == {*STAGES, "proxy", "score", "report"}
    assert record["stages"]["inverse"]["steps"] == 3
    assert set(checkpoints(out)) == set(STAGES)
    for stage in STAGES:
        tensors, meta = load_checkpoint(out / "checkpoints" / f"{stage}.safetensors")
        assert meta["steps_done"] == meta["total_steps"]
        for name, tensor in tensors.items():
            assert not tensor.is_floating_point() or tensor.isfinite().all(), (stage, name)
    scores = json.loads((out / "metrics.json").read_text())["results"]["relight3d"]
    assert scores["relit"]["lights"]["evening"]["psnr_unrelit"] > 0
    assert "inverse" in (out / "report.html").read_text()
    assert cli.run(["eval", str(out), "--spp", "4", "--bounces", "0"]) == 0
    assert cli.run(["eval", str(out), "--spp", "4", "--bounces", "-1"]) == 2
    env = ["--env", str(capture / "envmaps" / "evening.hdr"), "--spp", "4"]
    assert cli.run(["render", str(out), "--out", str(tmp_path / "pictures"), *env]) == 0
    assert read_image(tmp_path / "pictures" / "rgb" / "000.png").pixels.max() > 0.1


def test_only_what_changed_is_done_again(plain, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    before = checkpoints(run)
    assert set(before) == {"fit", "decompose"}
    decompose(run, later_of(run, steps=2))
    added = checkpoints(run)
    assert set(added) == set(STAGES)
    assert {name: added[name] for name in before} == before, "nothing of them is redone"
    refined = load_asset(run / "asset.safetensors").materials
    first = load_asset(plain / "asset.safetensors").materials
    assert refined is not None and first is not None
    assert not refined.albedo_linear.equal(first.albedo_linear)

    decompose(run, later_of(run, score_spp=4, steps=2))
    assert checkpoints(run) == added, "how pictures are scored changes no stage"
    assert stored_config(run).score_spp == 4

    with pytest.raises(CheckpointError, match=r"inverse\.steps is 3 now, was 2 then"):
        decompose(run, later_of(run, steps=3))
    assert checkpoints(run) == added
    assert stored_config(run).inverse.steps == 2


def test_stages_depend_on_what_comes_before_them():
    settings = {
        name: 0 for name in ("inputs", "field", "decomposition", "proxy", "inverse", "score_spp")
    }
    assert set(fit_settings(settings)) == {"inputs", "field"}
    assert set(decompose_settings(settings)) == {"inputs", "field", "decomposition"}
    assert set(inverse_settings(settings)) == settings.keys() - {"score_spp"}


def no_surface(*_, **__):
    raise SurfaceError("A mesh was asked, but nothing is opaque. Fit with more steps.")


def test_without_a_surface_the_asset_has_no_proxy(plain, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    monkeypatch.setattr(stages, "proxy_of", no_surface)
    with pytest.warns(UserWarning, match=r"nothing is opaque.*The asset has no proxy mesh"):
        decompose(run, later_of(run, score_spp=4), review=True)
    asset = load_asset(run / "asset.safetensors")
    assert asset.materials is not None and asset.proxy is None
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert (run / "report.html").exists()


def test_without_a_surface_there_is_nothing_to_refine(plain, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    before = checkpoints(run)
    monkeypatch.setattr(stages, "proxy_of", no_surface)
    with pytest.raises(SurfaceError, match="Fit with more steps"):
        decompose(run, later_of(run, steps=2))
    assert checkpoints(run) == before, "what was done is kept"
