"""Progress on stderr: one redrawn line in a terminal, sparse plain lines in a log file."""

import io
import shutil
import sys
import time
from collections.abc import Mapping
from typing import TextIO

BAR_WIDTH = 24


class Progress:
    """Shows how far a job is, how long it will take, and its latest scalars."""

    def __init__(
        self, name: str, total: int, done: int = 0, stream: TextIO | io.TextIOBase | None = None
    ):
        """Start the clock.

        Args:
            name: Shown first.
            total: Steps in all.
            done: Steps done in an earlier run; they do not count for the speed.
            stream: Where to write; stderr unless given.
        """
        self._name, self._total, self._first = name, total, done
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._interval_s = 0.2 if self._live else 10.0
        self._start = self._shown = time.monotonic()

    def update(self, done: int, values: Mapping[str, float]) -> None:
        """Tell the state after a step; writes only now and then."""
        now = time.monotonic()
        if now - self._shown >= self._interval_s:
            self._shown = now
            self._write(self._line(done, values, now), end="" if self._live else "\n")

    def close(self, done: int, values: Mapping[str, float]) -> None:
        """Write the last state and leave the line."""
        self._write(self._line(done, values, time.monotonic()), end="\n")

    def _line(self, done: int, values: Mapping[str, float], now: float) -> str:
        elapsed, fresh = now - self._start, done - self._first
        bar = ""
        if self._live:
            filled = BAR_WIDTH * done // max(1, self._total)
            bar = f" [{'=' * filled}{' ' * (BAR_WIDTH - filled)}]"
        if done >= self._total:
            when = f"{duration(elapsed)}"
        elif fresh > 0:
            when = f"{duration(elapsed)}, {duration(elapsed / fresh * (self._total - done))} left"
        else:
            when = "starting"
        scalars = "".join(f"  {name} {value:.4g}" for name, value in values.items())
        return f"{self._name}{bar} {done}/{self._total}  {when}{scalars}"

    def _write(self, line: str, end: str) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1  # a wrapped line could not be redrawn
            line = f"\r\x1b[2K{line[:width]}"
        self._stream.write(line + end)
        self._stream.flush()


def duration(seconds: int | float) -> str:
    """`9s`, `3:07`, or `1:02:45`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest}s"
