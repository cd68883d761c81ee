"""A suite's results as Markdown: the long table of bench.md, and a short one for a README.

`content` is what bench.json holds: 'scores', 'costs', 'settings' and what is said about machine and
versions (`pipeline.bench_result`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from relight3d.core.progress import duration
from relight3d.evaluation.bench_compare import Comparison, Difference
from relight3d.evaluation.bench_scores import KINDS, Score, flat_scores
from relight3d.evaluation.published import Match, values_words
from relight3d.evaluation.statistics import spread

Content = Mapping[str, Any]
_COLUMNS = {
    ("novel", "psnr"): "unseen views",
    ("novel", "psnr_h"): "unseen views, H",
    ("novel", "psnr_l"): "unseen views, L",
    ("novel", "ssim"): "SSIM",
    ("novel", "flip"): "FLIP",
    ("novel", "lpips"): "LPIPS",
    ("novel by physics", "psnr"): "by physics",
    ("normal", "mae_deg"): "normals",
    ("albedo", "psnr_raw"): "albedo as found",
    ("albedo", "psnr_aligned"): "albedo aligned",
    ("roughness", "mse"): "roughness MSE",
    ("metallic", "mse"): "metallic MSE",
    ("depth", "relative"): "depth, relative",
}
_LIGHT_COLUMNS = {
    "psnr": "relit",
    "psnr_h": "relit, H",
    "psnr_l": "relit, L",
    "ssim": "SSIM",
    "flip": "FLIP",
    "lpips": "LPIPS",
    "psnr_unrelit_best_gain": "unrelit, best gain",
    "gain_over_unrelit_db": "gained",
    "psnr_albedo_as_found": "as found",
}
TIMED = ("fit", "decompose", "proxy", "inverse", "score", "report")

Cells = list[list[str]]


def markdown(
    content: Content, comparison: Comparison | None, matched: Sequence[Match], left_out: int
) -> str:
    """bench.md."""
    lines = [f"# Suite {content['suite']}: quality, time, memory", "", *INTRODUCTION, ""]
    for protocol in protocols_of(content):
        lines += [f"## By the protocol {protocol}", "", *md_table(quality_cells(content, protocol))]
        lights = light_cells(content, protocol)
        lines += ["", *md_table(lights)] if len(lights) > 1 else []
        for match in (match for match in matched if match.protocol == protocol):
            lines += ["", match.sentence, "", *md_table(published_cells(match))]
        lines.append("")
    if not matched:
        lines += [none_published(left_out), ""]
    lines += ["## Time and memory", "", *md_table(cost_cells(content)), "", *about(content), ""]
    if comparison is not None:
        lines += ["## Against the earlier run", "", *comparison_lines(comparison), ""]
    return "\n".join(lines)


INTRODUCTION = [
    "Written by `relight3d bench`. Scores are of views, and of lights, that training never saw;",
    "`relight3d eval --list` says how each protocol scores. After ± stands half of the 95 %",
    "interval of the mean over views, which is no statement about other captures; with several",
    "seeds, of the mean over seeds. 'gained': over the unrelit photo with its best factor per",
    "channel. 'as found': relit without scaling albedo by the truth.",
]


def none_published(left_out: int) -> str:
    """For suites that share no capture and protocol with any paper."""
    return (
        f"None of the {left_out} published figures that come with this package is of one of these "
        "captures under one of these protocols, so none stands beside them: other captures are "
        "harder or easier, other protocols kinder or stricter. The page (bench.html) lists them, "
        "folded, for orientation."
    )


def protocols_of(content: Content) -> list[str]:
    """Every protocol that something was scored under, in their first order."""
    found: dict[str, None] = {}
    for seeds in content["scores"].values():
        for one in seeds.values():
            found |= dict.fromkeys(one["results"])
    return list(found)


def md_table(cells: Cells) -> list[str]:
    """Markdown lines of a header and its rows."""
    head, *rows = cells
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]


def quality_cells(content: Content, protocol: str) -> Cells:
    """A row per capture, columns that nobody has left out."""
    rows = {}
    for capture, seeds in content["scores"].items():
        by_key = _by_key(seeds, protocol)
        if by_key:
            rows[capture] = {
                key: words_of(by_key[(protocol, *key)])
                for key in _COLUMNS
                if (protocol, *key) in by_key
            }
    columns = [key for key in _COLUMNS if any(key in row for row in rows.values())]
    head = ["capture", *(_COLUMNS[key] for key in columns)]
    return [head, *([name, *(row.get(k, "") for k in columns)] for name, row in rows.items())]


def light_cells(content: Content, protocol: str) -> Cells:
    """A row per capture and light."""
    rows: list[tuple[str, str, dict[str, str]]] = []
    for capture, seeds in content["scores"].items():
        by_key = _by_key(seeds, protocol)
        results = [one["results"].get(protocol, {}) for one in seeds.values()]
        for light in results[0].get("relit", {}).get("lights", {}):
            entries = [found["relit"]["lights"][light] for found in results]
            row = {}
            for name in _LIGHT_COLUMNS:
                key = (protocol, f"relit by {light}", name)
                if key in by_key:
                    row[name] = words_of(by_key[key])
                elif all(name in entry for entry in entries):
                    mean = sum(float(entry[name]) for entry in entries) / len(entries)
                    row[name] = f"{mean:+.2f} dB" if name.startswith("gain") else f"{mean:.2f} dB"
            rows.append((capture, light, row))
    columns = [name for name in _LIGHT_COLUMNS if any(name in row for _, _, row in rows)]
    head = ["capture", "light", *(_LIGHT_COLUMNS[name] for name in columns)]
    return [head, *([c, light, *(row.get(n, "") for n in columns)] for c, light, row in rows)]


def words_of(seeds: Sequence[Score]) -> str:
    """Mean over seeds, and how far it may be trusted."""
    kind = KINDS[seeds[0].name]
    known = spread([score.value for score in seeds])
    over = known if len(seeds) > 1 else spread(seeds[0].views) if seeds[0].views else known
    number = kind.form.format(known.mean)
    if over.high is None:
        return number
    half = kind.form.split("}")[0] + "}"
    return f"{number} ± {half.format(over.high - over.mean)}"


def cost_cells(content: Content) -> Cells:
    """A row per capture and seed."""
    head = ["capture", "seed", "settings", *TIMED, "all in", "memory", "commit"]
    rows = []
    for capture, seeds in content["costs"].items():
        for seed, cost in seeds.items():
            seconds = cost["seconds"]
            stages = [f"{seconds[s]:.0f} s" if s in seconds else "" for s in TIMED]
            settings = settings_words(content["settings"][capture])
            whole = f"{sum(seconds[s] for s in TIMED if s in seconds):.0f} s"
            memory = " + ".join(f"{mb:.0f} MB" for mb in cost["peak_memory_mb"].values())
            rows.append([capture, seed, settings, *stages, whole, memory, cost["commit"]])
    return [head, *rows]


def settings_words(settings: Mapping[str, Any]) -> str:
    """Preset and what departs from it."""
    words = [settings["preset"]]
    words += [f"--hold-out {settings['hold_out']}"] if settings["hold_out"] else []
    return " ".join(words + [f"--{name} {value}" for name, value in settings["options"].items()])


def about(content: Content) -> list[str]:
    """Machines, versions, digest."""
    machines = {
        _machine_words(cost["machine"])
        for seeds in content["costs"].values()
        for cost in seeds.values()
    }
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return [
        *(f"Measured on {words}." for words in sorted(machines)),
        f"Table written at {content['commit']} with {versions}.",
        f"SHA-256 of the scores: {content['scores_sha256']}",
    ]


def _machine_words(machine: Mapping[str, str]) -> str:
    gpu = f", {machine['gpu']}" if "gpu" in machine else ""
    return f"{machine.get('processor', '?')}, {machine.get('cores', '?')} cores{gpu}"


def published_cells(match: Match) -> Cells:
    """Rows of other methods."""
    head = ["method", "venue", "scenes", "figures", "source", "note"]
    rows = [
        [row.method, row.venue, row.scene or "all", values_words(row), row.source, row.note]
        for row in match.rows
    ]
    return [head, *rows]


def comparison_lines(found: Comparison) -> list[str]:
    """What is better, what is worse, and what could not be compared."""
    lines = [
        f"{len(found.better)} scores are better beyond the noise, {len(found.worse)} worse, "
        f"{len(found.within)} within it."
    ]
    for title, side in (("Better", found.better), ("Worse", found.worse)):
        if side:
            lines += ["", f"{title} beyond the noise:", "", *md_table(difference_cells(side))]
    if found.notes:
        lines += ["", "Not compared, or with care:", "", *(f"- {note}" for note in found.notes)]
    return lines


def difference_cells(side: Sequence[Difference]) -> Cells:
    """A row per difference."""
    head = ["capture", "protocol", "score", "before", "after", "change", "noise", "noise from"]
    rows = []
    for d in side:
        form = KINDS[d.name].form
        signed = form.replace("{:", "{:+", 1)
        numbers = [form.format(d.before), form.format(d.after), signed.format(d.change)]
        what = f"{d.task}, {d.name}"
        rows.append([d.capture, d.protocol, what, *numbers, form.format(d.noise), d.noise_from])
    return [head, *rows]


def readme_table(content: Content) -> str:
    """readme_table.md: a line per capture, by the first protocol that scored it."""
    cells = [["capture", "unseen views", "normals", "relit", "all in"]]
    for capture, seeds in content["scores"].items():
        protocol = next(iter(next(iter(seeds.values()))["results"]))
        by_key = _by_key(seeds, protocol)
        novel = by_key.get((protocol, "novel", "psnr"))
        normal = by_key.get((protocol, "normal", "mae_deg"))
        lights = [row for row in light_cells({**content, "scores": {capture: seeds}}, protocol)]
        relit = []
        if len(lights) > 1 and "relit" in lights[0]:
            at = lights[0].index("relit")
            gain = lights[0].index("gained") if "gained" in lights[0] else None
            for row in lights[1:]:
                number = f"{float(row[at].split(' ')[0]):.1f}"
                more = "" if gain is None else f" ({float(row[gain].split(' ')[0]):+.1f})"
                relit.append(number + more)
        costs = content["costs"][capture].values()
        seconds = [sum(c["seconds"][s] for s in TIMED if s in c["seconds"]) for c in costs]
        cells.append(
            [
                capture,
                f"{_mean(novel):.1f} dB" if novel else "",
                f"{_mean(normal):.1f}°" if normal else "",
                f"{', '.join(relit)} dB" if relit else "",
                duration(sum(seconds) / len(seconds)) if seconds else "",
            ]
        )
    return "\n".join(md_table(cells)) + "\n"


def _by_key(
    seeds: Mapping[str, Mapping[str, Any]], protocol: str
) -> dict[tuple[str, str, str], list[Score]]:
    found: dict[tuple[str, str, str], list[Score]] = {}
    for one in seeds.values():
        results = {name: r for name, r in one["results"].items() if name == protocol}
        for score in flat_scores(results):
            found.setdefault(score.key, []).append(score)
    return found


def _mean(scores: Sequence[Score]) -> float:
    return sum(score.value for score in scores) / len(scores)
