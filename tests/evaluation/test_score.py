import json

import numpy as np
import pytest

from relight3d.core.views import Capture, View
from relight3d.evaluation.score import NO_GAIN, Frames, score_frames
from relight3d.files.images import write_png

SIZE = 16


def rgba(color, alpha=None):
    """Bytes of encoded colour [H, W, 3] in [0, 1]."""
    if alpha is None:
        alpha = disc()
    return np.rint(np.concatenate([color, alpha[..., None]], -1) * 255).astype(np.uint8)


def disc():
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    return (x**2 + y**2 < 36).astype(float)


def flat(*color):
    return np.broadcast_to(np.array(color, float), (SIZE, SIZE, 3))


@pytest.fixture
def capture(tmp_path):
    views = []
    for index in range(2):
        paths = {
            name: tmp_path / f"{index}_{name}.png"
            for name in ("photo", "albedo", "normal", "relit")
        }
        write_png(paths["photo"], rgba(flat(0.4, 0.4, 0.2)))
        write_png(paths["albedo"], rgba(flat(0.6, 0.4, 0.2)))
        write_png(paths["normal"], rgba(flat(0.5, 0.5, 1.0)))
        write_png(paths["relit"], rgba(flat(0.8, 0.4, 0.4)))
        truth = {"albedo": paths["albedo"], "normal": paths["normal"], "relit/sun": paths["relit"]}
        views.append(
            View(f"{index}", paths["photo"], SIZE, SIZE, np.eye(3), np.eye(4), "test", truth=truth)
        )
    return Capture(tmp_path, tuple(views), "object", environments={"sun": tmp_path / "sun.hdr"})


class Drawn:
    """Frames with chosen errors."""

    def __init__(self, materials=True, relit=(0.8, 0.4, 0.4)):
        self.materials, self.relit_color, self.gains = materials, relit, []

    def captured(self, view):
        if not self.materials:
            return Frames(rgba(flat(0.4, 0.4, 0.3)))
        return Frames(
            rgba(flat(0.4, 0.4, 0.3)), rgba(flat(0.4, 0.4, 0.2)),
            rgba(flat(0.3, 0.4, 0.4)), rgba(flat(1.0, 0.5, 0.5)),
        )  # fmt: skip

    def relit(self, view, environment, gain):
        assert environment == "sun"
        self.gains.append(gain)
        return rgba(flat(*self.relit_color))


def test_every_score_by_hand(capture):
    drawn = Drawn()
    scores = score_frames(capture, drawn)
    share = disc().mean()
    step = (76 - 51) / 255  # 0.3 against 0.2 in bytes
    assert scores["novel_views"]["psnr"] == pytest.approx(-10 * np.log10(step**2 / 3 * share))
    assert scores["novel_views"]["psnr_physics"] == np.inf
    assert scores["normal_mae_deg"] == pytest.approx(90, abs=0.5)
    assert scores["albedo"]["gain"] == pytest.approx([2.0, 1.0, 0.5], rel=0.02)
    assert scores["albedo"]["psnr_aligned"] > 45 > scores["albedo"]["psnr_raw"]
    assert drawn.gains[0] == pytest.approx((2.0, 1.0, 0.5), rel=0.02)
    sun = scores["relit"]["sun"]
    assert sun["psnr"] == np.inf
    assert sun["psnr_unrelit"] == pytest.approx(
        -10 * np.log10((0.4**2 + 0.2**2) / 3 * share), abs=0.1
    )
    assert sun["psnr_unrelit_best_gain"] > 60
    assert drawn.gains[1] == NO_GAIN
    json.dumps(scores)


def test_albedo_as_found_is_scored_beside_the_aligned_one(capture):
    class OnlyAligned(Drawn):
        def relit(self, view, environment, gain):
            color = self.relit_color if gain != NO_GAIN else (0.4, 0.4, 0.4)
            return rgba(flat(*color))

    sun = score_frames(capture, OnlyAligned())["relit"]["sun"]
    assert sun["psnr"] == np.inf
    expected = -10 * np.log10(0.4**2 / 3 * disc().mean())
    assert sun["psnr_albedo_as_found"] == pytest.approx(expected, abs=0.1)


def test_doing_nothing_gains_nothing(capture):
    sun = score_frames(capture, Drawn(relit=(0.4, 0.4, 0.2)))["relit"]["sun"]
    assert sun["psnr"] == sun["psnr_unrelit"]
    assert sun["gain_over_unrelit_db"] <= 0


def test_an_asset_without_materials(capture):
    scores = score_frames(capture, Drawn(materials=False))
    assert "albedo" not in scores
    assert "normal_mae_deg" not in scores
    assert "psnr_physics" not in scores["novel_views"]


def test_a_whole_picture_is_not_blended(tmp_path, capture):
    view = capture.views[0]
    write_png(view.image_path, np.full((SIZE, SIZE, 3), 100, np.uint8))
    scene = Capture(tmp_path, (view,), "scene")

    class Whole(Drawn):
        def captured(self, view):
            return Frames(rgba(flat(100 / 255, 100 / 255, 100 / 255), np.ones((SIZE, SIZE))))

    scores = score_frames(scene, Whole())
    assert scores["novel_views"]["psnr"] == np.inf
    assert "relit" not in scores
    assert scores["protocol"]["background"] == "none"
