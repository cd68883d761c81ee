"""Loss curves that survive a stop: means over short spans of steps, kept in the checkpoint."""

from collections.abc import Mapping
from typing import Any

POINTS = 400


class LossLog:
    """Per scalar, its mean over every span of `total_steps / POINTS` steps."""

    def __init__(self, total_steps: int):
        """Choose the span."""
        self._span = max(1, total_steps // POINTS)
        self._sums: dict[str, list[float]] = {}
        self.curves: dict[str, dict[str, list[int | float]]] = {}

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Take the scalars of step number `step`, counted from 1."""
        for name, value in values.items():
            entry = self._sums.setdefault(name, [0.0, 0])
            entry[0] += float(value)
            entry[1] += 1
        if step % self._span == 0:
            for name, (total, count) in self._sums.items():
                curve = self.curves.setdefault(name, {"steps": [], "values": []})
                curve["steps"].append(step)
                curve["values"].append(total / count)
            self._sums = {}

    def state(self) -> dict[str, Any]:
        """JSON values from which `restore` goes on exactly."""
        return {"sums": self._sums, "curves": self.curves}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self._sums, self.curves = dict(state["sums"]), dict(state["curves"])
