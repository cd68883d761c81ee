import copy
import math

import pytest

from relight3d.core.errors import EvaluationError
from relight3d.evaluation.bench_compare import compare
from relight3d.evaluation.bench_scores import KINDS, digest, flat_scores
from relight3d.evaluation.statistics import student_quantile
from tests.evaluation.bench_toys import VIEWS, one, suite


def test_equal_runs_are_within_the_noise():
    scores = suite(ball=one(), disc=one())
    found = compare(scores, scores)
    assert not found.better
    assert not found.worse
    assert not found.notes
    assert len(found.within) == len(flat_scores(one()["results"])) * 2
    assert all(difference.change == 0 for difference in found.within)


def test_one_decibel_everywhere_is_better_and_back_is_worse():
    before, after = suite(ball=one()), suite(ball=one(1.0))
    found = compare(before, after)
    assert not found.worse
    assert {(d.task, d.name) for d in found.better} == {
        ("novel", "psnr"), ("novel", "ssim"), ("novel by physics", "psnr"),
        ("novel by physics", "ssim"), ("relit by noon", "psnr"), ("relit by noon", "ssim"),
        ("normal", "mae_deg"),
    }  # fmt: skip
    psnr = next(d for d in found.better if (d.task, d.name) == ("novel", "psnr"))
    assert psnr.change == pytest.approx(1.0)
    assert (psnr.noise, psnr.noise_from) == (0.1, "floor")
    assert [d.gain for d in found.better] == sorted((d.gain for d in found.better), reverse=True)
    back = compare(after, before)
    assert len(back.worse) == len(found.better)
    assert not back.better


def test_less_than_the_floor_is_noise():
    assert not compare(suite(ball=one()), suite(ball=one(0.05))).better


@pytest.mark.parametrize("pooled", [-8.0, None])
def test_one_wild_view_is_noise(pooled):
    """Even where it ruins a score that pools the squared errors of all views."""
    after = one()
    novel = after["results"]["relight3d"]["novel"]
    novel["views"]["psnr"][3] -= 20.0
    novel["psnr"] += -20.0 / VIEWS if pooled is None else pooled
    found = compare(suite(ball=one()), suite(ball=after))
    assert not found.worse
    psnr = next(d for d in found.within if (d.task, d.name) == ("novel", "psnr"))
    # the difference of one of n views has deviation d / sqrt(n), its mean d / n
    assert psnr.noise == pytest.approx(student_quantile(VIEWS - 1) * 20 / VIEWS)


def test_what_is_on_one_side_only_is_named():
    before, after = suite(ball=one(), old=one()), suite(ball=one(), new=one())
    notes = compare(before, after).notes
    assert any("earlier run only" in note and "old" in note for note in notes)
    assert any("later run only" in note and "new" in note for note in notes)


def test_common_views_are_compared_and_others_named():
    found = compare(suite(ball=one()), suite(ball=one(1.0, views=12)))
    assert any("views in the earlier run only" in note and "015" in note for note in found.notes)
    assert any("depth, relative is over other views" in note for note in found.notes)
    psnr = next(d for d in found.better if (d.task, d.name) == ("novel", "psnr"))
    assert psnr.change == pytest.approx(1.0)


def test_other_rules_are_not_compared():
    after = one(1.0)
    after["results"]["relight3d"]["protocol"]["background"] = "black"
    after["results"]["relight3d"]["protocol"]["note"] = "reworded"
    found = compare(suite(ball=one()), suite(ball=after))
    assert not found.better + found.worse + found.within
    assert "protocol relight3d is not what it was (background differ)" in found.notes[0]


def test_a_changed_capture_is_said():
    after = {**one(), "capture_id": "b"}
    assert "photos, poses or lights" in compare(suite(ball=one()), suite(ball=after)).notes[0]


def test_lost_scores_and_protocols_are_named():
    after = one()
    del after["results"]["relight3d"]["normal"]
    assert any("normal" in n for n in compare(suite(ball=one()), suite(ball=after)).notes)
    other = one(protocol="tensoir")
    notes = compare(suite(ball=one()), suite(ball=other)).notes
    assert any("protocol in the earlier run only" in n and "relight3d" in n for n in notes)


def test_several_seeds_give_their_own_noise():
    before = suite(ball=[one(-0.3), one(0.0), one(0.3)])
    after = suite(ball=[one(0.2), one(0.5), one(0.8)])
    found = compare(before, after)
    psnr = next(d for d in found.within if (d.task, d.name) == ("novel", "psnr"))
    assert psnr.change == pytest.approx(0.5)
    assert psnr.noise == pytest.approx(student_quantile(4) * 0.3 * math.sqrt(2 / 3))
    assert psnr.noise_from == "spread between seeds"
    far = compare(before, suite(ball=[one(1.7), one(2.0), one(2.3)]))
    assert any((d.task, d.name) == ("novel", "psnr") for d in far.better)


def test_nan_is_refused():
    after = one()
    after["results"]["relight3d"]["novel"]["views"]["psnr"][0] = math.nan
    with pytest.raises(EvaluationError, match="NaN"):
        compare(suite(ball=one()), suite(ball=after))


def test_equal_pictures_are_equal():
    perfect = one()
    novel = perfect["results"]["relight3d"]["novel"]
    novel["psnr"], novel["views"]["psnr"] = "inf", ["inf"] * VIEWS
    found = compare(suite(ball=perfect), suite(ball=perfect))
    assert not found.better + found.worse
    better = compare(suite(ball=one()), suite(ball=perfect)).better
    assert any((d.task, d.name) == ("novel", "psnr") for d in better)


def test_the_digest_knows_every_number_and_no_order():
    scores = suite(ball=one(), disc=one())
    assert digest(scores) == digest(dict(reversed(scores.items())))
    changed = copy.deepcopy(scores)
    changed["disc"]["0"]["results"]["relight3d"]["novel"]["views"]["ssim"][2] += 1e-15
    assert digest(changed) != digest(scores)


def test_every_kind_has_a_floor():
    assert all(kind.floor > 0 or kind.relative_floor > 0 for kind in KINDS.values())
