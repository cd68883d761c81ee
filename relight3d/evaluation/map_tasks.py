"""True maps held against frames: albedo, roughness, metallic, normals, depth."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from relight3d.core.views import Capture, View
from relight3d.evaluation.alignment import NO_GAIN, Gain, GainFit, alignment_views
from relight3d.evaluation.compared import Pair, in_space
from relight3d.evaluation.map_scores import AlbedoScores, DepthScores, GreyScores, NormalScores
from relight3d.evaluation.picture_scores import Tools
from relight3d.evaluation.protocol import MAPS, Protocol
from relight3d.evaluation.sources import FrameSource
from relight3d.evaluation.tasks import truth_of, views_with
from relight3d.evaluation.truth import coverage_of, true_map
from relight3d.files.images import read_image
from relight3d.files.reading import read_array


def map_tasks(
    capture: Capture,
    source: FrameSource,
    protocol: Protocol,
    tools: Tools,
    absent: dict[str, str],
    depth: Callable[[], dict[str, Any]],
) -> tuple[dict[str, Any], Gain]:
    """Scores by map, and the factor on albedo with which relighting is to be done.

    `depth` gives `depth_scores`, which are the same under every protocol.
    """
    found: dict[str, Any] = {}
    gain = NO_GAIN
    for what in MAPS:
        views = views_with(capture, what)
        reason = source.why_not(what) if views else f"the capture has no true {what}"
        if reason is None and what == "albedo" and protocol.aligns("albedo"):
            gain = scene_gain(capture, source, protocol, views)
        if what not in protocol.scores:
            continue
        if reason is not None:
            absent[what] = reason
        elif what == "albedo":
            found[what] = _albedo(views, source, protocol, tools, gain)
        elif what == "depth":
            found[what] = depth()
        else:
            scores = NormalScores(protocol) if what == "normal" else GreyScores(protocol)
            for _, pair in _pairs(views, source, protocol, what):
                scores.add(pair)
            found[what] = scores.result()
    return found, gain


def scene_gain(
    capture: Capture, source: FrameSource, protocol: Protocol, views: list[View]
) -> Gain:
    """The factor a protocol aligns albedo with."""
    fit = GainFit(protocol, capture.root.name)
    assert protocol.alignment is not None
    chosen = [views[i] for i in alignment_views(len(views), protocol.alignment.views)]
    for _, pair in _pairs(chosen, source, protocol, "albedo"):
        fit.add(pair)
    return fit.gain()


def _pairs(
    views: list[View], source: FrameSource, protocol: Protocol, what: str
) -> Iterator[tuple[View, Pair]]:
    for view in views:
        path = truth_of(view, what)
        assert path is not None
        truth, coverage = true_map(view, what)
        ours = source.draw(view, what, path)
        if what == "albedo":  # stored linear, though files do not say so
            ours = dataclasses.replace(ours, color_space="linear")
        yield view, Pair(ours, truth, coverage).reduced(protocol.width_px)


def _albedo(
    views: list[View], source: FrameSource, protocol: Protocol, tools: Tools, gain: Gain
) -> dict[str, Any]:
    scores = AlbedoScores(protocol, tools, gain)
    for view, pair in _pairs(views, source, protocol, "albedo"):
        photo = read_image(view.image_path)
        lit = Pair(photo, photo, None).reduced(protocol.width_px).truth
        scores.add(pair, in_space(lit, "linear"))
    return scores.result()


def depth_scores(capture: Capture, source: FrameSource) -> dict[str, Any]:
    """Of all views with true depth, at full size."""
    scores = DepthScores()
    for view in views_with(capture, "depth"):
        truth = read_array(view.truth["depth"], "The depth map").astype(np.float32).squeeze()
        coverage = coverage_of(view, read_image(view.image_path))
        where = np.ones(truth.shape, bool) if coverage is None else coverage[..., 0] >= 0.5
        scores.add(view, source.depth(view), truth, where)
    return scores.result()
