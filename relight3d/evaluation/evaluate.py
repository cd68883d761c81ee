"""Frames of a capture's test views scored under any number of protocols at once.

Protocols are gone through one after the other, and the views of each; of pictures no more than one
view is in memory, of maps their foregrounds. What is the same for all protocols is computed once.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from relight3d.core.errors import CaptureError, EvaluationError
from relight3d.core.views import Capture
from relight3d.evaluation import flip as flip_door
from relight3d.evaluation.environment_score import environment_scores
from relight3d.evaluation.lights import LightScores
from relight3d.evaluation.map_tasks import depth_scores, map_tasks
from relight3d.evaluation.novel import novel_scores
from relight3d.evaluation.perceptual import load_lpips, why_absent
from relight3d.evaluation.picture_scores import Tools
from relight3d.evaluation.protocol import Protocol
from relight3d.evaluation.sources import FrameSource

FORMAT = "relight3d evaluation 1"
Say = Callable[[str], None]


def evaluate(
    capture: Capture,
    source: FrameSource,
    protocols: Sequence[Protocol],
    lights: Sequence[str] = (),
    perceptual: bool = True,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Score everything that both the capture and the source know.

    Args:
        capture: Needs at least one test view.
        source: Draws or reads frames.
        protocols: Each gives one entry of 'results'.
        lights: Only these; none: those of each protocol's habit, else all.
        perceptual: Also FLIP and LPIPS, where library and weights are at hand.
        say: Told what is being done.

    Returns:
        JSON values ("inf" for the PSNR of equal pictures): 'format', 'capture', 'views' and
        'results', by protocol: the protocol itself, the scores, and 'absent', which says for every
        score that is not there why.

    Raises:
        CaptureError: No test views, truth for some views only, or a light that is not there.
        FileFormatError: Frames that are missing or of another size or depth.
        EvaluationError: NaN, or pictures too small for a measure; nothing at all to score.
    """
    views = capture.split("test")
    if not views:
        raise CaptureError(
            f"{capture.root} has no test views, so nothing can be scored. Hold some out: "
            "--hold-out 8."
        )
    results, known = {}, {}
    depth = functools.cache(lambda: depth_scores(capture, source))
    light = functools.cache(lambda: environment_scores(capture, source))
    for number, protocol in enumerate(protocols, 1):
        say(f"protocol {number} of {len(protocols)}, {protocol.name}: {protocol.title}")
        tools, absent = _tools(protocol, perceptual, known)
        found: dict[str, Any] = {}
        if "novel" in protocol.scores:
            found["novel"] = novel_scores(capture, source, protocol, tools, absent)
        maps, gain = map_tasks(capture, source, protocol, tools, absent, depth)
        found |= maps
        if "relit" in protocol.scores:
            scores = LightScores(capture, source, protocol, tools, gain, absent)
            found["relit"] = scores.all_lights(lights)
            found["environment"], reason = light()
            if reason is not None:
                absent["environment"] = reason
        scored = {name: value for name, value in found.items() if value}
        result = {"protocol": protocol.as_json(), **scored, "absent": absent}
        refuse_nan(result, protocol.name)
        results[protocol.name] = result
    if not any(_scored(result) for result in results.values()):
        raise EvaluationError(
            f"Nothing of {capture.root.name} can be scored: "
            + "; ".join(f"{k}: {v}" for r in results.values() for k, v in r["absent"].items())
        )
    return without_infinity(
        {
            "format": FORMAT,
            "capture": capture.root.name,
            "views": [view.name for view in views],
            "results": results,
        }
    )


def _tools(
    protocol: Protocol, perceptual: bool, known: dict[bytes, float]
) -> tuple[Tools, dict[str, str]]:
    if not perceptual:
        return Tools(), {"flip": "not asked for", "lpips": "not asked for"}
    absent = {}
    lpips = load_lpips(protocol.lpips)
    if lpips is None:
        absent["lpips"] = why_absent(protocol.lpips) or "no weights"
    flip = flip_door.available()
    if not flip:
        absent["flip"] = "flip-evaluator is not installed: pip install 'relight3d[eval]'"
    return Tools(lpips, flip, known), absent


def _scored(result: dict[str, Any]) -> bool:
    return bool(result.keys() - {"protocol", "absent"})


def refuse_nan(value: Any, where: str) -> None:
    """NaN never passes.

    Raises:
        EvaluationError: Somewhere in nested results is a NaN.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            refuse_nan(inner, f"{where}, {key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            refuse_nan(inner, f"{where}, {index}")
    elif isinstance(value, float | np.floating) and math.isnan(value):
        raise EvaluationError(
            f"The score {where} is NaN: frames or truth hold values that are none."
        )


def without_infinity(value: Any) -> Any:
    """JSON has no infinity: "inf", "-inf" stand for it (`float` reads both)."""
    if isinstance(value, dict):
        return {key: without_infinity(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_infinity(inner) for inner in value]
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
