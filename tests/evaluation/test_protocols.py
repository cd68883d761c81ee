"""Every protocol on frames whose scores are known in closed form, and how protocols differ."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from relight3d.core.color import linear_from_srgb
from relight3d.core.errors import ConfigurationError
from relight3d.evaluation.evaluate import evaluate
from relight3d.evaluation.protocols import (
    ILLUMINERF,
    IRGS,
    NRHINTS,
    NVS,
    PROTOCOLS,
    RELIGHT3D,
    SCALE_FREE,
    STANFORD_ORB,
    SVGIR,
    SYNTHETIC4RELIGHT,
    TENSOIR,
    protocols_named,
)

from .hand import SIZE, Given, Look, disc, flat, make_capture

POOLED = (TENSOIR, ILLUMINERF, NRHINTS, NVS, RELIGHT3D)
BY_CHANNEL = (IRGS, SVGIR, SYNTHETIC4RELIGHT)
SHARE = float(disc().mean())


def decibels(error):
    return -10 * np.log10(error)


def linear(values):
    return linear_from_srgb(torch.as_tensor(values, dtype=torch.float64)).numpy()


def score(capture, source, protocol, **options):
    result = evaluate(capture, source, [protocol], perceptual=False, **options)
    return result["results"][protocol.name]


@pytest.fixture
def whole(tmp_path):
    """Two opaque pictures, so that neither mask nor background matters."""
    looks = [Look(flat(0.4), None, relit={"sun": flat(0.6)}) for _ in range(2)]
    return make_capture(tmp_path / "whole", looks)


@pytest.fixture
def cut(tmp_path):
    """Discs with every map."""
    maps = {
        "albedo": flat(0.6, 0.4, 0.2),
        "roughness": flat(0.5),
        "metallic": flat(0.2),
        "normal": flat(0.5, 0.5, 1.0),
    }
    looks = [Look(flat(0.4, 0.3, 0.2), maps=maps, relit={"sun": flat(0.6, 0.4, 0.5)})] * 3
    return make_capture(tmp_path / "cut", looks)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_the_truth_is_perfect(cut, protocol):
    found = score(cut, Given(cut), protocol)
    novel = found["novel"]
    assert all(novel[rule.name] == "inf" for rule in protocol.psnr)
    assert novel["ssim"] == pytest.approx(1, abs=1e-12)
    if "relit" in protocol.scores:
        assert all(found["relit"]["lights"]["sun"][rule.name] == "inf" for rule in protocol.psnr)
    if "albedo" in protocol.scores:
        assert found["albedo"]["psnr_raw"] == found["albedo"]["psnr_aligned"] == "inf"
    if "roughness" in protocol.scores:
        assert found["roughness"]["mse"] == 0
    if "normal" in protocol.scores:
        assert found["normal"]["mae_deg"] == found["normal"]["median_deg"] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_constant_offset(whole, protocol):
    found = score(whole, Given(whole, rgb=lambda v, i: v + np.float32(0.1)), protocol)["novel"]
    value = found["psnr_l"] if protocol is STANFORD_ORB else found["psnr"]
    assert value == pytest.approx(20, abs=1e-4)
    assert found["views"][protocol.psnr[-1].name] == pytest.approx([20, 20], abs=1e-4)


PUBLISHED = [((1, 1.5, 2), 0.17), ((1, 2, 3), 0.42), ((1, 2, 4), 0.67), ((1, 3, 9), 1.6)]


@pytest.mark.parametrize(("ratios", "published"), PUBLISHED)
def test_coloured_errors_score_higher_by_channel(whole, ratios, published):
    step = 0.1 * np.sqrt(np.array(ratios, np.float32))
    source = Given(whole, rgb=lambda v, i: v + step, relit=lambda v, i: v - step)
    pooled = decibels(0.01 * np.mean(ratios))
    by_channel = np.mean([decibels(0.01 * r) for r in ratios])
    assert by_channel - pooled == pytest.approx(published, abs=0.05)
    for protocol in POOLED:
        assert score(whole, source, protocol)["novel"]["psnr"] == pytest.approx(pooled, abs=1e-3)
    for protocol in BY_CHANNEL:
        found = score(whole, source, protocol)
        assert found["novel"]["psnr"] == pytest.approx(by_channel, abs=1e-3)
        assert found["relit"]["lights"]["sun"]["psnr"] == pytest.approx(by_channel, abs=1e-3)


def test_one_error_over_all_views_or_the_mean_of_views(whole):
    source = Given(whole, rgb=lambda v, i: v + np.float32([0.1, 0.2][i]))
    assert score(whole, source, TENSOIR)["novel"]["psnr"] == pytest.approx(
        (20 + decibels(0.04)) / 2, abs=1e-3
    )
    assert score(whole, source, RELIGHT3D)["novel"]["psnr"] == pytest.approx(
        decibels(0.025), abs=1e-3
    )


def test_a_hole_costs_what_the_background_differs(cut):
    hole = np.zeros((SIZE, SIZE, 1), np.float32)
    source = Given(cut, rgb=lambda v, i: (v, hole))
    color = np.rint(np.array([0.4, 0.3, 0.2]) * 255) / 255
    white, black = decibels(SHARE * np.mean((1 - color) ** 2)), decibels(SHARE * np.mean(color**2))
    assert score(cut, source, TENSOIR)["novel"]["psnr"] == pytest.approx(white, abs=1e-3)
    on_black = dataclasses.replace(TENSOIR, background="black")
    assert score(cut, source, on_black)["novel"]["psnr"] == pytest.approx(black, abs=1e-3)
    by_channel = np.mean([decibels(SHARE * c**2) for c in color])
    assert score(cut, source, IRGS)["novel"]["psnr"] == pytest.approx(by_channel, abs=1e-3)


def test_a_halo_is_forgiven_by_the_true_mask_alone(cut):
    full = np.ones((SIZE, SIZE, 1), np.float32)
    inside = disc() > 0.5
    source = Given(cut, rgb=lambda v, i: (np.where(inside, v, np.float32(0.5)), full))
    for protocol in (IRGS, SVGIR, SYNTHETIC4RELIGHT, STANFORD_ORB):
        assert protocol.cut_by == "true alpha"
        assert score(cut, source, protocol)["novel"][protocol.psnr[0].name] == "inf"
    for protocol in (TENSOIR, ILLUMINERF, NRHINTS, NVS, RELIGHT3D):
        value = score(cut, source, protocol)["novel"]["psnr"]
        assert value == pytest.approx(decibels((1 - SHARE) * 0.25), abs=1e-3)


def test_which_views_give_the_scale_of_albedo(tmp_path):
    """Of 43 views, TensoIR takes 0, 2, ... 38; IRGS all; SVG-IR and R3DG the first."""
    looks = [Look(maps={"albedo": flat(0.6)}, relit={"sun": flat(0.6)})] * 43
    capture = make_capture(tmp_path / "many", looks)

    def factor(i):
        if i == 0:
            return 1.0
        return 2.0 if i % 2 == 0 and i <= 38 else 3.0

    source = Given(capture, albedo=lambda v, i: v / np.float32(factor(i)))
    for protocol, gain in ((TENSOIR, 2), (IRGS, 3), (SVGIR, 1), (SYNTHETIC4RELIGHT, 1)):
        found = score(capture, source, protocol)["albedo"]["gain"]
        assert found == pytest.approx([gain] * 3, rel=1e-5), protocol.name
    each = score(capture, source, STANFORD_ORB)["albedo"]
    assert float(each["psnr_aligned"]) > 100
    assert each["gain"] is None


def test_the_scale_of_albedo_reaches_relighting_and_is_not_applied_to_files(cut):
    source = Given(cut, albedo=lambda v, i: v / np.array([2, 1, 0.5], np.float32))
    source.applies_gain = True
    score(cut, source, TENSOIR)
    assert any(gain == pytest.approx((2, 1, 0.5), rel=1e-5) for gain in source.gains)
    files = Given(cut, albedo=lambda v, i: v / np.array([2, 1, 0.5], np.float32))
    score(cut, files, TENSOIR)
    assert set(files.gains) == {(1.0, 1.0, 1.0)}


def test_one_value_for_three_channels_where_irgs_does_so(tmp_path):
    looks = [Look(maps={"albedo": flat(0.6)})]
    for scene, expected in (("air_baloons", [2, 2, 2]), ("hotdog", [2, 1, 0.5])):
        capture = make_capture(tmp_path / scene, looks)
        source = Given(capture, albedo=lambda v, i: v / np.array([2, 1, 0.5], np.float32))
        gain = score(capture, source, IRGS)["albedo"]["gain"]
        assert gain == pytest.approx(expected, rel=1e-5)


def test_pictures_are_scaled_in_stored_or_linear_values(cut):
    stored = Given(cut, relit=lambda v, i: v * np.array([0.5, 0.6, 0.7], np.float32))
    found = score(cut, stored, ILLUMINERF)["relit"]["lights"]["sun"]
    assert float(found["psnr"]) > 100
    assert found["gain"] == pytest.approx([2, 1 / 0.6, 1 / 0.7], rel=1e-5)
    error = SHARE * np.mean((np.rint(np.array([0.6, 0.4, 0.5]) * 255) / 255
                             * [0.5, 0.4, 0.3]) ** 2)  # fmt: skip
    unscaled = score(cut, stored, TENSOIR)["relit"]["lights"]["sun"]["psnr"]
    assert unscaled == pytest.approx(decibels(error), abs=1e-3)

    def dimmed(values, index):
        half = linear(values) * 0.5
        return np.where(half > 0.0031308, 1.055 * half ** (1 / 2.4) - 0.055, 12.92 * half)

    dim = Given(cut, relit=dimmed)
    assert float(score(cut, dim, SCALE_FREE)["relit"]["lights"]["sun"]["psnr"]) > 100
    assert float(score(cut, dim, STANFORD_ORB)["relit"]["lights"]["sun"]["psnr_l"]) > 100


def test_stanford_orb_scales_relit_views_but_not_novel_ones(cut):
    half = Given(cut, rgb=lambda v, i: v * np.float32(0.5), relit=lambda v, i: v * np.float32(0.5))
    found = score(cut, half, STANFORD_ORB)
    assert found["novel"]["psnr_l"] < 30
    # A flat picture: scaling linear or stored values comes to the same.
    assert float(found["relit"]["lights"]["sun"]["psnr_l"]) > 100


def test_albedo_is_compared_in_linear_or_srgb(cut):
    source = Given(cut, albedo=lambda v, i: v + np.float32(0.1))
    true = np.rint(np.array([0.6, 0.4, 0.2]) * 255) / 255
    in_linear = decibels(SHARE * 0.01)
    assert score(cut, source, TENSOIR)["albedo"]["psnr_raw"] == pytest.approx(in_linear, abs=1e-3)
    assert score(cut, source, RELIGHT3D)["albedo"]["psnr_raw"] == pytest.approx(20, abs=1e-3)

    def encoded(x):
        return 1.055 * x ** (1 / 2.4) - 0.055

    steps = encoded(true + 0.1) - encoded(true)
    in_srgb = np.mean([decibels(SHARE * s**2) for s in steps])
    for protocol in (SVGIR, SYNTHETIC4RELIGHT):
        found = score(cut, source, protocol)["albedo"]["psnr_raw"]
        assert found == pytest.approx(in_srgb, abs=1e-2)


def test_svg_ir_scores_three_lights_of_five(tmp_path):
    names = ("bridge", "city", "fireplace", "forest", "night")
    looks = [Look(maps={"albedo": flat(0.6)}, relit={name: flat(0.6) for name in names})]
    capture = make_capture(tmp_path / "lego", looks)
    source = Given(capture)
    assert set(score(capture, source, SVGIR)["relit"]["lights"]) == set(names[2:])
    assert set(score(capture, source, TENSOIR)["relit"]["lights"]) == set(names)
    assert set(score(capture, source, SVGIR, lights=["city"])["relit"]["lights"]) == {"city"}


def test_turned_normals_over_foreground_or_frame(cut):
    angle = np.radians(20)
    tilted = np.array([np.sin(angle), 0, np.cos(angle)], np.float32) * 0.5 + 0.5
    source = Given(cut, normal=lambda v, i: np.broadcast_to(tilted, v.shape))
    true = np.rint(np.array([0.5, 0.5, 1.0]) * 255) / 255 * 2 - 1
    cosine = (tilted * 2 - 1) @ true / np.linalg.norm(tilted * 2 - 1) / np.linalg.norm(true)
    expected = np.degrees(np.arccos(cosine))
    assert expected == pytest.approx(20, abs=0.3)
    for protocol, factor in ((TENSOIR, SHARE), (IRGS, SHARE), (SVGIR, 1), (RELIGHT3D, 1)):
        found = score(cut, source, protocol)["normal"]
        assert found["mae_deg"] == pytest.approx(expected * factor, abs=1e-3), protocol.name
        assert found["median_deg"] == pytest.approx(expected, abs=1e-3)
        assert found["cosine_distance"] == pytest.approx(1 - cosine, abs=1e-6)


def test_roughness_over_frame_or_foreground(cut):
    source = Given(cut, roughness=lambda v, i: v + np.float32(0.1))
    assert score(cut, source, RELIGHT3D)["roughness"]["mse"] == pytest.approx(0.01, rel=1e-4)
    for protocol in (TENSOIR, IRGS, SYNTHETIC4RELIGHT):
        found = score(cut, source, protocol)["roughness"]["mse"]
        assert found == pytest.approx(0.01 * SHARE, rel=1e-4)


def test_stanford_orb_by_hand(cut):
    """High: exposed linear values clipped at 4; low: sRGB; both over the full frame."""
    eroded = _eroded_share()
    source = Given(cut, rgb=lambda v, i: v + np.float32(0.1))
    found = score(cut, source, STANFORD_ORB)["novel"]
    assert found["psnr_l"] == pytest.approx(decibels(eroded * 0.01), abs=1e-3)
    true = np.rint(np.array([0.4, 0.3, 0.2]) * 255) / 255
    exposure = true.mean() / linear(true).mean()
    error = eroded * np.mean((exposure * (linear(true + 0.1) - linear(true))) ** 2)
    assert found["psnr_h"] == pytest.approx(decibels(error), abs=1e-3)


def test_stanford_orb_does_not_fall_below_grey(cut):
    source = Given(cut, rgb=lambda v, i: np.ones_like(v))
    true = np.rint(np.array([0.4, 0.3, 0.2]) * 255) / 255
    floor = decibels(_eroded_share() * np.mean((0.5 - true) ** 2))
    assert score(cut, source, STANFORD_ORB)["novel"]["psnr_l"] == pytest.approx(floor, abs=1e-3)


def test_stanford_orb_does_not_look_at_edges(cut):
    inner = _eroded()[..., None] > 0
    source = Given(cut, rgb=lambda v, i: np.where(inner, v, np.float32(0.9)))
    assert score(cut, source, STANFORD_ORB)["novel"]["psnr_l"] == "inf"
    assert score(cut, source, SVGIR)["novel"]["psnr"] < 30


def test_pictures_are_reduced_to_the_protocols_width(cut):
    smaller = dataclasses.replace(STANFORD_ORB, width_px=SIZE // 2, erode_px=0)
    wave = (np.indices((SIZE, SIZE)).sum(0) % 2 * 2 - 1)[..., None] * np.float32(0.002)
    source = Given(cut, rgb=lambda v, i: v + wave)
    at_full_size = dataclasses.replace(smaller, width_px=None)
    assert score(cut, source, at_full_size)["novel"]["psnr_l"] < 60
    assert score(cut, source, smaller)["novel"]["psnr_l"] > 75


def _eroded():
    return cv2.erode((disc()[..., 0] > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8))


def _eroded_share():
    return float(_eroded().mean())


DIFFERENCES = {
    ("tensoir", "irgs"): {"background", "cut_by", "psnr", "ssim", "alignment"},
    ("irgs", "svgir"): {"background", "lpips_input", "alignment", "albedo_space", "normals_over",
                        "lights"},
    ("svgir", "synthetic4relight"): {"scores", "lights"},
    ("tensoir", "illuminerf"): {"scores", "alignment", "normals_over"},
    ("tensoir", "nrhints"): {"scores", "lpips", "alignment", "normals_over"},
    ("nrhints", "nvs"): {"ssim", "lpips", "lpips_input"},
    ("tensoir", "relight3d"): {"psnr", "ssim", "maps_over", "normals_over", "baselines"},
    ("tensoir", "stanford-orb"): {"scores", "background", "cut_by", "erode_px", "psnr", "ssim",
                                  "alignment", "normals_over", "width_px"},
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), DIFFERENCES)
def test_protocols_differ_in_exactly_this(one, other):
    words = {"name", "title", "source", "note"}
    differ = {
        field.name
        for field in dataclasses.fields(PROTOCOLS[one])
        if getattr(PROTOCOLS[one], field.name) != getattr(PROTOCOLS[other], field.name)
    }
    assert differ - words == DIFFERENCES[one, other]


def test_alignments_are_those_of_the_codes():
    def habit(protocol):
        rule = protocol.alignment
        return rule and (rule.of, rule.rule, rule.views, rule.each_view, rule.space)

    assert habit(TENSOIR) == ("albedo", "median", 20, False, "linear")
    assert habit(IRGS) == ("albedo", "median", None, False, "linear")
    assert habit(SVGIR) == ("albedo", "median", 1, False, "linear")
    assert habit(ILLUMINERF) == ("relit pictures", "median", 20, False, "srgb")
    assert habit(STANFORD_ORB) == ("relit pictures", "least squares", None, True, "linear")
    assert habit(NVS) is None
    assert habit(NRHINTS) is None


def test_names():
    assert [p.name for p in protocols_named(["nvs", "tensoir", "nvs"])] == ["nvs", "tensoir"]
    with pytest.raises(ConfigurationError, match=r"no protocol tensorf.*tensoir.*--list"):
        protocols_named(["tensorf"])
