"""Relit views: frames under lights that the photos were not taken under."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relight3d.core.views import Capture, View
from relight3d.evaluation.alignment import NO_GAIN, Gain, GainFit, alignment_views
from relight3d.evaluation.compared import Pair
from relight3d.evaluation.picture_scores import PictureScores, Tools
from relight3d.evaluation.protocol import Alignment, Protocol
from relight3d.evaluation.sources import FrameSource
from relight3d.evaluation.tasks import OTHER_LIGHTS, Relit, chosen_lights
from relight3d.evaluation.truth import coverage_of
from relight3d.files.images import Image, read_image

_BEST = Alignment("relit pictures", "least squares", space="srgb")
"""Of stored values: what serves the unrelit photo best in these scores."""


class LightScores:
    """Every light of a capture under one protocol."""

    def __init__(
        self,
        capture: Capture,
        source: FrameSource,
        protocol: Protocol,
        tools: Tools,
        gain: Gain,
        absent: dict[str, str],
    ) -> None:
        """`gain`: the factor on albedo, where that is how the protocol aligns."""
        self._capture, self._source, self._protocol = capture, source, protocol
        self._tools, self._gain, self._absent = tools, gain, absent

    def all_lights(self, wanted: Sequence[str]) -> dict[str, Any]:
        """Below 'lights' the scores by light, and beside it their means."""
        lights = {}
        for name, entries in chosen_lights(self._capture, wanted, self._protocol.lights).items():
            reason = self._source.why_not(f"relit/{name}")
            if reason is not None:
                self._absent[f"relit/{name}"] = reason
                continue
            lights[name] = self._one(name, entries)
        if not lights:
            self._absent.setdefault("relit", "no light is known to both capture and frames")
            return {}
        return {**_means(list(lights.values())), "lights": lights}

    def _one(self, light: str, entries: Sequence[Relit]) -> dict[str, Any]:
        rule = self._protocol.alignment if self._protocol.aligns("relit pictures") else None
        fitted = rule is not None and not rule.each_view
        gain = self._picture_gain(light, entries) if fitted else NO_GAIN
        scores = PictureScores(self._protocol, self._tools)
        for entry in entries:
            pair = self._pair(light, entry, self._gain)
            if rule is not None:
                if rule.each_view:
                    gain = self._picture_gain(light, [entry])
                pair = pair.scaled(np.array(gain, np.float32), rule.space)
            scores.add(pair)
        found = scores.result()
        if fitted:
            found["gain"] = list(gain)
        if self._protocol.baselines and light != OTHER_LIGHTS:
            found |= self._baselines(light, entries, found)
        return found

    def _picture_gain(self, light: str, entries: Sequence[Relit]) -> Gain:
        assert self._protocol.alignment is not None
        fit = GainFit(self._protocol, self._capture.root.name)
        for i in alignment_views(len(entries), self._protocol.alignment.views):
            fit.add(self._pair(light, entries[i], NO_GAIN))
        return fit.gain()

    def _pair(self, light: str, entry: Relit, gain: Gain) -> Pair:
        view, path = entry
        if not self._source.applies_gain:
            gain = NO_GAIN
        ours = self._source.draw(view, f"relit/{light}", path, gain)
        return _pair(view, path, ours).reduced(self._protocol.width_px)

    def _baselines(
        self, light: str, entries: Sequence[Relit], found: dict[str, Any]
    ) -> dict[str, Any]:
        """Doing nothing, and what relighting gains over it; and relit with albedo as found."""
        fit = GainFit(dataclasses.replace(self._protocol, alignment=_BEST))
        for view, path in entries:
            fit.add(_unrelit(view, path))
        gain = np.array(fit.gain(), np.float32)
        as_found, unrelit, best = (
            PictureScores(self._protocol, Tools(), structure=False) for _ in range(3)
        )
        scaled = self._source.applies_gain and self._gain != NO_GAIN
        for entry in entries:
            photo = _unrelit(*entry)
            unrelit.add(photo)
            best.add(photo.scaled(gain, "srgb"))
            if scaled:
                as_found.add(self._pair(light, entry, NO_GAIN))
        values = {
            "psnr_albedo_as_found": as_found.result()["psnr"] if scaled else found["psnr"],
            "psnr_unrelit": unrelit.result()["psnr"],
            "psnr_unrelit_best_gain": best.result()["psnr"],
        }
        nothing = max(values["psnr_unrelit"], values["psnr_unrelit_best_gain"])
        equal = found["psnr"] == nothing  # both may be infinite
        return {**values, "gain_over_unrelit_db": 0.0 if equal else found["psnr"] - nothing}


def _pair(view: View, path: Path, ours: Image) -> Pair:
    truth = read_image(path)
    coverage = truth.alpha
    if coverage is None:
        coverage = coverage_of(view, read_image(view.image_path))
    return Pair(ours, truth, coverage)


def _unrelit(view: View, path: Path) -> Pair:
    """The photo passed off as the relit picture."""
    return _pair(view, path, read_image(view.image_path))


def _means(lights: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of every score that is a number for all lights."""
    names = [n for n, v in lights[0].items() if isinstance(v, float)]
    return {
        name: float(np.mean([light[name] for light in lights]))
        for name in names
        if all(name in light for light in lights)
    }
