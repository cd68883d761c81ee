"""The recovered light against the true one, where a capture brings it."""

import dataclasses
from typing import Any

from relight3d.core.views import Capture
from relight3d.evaluation.environment_error import environment_error
from relight3d.evaluation.sources import FrameSource
from relight3d.evaluation.truth import true_environment


def environment_scores(capture: Capture, source: FrameSource) -> tuple[dict[str, Any], str | None]:
    """By light of the training photos, errors up to scale and a turn; and why one has none."""
    names = {view.light.environment for view in capture.split("train")}
    known = sorted(name for name in names if name is not None and name in capture.environments)
    if not known:
        return {}, "the capture has no map of the light of its photos"
    found, reason = {}, None
    for name in known:
        recovered = source.environment(name)
        if recovered is None:
            reason = "no light was recovered"
            continue
        truth = true_environment(capture, name).radiance_linear.numpy()
        found[name] = dataclasses.asdict(environment_error(recovered, truth))
    return found, reason
