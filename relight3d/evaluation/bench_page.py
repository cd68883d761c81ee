"""bench.html: a suite's pictures beside the truth, its numbers, and what others have published."""

from collections.abc import Mapping, Sequence

from relight3d.evaluation import bench_table as tables
from relight3d.evaluation import page
from relight3d.evaluation.bench_compare import Comparison as Compared
from relight3d.evaluation.published import Match, Row, values_words
from relight3d.evaluation.report import LARGEST_ERROR, Comparison, compared_rows

Shown = Sequence[Comparison]
"""Pictures of one capture: a novel view first, then one relit view per light."""


def bench_html(
    content: tables.Content,
    shown: Mapping[str, Shown],
    comparison: Compared | None,
    matched: Sequence[Match],
    others: Sequence[tuple[Row, str]],
) -> str:
    """The page. `shown`: by capture; of the first seed where there are several."""
    body = [_numbers(content, protocol, matched) for protocol in tables.protocols_of(content)]
    if comparison is not None:
        body.append(_compared(comparison))
    body += [_pictures(name, content, shown[name]) for name in content["scores"] if name in shown]
    body.append(_costs(content))
    body.append(_others(others, bool(matched)))
    count = len(content["scores"])
    lead = f"{count} captures, trained and scored by relight3d at {content['commit']}."
    return page.page(f"Suite {content['suite']}", lead, body)


def _table(cells: tables.Cells) -> str:
    return page.table(cells[0], cells[1:])


def _numbers(content: tables.Content, protocol: str, matched: Sequence[Match]) -> str:
    pieces = [_table(tables.quality_cells(content, protocol))]
    lights = tables.light_cells(content, protocol)
    if len(lights) > 1:
        pieces.append(_table(lights))
    for match in (match for match in matched if match.protocol == protocol):
        pieces += [page.note(match.sentence), _table(tables.published_cells(match))]
    said = " ".join(tables.INTRODUCTION).replace("`", "")
    first = protocol == tables.protocols_of(content)[0]
    return page.section(f"By the protocol {protocol}", said if first else "", *pieces)


def _compared(found: Compared) -> str:
    pieces = []
    for title, side in (("Better", found.better), ("Worse", found.worse)):
        if side:
            pieces += [
                page.note(f"{title} beyond the noise"),
                _table(tables.difference_cells(side)),
            ]
    if found.notes:
        pieces.append(page.folded("not compared, or with care", "\n".join(found.notes)))
    if found.within:
        rows = tables.difference_cells(found.within)
        lines = "\n".join("  ".join(row) for row in rows)
        pieces.append(page.folded(f"{len(found.within)} within the noise", lines))
    return page.section("Against the earlier run", tables.comparison_lines(found)[0], *pieces)


def _pictures(name: str, content: tables.Content, shown: Shown) -> str:
    seconds = next(iter(content["costs"].get(name, {}).values()), {}).get("seconds", {})
    said = (
        "Left the truth, in the middle our picture, right where they differ: dark blue is equal, "
        f"red is {LARGEST_ERROR:.0%} of white or more. "
        f"{sum(seconds.values()):.0f} s in all, scoring included."
    )
    return page.section(name, said, *compared_rows(shown, "truth"))


def _costs(content: tables.Content) -> str:
    lines = "\n".join(tables.about(content))
    return page.section(
        "Time and memory",
        "",
        _table(tables.cost_cells(content)),
        page.folded("machine, versions, digest of the scores", lines),
    )


def _others(others: Sequence[tuple[Row, str]], some_matched: bool) -> str:
    if not others:
        return ""
    lines = [
        f"{row.benchmark}, {row.scene or 'all scenes'}: {row.method} {row.venue}: "
        f"{values_words(row)}; protocol {row.protocol}; {row.source}"
        + (f" ({row.note})" if row.note else "")
        + f". Not comparable: {reason}."
        for row, reason in others
    ]
    said = "" if some_matched else tables.none_published(len(others))
    folded = page.folded("published, not comparable with the numbers above", "\n".join(lines))
    return page.section("Published elsewhere", said, folded)
