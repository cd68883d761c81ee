"""Scores of pictures under one protocol, collected view by view: PSNR, SSIM, FLIP, LPIPS."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from relight3d.evaluation import flip as flip_door
from relight3d.evaluation.checks import require_finite
from relight3d.evaluation.compared import Pair
from relight3d.evaluation.metrics import Picture, decibels
from relight3d.evaluation.perceptual import InputRange, Lpips
from relight3d.evaluation.protocol import Protocol, PsnrRule
from relight3d.evaluation.similarity import ssim
from relight3d.evaluation.statistics import spread
from relight3d.evaluation.truth import encode_srgb

GREY = 0.5


@dataclasses.dataclass(frozen=True)
class Tools:
    """Measures that need something beside this package; protocols that see equal pictures share."""

    lpips: Lpips | None = None
    flip: bool = False
    known: dict[bytes, float] = dataclasses.field(default_factory=dict)

    def flip_of(self, ours: Picture, truth: Picture) -> float:
        """Mean FLIP."""
        return self._once("flip", ours, truth, lambda: flip_door.flip(ours, truth).mean)

    def lpips_of(self, ours: Picture, truth: Picture, input_range: InputRange) -> float:
        """LPIPS by the network at hand."""
        lpips = self.lpips
        assert lpips is not None
        what = f"{lpips.net} {input_range}"
        return self._once(what, ours, truth, lambda: lpips.distance(ours, truth, input_range))

    def _once(
        self, what: str, ours: Picture, truth: Picture, measure: Callable[[], float]
    ) -> float:
        key = hashlib.blake2b(what.encode())
        key.update(ours.tobytes())
        key.update(truth.tobytes())
        if key.digest() not in self.known:
            self.known[key.digest()] = measure()
        return self.known[key.digest()]


class PictureScores:
    """Collects pairs; no more than one is in memory."""

    def __init__(self, protocol: Protocol, tools: Tools, structure: bool = True) -> None:
        """Nothing collected. Without `structure` only PSNR, which any list of pixels has."""
        self._protocol, self._tools, self._structure = protocol, tools, structure
        self._errors: dict[str, list[_ChannelErrors]] = {rule.name: [] for rule in protocol.psnr}
        self._views: dict[str, list[float]] = {}

    def add(self, pair: Pair) -> None:
        """Score one view.

        Raises:
            EvaluationError: NaN, or pictures too small for a measure.
        """
        protocol = self._protocol
        for rule in protocol.psnr:
            self._errors[rule.name].append(_channel_errors(pair, protocol, rule))
        if not self._structure:
            return
        ours, truth = pair.blended(protocol)
        require_finite(frame=ours, truth=truth)
        similarity = ssim(ours, truth, protocol.ssim)
        self._views.setdefault("ssim", []).append(similarity)
        if self._tools.flip:
            self._views.setdefault("flip", []).append(self._tools.flip_of(ours, truth))
        if self._tools.lpips is not None:
            distance = self._tools.lpips_of(ours, truth, protocol.lpips_input)
            self._views.setdefault("lpips", []).append(distance)

    def result(self) -> dict[str, Any]:
        """Score -> value, and below 'views' and 'spread' the values of every view."""
        views: dict[str, list[float]] = {}
        values: dict[str, float] = {}
        for rule in self._protocol.psnr:
            errors = self._errors[rule.name]
            views[rule.name] = [error.psnr(rule) for error in errors]
            values[rule.name] = (
                _together(errors).psnr(rule)
                if rule.views == "pooled"
                else float(np.mean(views[rule.name]))
            )
        views |= self._views
        values |= {name: float(np.mean(found)) for name, found in self._views.items()}
        spreads = {name: dataclasses.asdict(spread(found)) for name, found in views.items()}
        return {**values, "views": views, "spread": spreads}


@dataclasses.dataclass(frozen=True)
class _ChannelErrors:
    """Squared errors of one view or of many."""

    total: np.ndarray
    """Summed over pixels, per channel."""
    pixels: int
    floor: float = -math.inf
    """PSNR of a grey picture, below which no score falls."""

    def psnr(self, rule: PsnrRule) -> float:
        errors = self.total / self.pixels
        if rule.channels == "pooled":
            return max(decibels(float(errors.mean())), self.floor)
        return max(sum(decibels(float(error)) for error in errors) / len(errors), self.floor)


def _together(errors: Sequence[_ChannelErrors]) -> _ChannelErrors:
    return _ChannelErrors(sum(e.total for e in errors), sum(e.pixels for e in errors))  # pyright: ignore[reportArgumentType]


def _channel_errors(pair: Pair, protocol: Protocol, rule: PsnrRule) -> _ChannelErrors:
    limit = math.inf if rule.exposed else rule.clip
    ours, truth = pair.blended(protocol, rule.space, limit)
    if rule.exposed:
        brightness = float(np.clip(truth, 0, 1).mean())
        if brightness > 1e-8:
            exposure = float(encode_srgb(np.clip(truth, 0, 1)).mean()) / brightness
            ours, truth = ours * exposure, truth * exposure
        ours, truth = np.minimum(ours, rule.clip), np.minimum(truth, rule.clip)
    require_finite(frame=ours, truth=truth)
    floor = -math.inf
    if rule.grey_floor:
        floor = decibels(float(_squared(GREY * pair.mask(protocol), truth).mean()))
    total = _squared(ours, truth).sum((0, 1))
    return _ChannelErrors(total, truth.shape[0] * truth.shape[1], floor)


def _squared(ours: np.ndarray, truth: Picture) -> np.ndarray:
    return np.square(ours.astype(np.float64) - truth)
