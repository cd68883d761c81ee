"""The recovered light against the true one, where a capture brings it."""

import dataclasses
from typing import Any

import torch

from relight3d.core.views import Capture
from relight3d.evaluation.environment_error import environment_error
from relight3d.evaluation.sources import FrameSource
from relight3d.files.environment import read_environment
from relight3d.shading.latlong import reoriented


def environment_scores(
    capture: Capture, source: FrameSource, absent: dict[str, str]
) -> dict[str, Any]:
    """By light of the training photos: errors up to scale and a turn about the vertical."""
    names = {view.light.environment for view in capture.split("train")}
    known = sorted(name for name in names if name is not None and name in capture.environments)
    if not known:
        absent["environment"] = "the capture has no map of the light of its photos"
        return {}
    found = {}
    for name in known:
        recovered = source.environment(name)
        if recovered is None:
            absent["environment"] = "no light was recovered"
            continue
        truth = read_environment(capture.environments[name]).radiance_linear
        turn = capture.environment_turns.get(name)
        if turn is not None:
            truth = reoriented(truth, torch.from_numpy(turn))
        found[name] = dataclasses.asdict(environment_error(recovered, truth.numpy()))
    return found
