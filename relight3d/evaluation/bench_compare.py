"""Two runs of a suite against each other: which differences are more than noise?"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relight3d.evaluation.bench_scores import KINDS, Score, Scores, flat_scores
from relight3d.evaluation.evaluate import refuse_nan
from relight3d.evaluation.statistics import paired_difference, student_quantile

Key = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Difference:
    """One score, before and after."""

    capture: str
    protocol: str
    task: str
    name: str
    before: float
    after: float
    noise: float
    """Differences up to this may be chance."""
    noise_from: str
    verdict: str
    """better, worse or within the noise."""
    gain: float
    """The difference in units of the kind's floor (or of the noise, if larger), better is
    positive: for sorting."""

    @property
    def change(self) -> float:
        """After - before; 0 between equal infinities."""
        return 0.0 if self.after == self.before else self.after - self.before


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All of them, and what could not be compared."""

    better: list[Difference]
    """Largest first."""
    worse: list[Difference]
    within: list[Difference]
    notes: list[str]
    """Captures, views, protocols and scores that are not in both or differ in what they mean."""

    def as_json(self) -> dict[str, Any]:
        """For bench.json."""
        return dataclasses.asdict(self)


def compare(before: Scores, after: Scores) -> Comparison:
    """Every capture, protocol and score that both have.

    A difference is beyond the noise if it is larger than both a floor (`KINDS`) and the 95 %
    interval of the paired differences of the views, and if their mean agrees; where both sides have
    several seeds, if it is larger than the 95 % interval of the difference of the seeds' means.

    Raises:
        EvaluationError: A NaN on either side.
    """
    refuse_nan(before, "before")
    refuse_nan(after, "after")
    notes = _missing("capture", before, after, "")
    found: list[Difference] = []
    for name in (name for name in after if name in before):
        found += _of_capture(name, before[name], after[name], notes)
    found.sort(key=lambda difference: -abs(difference.gain))
    sides = {
        verdict: [difference for difference in found if difference.verdict == verdict]
        for verdict in ("better", "worse", "within the noise")
    }
    return Comparison(sides["better"], sides["worse"], sides["within the noise"], notes)


def _of_capture(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], notes: list[str]
) -> list[Difference]:
    first, second = next(iter(before.values())), next(iter(after.values()))
    if first.get("capture_id") != second.get("capture_id"):
        notes.append(
            f"{name}: photos, poses or lights of the capture differ between the two runs; what is "
            "compared may not be the same thing."
        )
    notes += _missing("view", first["views"], second["views"], f"{name}: ")
    notes += _missing("protocol", first["results"], second["results"], f"{name}: ")
    comparable = [
        protocol
        for protocol in second["results"]
        if protocol in first["results"] and _same_rules(name, protocol, first, second, notes)
    ]
    olds, news = _by_key(before, comparable), _by_key(after, comparable)
    notes += _missing("score", map(", ".join, olds), map(", ".join, news), f"{name}: ")
    found = []
    for key in (key for key in news if key in olds):
        difference = _difference(
            name, olds[key], news[key], tuple(first["views"]), tuple(second["views"])
        )
        if isinstance(difference, str):
            notes.append(difference)
        else:
            found.append(difference)
    return found


def _same_rules(
    name: str,
    protocol: str,
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    notes: list[str],
) -> bool:
    old = first["results"][protocol]["protocol"]
    new = second["results"][protocol]["protocol"]
    words = {"title", "source", "note"}
    differing = sorted(k for k in old | new if k not in words and old.get(k) != new.get(k))
    if differing:
        notes.append(
            f"{name}: the protocol {protocol} is not what it was ({', '.join(differing)} differ), "
            "so its scores are not compared. Score the earlier run again with this version."
        )
    return not differing


def _by_key(
    seeds: Mapping[str, Mapping[str, Any]], protocols: Sequence[str]
) -> dict[Key, list[Score]]:
    """Score -> its values by seed; those that some seeds lack are left out."""
    found: dict[Key, list[Score]] = {}
    for one in seeds.values():
        for score in flat_scores({p: one["results"][p] for p in protocols if p in one["results"]}):
            found.setdefault(score.key, []).append(score)
    return {key: scores for key, scores in found.items() if len(scores) == len(seeds)}


def _difference(
    capture: str,
    olds: Sequence[Score],
    news: Sequence[Score],
    old_names: tuple[str, ...],
    new_names: tuple[str, ...],
) -> Difference | str:
    """The difference, or why there is none."""
    score = news[0]
    kind = KINDS[score.name]
    before, after = _mean(s.value for s in olds), _mean(s.value for s in news)
    floor = max(kind.floor, kind.relative_floor * abs(before))
    if old_names != new_names:
        paired = _paired(olds, news, old_names, new_names)
        if paired is None:
            what = f"{score.protocol}, {score.task}, {score.name}"
            return f"{capture}: {what} is over other views than before and was not compared."
        before, after = _mean(paired[0]), _mean(paired[1])
    else:
        paired = _paired(olds, news, old_names, new_names)
    change = 0.0 if after == before else after - before
    agrees = True
    if len(olds) > 1 and len(news) > 1:
        noise, origin = _between_seeds(olds, news), "spread between seeds"
        if old_names != new_names:
            noise, origin = max(noise, floor), "spread between seeds, over common views"
    elif paired is None:
        noise, origin = floor, "floor; there are no values of single views"
    else:
        spread = paired_difference(*paired)
        noise = max(half := _half(*paired), floor)
        origin = "floor" if half <= floor else "95 % of the paired views"
        agrees = abs(spread.mean) > noise and (spread.mean > 0) == (change > 0)
    beyond = abs(change) > noise and agrees
    good = (change > 0) == kind.higher_is_better
    verdict = ("better" if good else "worse") if beyond else "within the noise"
    unit = max(noise, floor) or 1.0
    gain = 0.0 if change == 0 or math.isinf(unit) else change / unit * (1 if good else -1)
    return Difference(
        capture, *score.key, before, after, noise, origin, verdict,
        abs(gain) if good else -abs(gain),
    )  # fmt: skip


def _half(before: Sequence[float], after: Sequence[float]) -> float:
    """Half the 95 % interval of the paired differences; of a single view, nothing is known: 0.

    Where some pictures have become, or were, equal to the truth, and others not: infinite.
    """
    known = paired_difference(before, after)
    if known.high is not None:
        return known.high - known.mean
    differences = [b - a for a, b in zip(before, after, strict=True) if a != b]
    some = len(differences) < len(before) or not all(map(math.isinf, differences))
    return math.inf if math.isinf(known.mean) and some else 0.0


def _paired(
    olds: Sequence[Score],
    news: Sequence[Score],
    old_names: tuple[str, ...],
    new_names: tuple[str, ...],
) -> tuple[list[float], list[float]] | None:
    """Values of the views that both have, averaged over seeds; None where views are unknown."""
    old, new = _by_view(olds), _by_view(news)
    if old is None or new is None:
        return None
    if old_names == new_names and len(old) == len(new):
        return old, new
    if len(old) != len(old_names) or len(new) != len(new_names):
        return None
    common = [view for view in new_names if view in old_names]
    if not common:
        return None
    earlier, later = dict(zip(old_names, old, strict=True)), dict(zip(new_names, new, strict=True))
    return [earlier[view] for view in common], [later[view] for view in common]


def _by_view(seeds: Sequence[Score]) -> list[float] | None:
    rows = [score.views for score in seeds if score.views]
    if len(rows) != len(seeds) or len({len(row) for row in rows}) != 1:
        return None
    return [_mean(values) for values in zip(*rows, strict=True)]


def _between_seeds(olds: Sequence[Score], news: Sequence[Score]) -> float:
    """Half the 95 % interval of the difference of two means (Student, pooled variance)."""
    first = np.array([score.value for score in olds])
    second = np.array([score.value for score in news])
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return math.inf
    degrees = len(first) + len(second) - 2
    squares = ((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum()
    error = math.sqrt(squares / degrees * (1 / len(first) + 1 / len(second)))
    return student_quantile(degrees) * error


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def _missing(what: str, before: Any, after: Any, where: str) -> list[str]:
    """Sentences about what is on one side only."""
    old, new = list(before), list(after)
    gone, fresh = [n for n in old if n not in new], [n for n in new if n not in old]
    notes = []
    for names, side in ((gone, "earlier"), (fresh, "later")):
        if names:
            plural = "s" if len(names) > 1 else ""
            notes.append(
                f"{where}{what}{plural} in the {side} run only, not compared: {'; '.join(names)}."
            )
    return notes
