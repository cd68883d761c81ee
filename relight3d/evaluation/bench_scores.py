"""Results of evaluations as a flat list of numbers, each with its kind.

The kind says which way is better, and by how much two runs may differ by chance.
'Scores' of a suite are, by capture and seed, what `evaluate` found: 'views' (names), 'capture_id'
and 'results'.
"""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Capture -> seed -> {'views', 'capture_id', 'results'}."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """How scores of one kind are read."""

    higher_is_better: bool
    floor: float
    """Differences up to this are noise."""
    relative_floor: float = 0.0
    """So are those up to this share of the earlier value."""
    form: str = "{:.4f}"


PSNR = Kind(True, 0.10, form="{:.2f} dB")
KINDS: dict[str, Kind] = {
    "psnr": PSNR,
    "psnr_h": PSNR,
    "psnr_l": PSNR,
    "psnr_raw": PSNR,
    "psnr_aligned": PSNR,
    "psnr_albedo_as_found": PSNR,
    "ssim": Kind(True, 0.001),
    "flip": Kind(False, 0.002),
    "lpips": Kind(False, 0.002),
    "mse": Kind(False, 0.0005),
    "mae_deg": Kind(False, 0.1, form="{:.2f}°"),
    "median_deg": Kind(False, 0.1, form="{:.2f}°"),
    "rank_correlation": Kind(True, 0.01),
    "shadow_leak": Kind(False, 0.01),
    "relative_rmse": Kind(False, 0.01),
    "relative": Kind(False, 0.0001, 0.02),
    "mae": Kind(False, 0.0, 0.02),
    "mae_scaled": Kind(False, 0.0, 0.02),
    "mse_scaled": Kind(False, 0.0, 0.04, "{:.3g}"),
    "chamfer": Kind(False, 0.0, 0.02),
    "cosine_distance": Kind(False, 0.001),
}
"""Score -> kind. The floors stand for the spread between trainings that differ in their seed alone;
they are estimates until that spread has been measured on several captures. What is not here
(baselines, gains, scales) tells about a capture or follows from other scores, and is not compared.
"""

_VIEWS_OF = {"psnr_aligned": "psnr"}
_MAPS = ("albedo", "roughness", "metallic", "normal", "depth")


@dataclasses.dataclass(frozen=True)
class Score:
    """One number."""

    protocol: str
    task: str
    """novel, novel by physics, albedo, ..., relit by LIGHT, light LIGHT."""
    name: str
    value: float
    views: tuple[float, ...] | None
    """Values of the single views, where there are any."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is the score of."""
        return (self.protocol, self.task, self.name)


def flat_scores(results: Mapping[str, Any]) -> list[Score]:
    """Every number of `KINDS` in the 'results' of an evaluation; means over lights are left out."""
    return [
        score
        for protocol, found in results.items()
        for task, entry in tasks_of(found)
        for score in _of_entry(protocol, task, entry)
    ]


def tasks_of(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """By task, what was scored under one protocol."""
    if "novel" in found:
        yield "novel", found["novel"]
        if "physics" in found["novel"]:
            yield "novel by physics", found["novel"]["physics"]
    for name in _MAPS:
        if name in found:
            yield name, found[name]
    for light, entry in found.get("relit", {}).get("lights", {}).items():
        yield f"relit by {light}", entry
    for light, entry in found.get("environment", {}).items():
        yield f"light {light}", entry["per_channel"]


def _of_entry(protocol: str, task: str, entry: Mapping[str, Any]) -> Iterator[Score]:
    for name in KINDS:
        if entry.get(name) is not None:
            views = entry.get("views", {}).get(_VIEWS_OF.get(name, name))
            values = None if views is None else tuple(float(value) for value in views)
            yield Score(protocol, task, name, float(entry[name]), values)


def scores_part(evaluation: Mapping[str, Any], capture_id: str) -> dict[str, Any]:
    """What of an evaluation two scorings of one asset must have in common, byte for byte.

    Reasons for absent scores are left out: they tell about the machine.
    """
    results = copy.deepcopy(dict(evaluation["results"]))
    for found in results.values():
        found.pop("absent", None)
    return {"capture_id": capture_id, "views": list(evaluation["views"]), "results": results}


def digest(scores: Scores) -> str:
    """SHA-256 of scores in their canonical form: sorted keys, no spaces, shortest exact numbers."""
    canonical = json.dumps(scores, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
