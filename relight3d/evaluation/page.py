"""Pieces of a self-contained HTML page: styles, embedded pictures, tables, line charts.

Everything is inside the one file: no script, no font and no picture is fetched. Texts are escaped
here, so callers pass plain words.
"""

import base64
import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from relight3d.files.pictures import encode_webp

Curve = Mapping[str, Sequence[int | float]]
"""'steps' and 'values' of one scalar."""

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #ffffff; --ink: #1d1f23;
  --soft: #686c75; --line: #e3e1dc; --stage: #dddcd8; --accent: #b4541a;
  --c0: #b4541a; --c1: #2b6cb0; --c2: #2f855a; --c3: #805ad5; --c4: #b7791f; --c5: #c53030;
  --c6: #0e7490; --c7: #71717a; }
@media (prefers-color-scheme: dark) { :root { --paper: #16171a; --card: #1e2024; --ink: #e8e6e3;
  --soft: #9a9da6; --line: #33363c; --stage: #3a3d43; --accent: #f0935a;
  --c0: #f0935a; --c1: #63a4e8; --c2: #5bc08c; --c3: #b794f4;
  --c4: #ecc94b; --c5: #fc8181; --c6: #4fd1d9; --c7: #a1a1aa; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.015em; }
h2 { font-size: 1.25rem; margin: 3rem 0 .3rem; letter-spacing: -.01em; }
p { margin: .3rem 0 1rem; max-width: 46rem; } .lead, figcaption, .note { color: var(--soft); }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .75rem;
  margin: 1.6rem 0; }
.number { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .8rem 1rem; }
.number b { display: block; font-size: 1.3rem; white-space: nowrap;
  font-weight: 600; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.number span { color: var(--soft); font-size: .85rem; display: block; line-height: 1.35; }
.row { display: grid; gap: .75rem; margin: .75rem 0; }
figure { margin: 0; } figure img { width: 100%; display: block; border-radius: 8px;
  background: var(--stage); }
figcaption { font-size: .85rem; line-height: 1.4; padding: .35rem .1rem .2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; } th, td { text-align: left; padding: .45rem .8rem .45rem 0;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: .85rem; }
td + td, th + th { text-align: right; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1rem 1.1rem; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .85rem; color: var(--soft);
  padding-top: .4rem; } .legend i { display: inline-block; width: .8rem; height: .2rem;
  border-radius: 2px; margin-right: .4rem; vertical-align: middle; }
details { margin-top: .75rem; } summary { cursor: pointer; color: var(--accent); }
pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-x: auto;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem; }
"""


def page(title: str, lead: str, body: Sequence[str]) -> str:
    """The whole document around pieces made by the functions below."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body><main><h1>{text(title)}</h1>"
        f'<p class="lead">{text(lead)}</p>\n' + "\n".join(body) + "\n</main></body></html>\n"
    )


def text(words: object) -> str:
    """Escaped."""
    return html.escape(str(words))


def section(title: str, explanation: str, *body: str) -> str:
    """A heading, what one sees, and the pieces."""
    said = f"<p>{text(explanation)}</p>" if explanation else ""
    return f"<section><h2>{text(title)}</h2>{said}{''.join(body)}</section>"


def numbers(entries: Sequence[tuple[str, str]]) -> str:
    """Large values, each with a small label below: (value, label)."""
    cells = [
        f'<div class="number"><b>{text(value)}</b><span>{text(label)}</span></div>'
        for value, label in entries
    ]
    return f'<div class="numbers">{"".join(cells)}</div>'


def still(pixels: UInt8[np.ndarray, "H W C"], caption: str, quality: int = 88) -> str:
    """A picture with its caption."""
    return animation(encode_webp(pixels, quality), caption)


def animation(webp: bytes, caption: str) -> str:
    """An encoded (animated) WebP with its caption."""
    data = base64.b64encode(webp).decode("ascii")
    return (
        f'<figure><img src="data:image/webp;base64,{data}" alt="{text(caption)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def row(figures: Sequence[str], columns: int | None = None) -> str:
    """Figures side by side, all of one width."""
    count = columns or len(figures)
    style = f"grid-template-columns: repeat({count}, minmax(0, 1fr))"
    return f'<div class="row" style="{style}">{"".join(figures)}</div>'


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """First column to the left, the others to the right."""
    head = "".join(f"<th>{text(cell)}</th>" for cell in header)
    lines = ["<tr>" + "".join(f"<td>{text(c)}</td>" for c in line) + "</tr>" for line in rows]
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def note(words: str) -> str:
    """A quiet remark."""
    return f'<p class="note">{text(words)}</p>'


def folded(summary: str, content: str) -> str:
    """Preformatted text behind a click."""
    return f"<details><summary>{text(summary)}</summary><pre>{text(content)}</pre></details>"


def line_chart(curves: Mapping[str, Curve]) -> str:
    """Positive curves over steps on a logarithmic scale, as inline SVG with a legend.

    Args:
        curves: Per name 'steps' and 'values'; values that are not positive and finite are left out.
    """
    drawn = {name: points for name, curve in curves.items() if (points := _points(curve))}
    if not drawn:
        return ""
    width, height, left, bottom, top = 720.0, 260.0, 56.0, 26.0, 10.0
    last = max(x for points in drawn.values() for x, _ in points)
    values = [y for points in drawn.values() for _, y in points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def place(x: int | float, y: int | float) -> str:
        across = left + (width - left - 8) * x / last
        down = top + (height - bottom - top) * (high - math.log10(y)) / (high - low)
        return f"{across:.1f},{down:.1f}"

    marks = []
    for power in range(low, high + 1, max(1, (high - low) // 5)):
        y = place(0, 10.0**power).split(",")[1]
        marks.append(
            f'<line x1="{left}" x2="{width - 8}" y1="{y}" y2="{y}" stroke="var(--line)"/>'
            f'<text x="{left - 8}" y="{float(y) + 4}" text-anchor="end">{10.0**power:g}</text>'
        )
    for share in (0.0, 0.5, 1.0):
        x = left + (width - left - 8) * share
        anchor = "end" if share == 1.0 else "middle"
        marks.append(
            f'<text x="{x}" y="{height - 6}" text-anchor="{anchor}">{last * share:.0f}</text>'
        )
    lines, legend = [], []
    for index, (name, points) in enumerate(drawn.items()):
        color = f"var(--c{index % 8})"
        path = " ".join(place(x, y) for x, y in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        legend.append(f'<span><i style="background:{color}"></i>{text(name)}</span>')
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img">{"".join(marks)}{"".join(lines)}'
        f'</svg><div class="legend">{"".join(legend)}</div>'
    )


def card(*body: str) -> str:
    """A framed box."""
    return f'<div class="card">{"".join(body)}</div>'


def _points(curve: Curve) -> list[tuple[int | float, int | float]]:
    pairs = zip(curve["steps"], curve["values"], strict=True)
    return [(x, y) for x, y in pairs if y > 0 and math.isfinite(y)]
