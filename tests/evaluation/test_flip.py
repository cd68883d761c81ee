import csv
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from relight3d.core.errors import BackendUnavailableError, EvaluationError
from relight3d.evaluation import flip as flip_module
from relight3d.evaluation.flip import available, flip

needs_flip = pytest.mark.skipif(not available(), reason="flip-evaluator is not installed")


def two_pictures() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:48, :57] / 48.0
    truth = np.stack([x / 1.2, y, 0.5 + 0.4 * np.sin(20 * x)], -1)
    noise = 0.1 * np.random.default_rng(0).standard_normal(truth.shape)
    picture = np.clip(0.9 * np.roll(truth, 2, axis=1) + noise, 0, 1)
    rounded = [np.round(p * 255).astype(np.uint8) for p in (picture, np.clip(truth, 0, 1))]
    return rounded[0], rounded[1]


@needs_flip
def test_the_mean_is_that_of_the_reference_command_line(tmp_path):
    picture, truth = two_pictures()
    Image.fromarray(picture).save(tmp_path / "picture.png")
    Image.fromarray(truth).save(tmp_path / "truth.png")
    # What the installed script `flip` calls; it writes the mean with six digits.
    code = "from flip_evaluator.flip_python_api import main; main()"
    arguments = ["-r", "truth.png", "-t", "picture.png", "--csv", "out.csv", "-nerm"]
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, check=True)
    with (tmp_path / "out.csv").open(newline="") as file:
        reference = float(next(csv.DictReader(file))["Mean"])
    ours = flip(picture / np.float32(255), truth / np.float32(255))
    assert reference > 0.1
    assert ours.mean == pytest.approx(reference, abs=1e-6)
    assert ours.map.shape == (48, 57)
    assert ours.map.mean() == pytest.approx(ours.mean, abs=1e-5)


@needs_flip
def test_equal_pictures_do_not_differ_and_black_and_white_do():
    black, white = np.zeros((20, 30, 3)), np.ones((20, 30, 3))
    assert flip(white, white).mean == 0.0
    assert flip(black, white).mean > 0.9
    assert flip(black, white).mean == pytest.approx(flip(white, black).mean)


@needs_flip
def test_memory_layout_and_precision_do_not_matter():
    picture, truth = (p.astype(np.float64) / 255 for p in two_pictures())
    once = flip(picture, truth).mean
    assert flip(picture.astype(np.float32), np.asfortranarray(truth)).mean == pytest.approx(once)
    assert flip(picture[:, ::-1][:, ::-1], truth).mean == pytest.approx(once)


def test_nan_and_values_out_of_range_are_refused():
    picture = np.full((8, 8, 3), 0.5)
    broken = picture.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(EvaluationError, match="NaN"):
        flip(broken, picture)
    with pytest.raises(EvaluationError, match=r"truth has values from 0.5 to 255"):
        flip(picture, np.linspace(0.5, 255, 64).reshape(8, 8, 1) * np.ones(3))


def test_without_the_library_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(BackendUnavailableError, match=r"relight3d\[eval\]"):
        flip(np.zeros((8, 8, 3)), np.zeros((8, 8, 3)))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not flip_module.available()
