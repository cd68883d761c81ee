"""Published figures, and beside which captures of a suite they may stand.

A figure belongs beside a capture only if it is of the same benchmark and was scored by the same
protocol; all others differ in content or in rules, and are told apart with the reason.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from relight3d.core.errors import ConfigurationError

UNSTATED = "unstated"
_FILE = Path(__file__).parent / "published.json"


@dataclasses.dataclass(frozen=True)
class Row:
    """What one source says of one method."""

    method: str
    benchmark: str
    protocol: str
    """A name of `protocols.PROTOCOLS`, or 'unstated'."""
    values: Mapping[str, float | str]
    """'task score' -> value; a text where sources disagree."""
    source: str
    venue: str = ""
    note: str = ""
    scene: str | None = None
    """None: the average over all scenes."""


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Captures that papers average over."""

    title: str
    scenes: tuple[str, ...]
    """Names of its captures, as its makers spell them; none: not listed here."""
    count: int | None
    """How many there are."""


@dataclasses.dataclass(frozen=True)
class Published:
    """The data file."""

    benchmarks: Mapping[str, Benchmark]
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Match:
    """The rows that may stand beside some captures of a suite, under one protocol."""

    benchmark: Benchmark
    protocol: str
    captures: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def sentence(self) -> str:
        """What to keep in mind."""
        count = self.benchmark.count
        of = "an unknown number of" if count is None else f"{count}"
        return (
            f"Published figures of {self.benchmark.title} under the protocol {self.protocol} are "
            "averages over all scenes unless a scene is named; only averages over the same scenes "
            f"can be compared. This suite has {len(self.captures)} of {of} scenes."
        )


@lru_cache(maxsize=1)
def load_published() -> Published:
    """The file that comes with the package."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    benchmarks = {}
    for name, about in content["benchmarks"].items():
        scenes = tuple(about["scenes"] or ())
        benchmarks[name] = Benchmark(about["title"], scenes, about.get("count") or len(scenes))
    rows = tuple(Row(**row) for row in content["rows"])
    return Published(benchmarks, rows)


def benchmark_of(capture: str, declared: str | None, published: Published) -> str | None:
    """The benchmark a capture is a scene of: declared, or the only one with a scene of its name.

    Raises:
        ConfigurationError: A benchmark is declared that is not known.
    """
    if declared is not None:
        if declared not in published.benchmarks:
            raise ConfigurationError(
                f"{capture}: there is no benchmark '{declared}'. There are: "
                f"{', '.join(published.benchmarks)}."
            )
        return declared
    name = capture.lower()
    known = [
        benchmark
        for benchmark, about in published.benchmarks.items()
        if name in {scene.lower() for scene in about.scenes}
    ]
    return known[0] if len(known) == 1 else None


def matches(
    captures: Mapping[str, tuple[str | None, Sequence[str]]], published: Published
) -> tuple[list[Match], list[tuple[Row, str]]]:
    """Rows that may stand beside captures, and all others with the reason why they may not.

    Args:
        captures: Name -> declared benchmark, and the protocols it is scored under.
        published: The figures.
    """
    home = {
        name: benchmark_of(name, declared, published) for name, (declared, _) in captures.items()
    }
    beside: dict[tuple[str, str], list[Row]] = {}
    others = []
    for row in published.rows:
        own = [name for name in captures if home[name] == row.benchmark]
        if row.scene is not None:
            own = [name for name in own if name.lower() == row.scene.lower()]
        if not own:
            others.append((row, "no such capture in this suite"))
        elif row.protocol == UNSTATED:
            others.append((row, "the source does not say how it scores"))
        elif not any(row.protocol in captures[name][1] for name in own):
            others.append((row, f"scored as {row.protocol}, which was not asked for"))
        else:
            beside.setdefault((row.benchmark, row.protocol), []).append(row)
    found = [
        Match(
            published.benchmarks[benchmark],
            protocol,
            tuple(n for n in captures if home[n] == benchmark and protocol in captures[n][1]),
            tuple(rows),
        )
        for (benchmark, protocol), rows in beside.items()
    ]
    return found, others


def values_words(row: Row) -> str:
    """The figures of a row, as the source gives them."""
    return ", ".join(f"{name} {value}" for name, value in row.values.items())
