"""An evaluation as text: one table a protocol, and what is not there."""

from collections.abc import Iterator, Mapping
from typing import Any

from relight3d.evaluation.protocol import Protocol

_SKIPPED = {"views", "spread", "lights", "physics"}


def protocol_lines(protocol: Protocol) -> list[str]:
    """What `--list` says of one."""
    rules = "; ".join(
        f"{rule.name}: {rule.channels}, {rule.views}, "
        f"{'sRGB' if rule.space == 'srgb' else 'linear'}, clipped at {rule.clip:g}"
        + (", exposed" if rule.exposed else "")
        + (", not below grey" if rule.grey_floor else "")
        for rule in protocol.psnr
    )
    ssim = protocol.ssim
    entries = [
        ("scores", ", ".join(protocol.scores)),
        ("background", f"{protocol.background}, prediction cut by its {_cut(protocol)}"),
        ("PSNR", rules),
        ("SSIM", f"window {ssim.window}, sigma {ssim.sigma:g}, border {ssim.border}"),
        ("LPIPS", f"{protocol.lpips}, input {protocol.lpips_input}"),
        ("scale", alignment_words(protocol)),
        (
            "albedo",
            f"compared in {_space(protocol.albedo_space)}, maps over the {protocol.maps_over}",
        ),
        ("normals", f"mean over the {protocol.normals_over}"),
        ("lights", ", ".join(protocol.lights) if protocol.lights else "all"),
        ("width", "as stored" if protocol.width_px is None else f"{protocol.width_px} px"),
        ("note", protocol.note),
        ("source", protocol.source),
    ]
    return [f"{protocol.name}: {protocol.title}"] + [f"    {k:<11}{v}" for k, v in entries if v]


def alignment_words(protocol: Protocol) -> str:
    """How a protocol scales, in words."""
    rule = protocol.alignment
    if rule is None:
        return "none"
    views = "all test views" if rule.views is None else f"{rule.views} test view(s)"
    if rule.each_view:
        views = "each view for itself"
    words = f"{rule.of}: {rule.rule} per channel, {_space(rule.space)} values, of {views}"
    if rule.single_channel_scenes:
        words += f"; one value for {', '.join(rule.single_channel_scenes)}"
    return words


def result_lines(result: Mapping[str, Any]) -> list[str]:
    """An evaluation for a terminal."""
    lines = []
    for name, scores in result["results"].items():
        protocol = scores["protocol"]
        lines += [f"{name}: {protocol['title']} ({len(result['views'])} test views)"]
        lines += [f"  {label:<28}{words}" for label, words in _rows(scores)]
        lines += [f"  {what:<28}absent: {why}" for what, why in scores["absent"].items()]
        lines.append("")
    return lines


def _rows(scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for task in ("novel", "albedo", "roughness", "metallic", "normal", "depth"):
        if task in scores:
            yield task, _words(scores[task])
            if "physics" in scores[task]:
                yield f"{task}, by physics", _words(scores[task]["physics"])
    relit = scores.get("relit", {})
    for light, found in relit.get("lights", {}).items():
        yield f"relit, {light}", _words(found)
    if len(relit.get("lights", {})) > 1:
        yield "relit, mean of lights", _words(relit)
    for light, found in scores.get("environment", {}).items():
        fit = found["per_channel"]
        yield (
            f"light, {light}",
            f"relative rmse {fit['relative_rmse']:.3f} after a turn of {fit['rotation_deg']:.0f}°",
        )


def _words(found: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {_value(name, value)}"
        for name, value in found.items()
        if name not in _SKIPPED and value is not None
    )


def _value(name: str, value: Any) -> str:
    if isinstance(value, str):
        value = float(value)  # "inf"
    if isinstance(value, list):
        return "/".join(f"{v:.3f}" for v in value)
    if "psnr" in name or name.endswith("_db"):
        sign = "+" if name.endswith("_db") else ""
        return f"{value:{sign}.2f} dB"
    return f"{value:.2f}°" if name.endswith("_deg") else f"{value:.4f}"


def _cut(protocol: Protocol) -> str:
    return "own coverage" if protocol.cut_by == "own alpha" else "truth's coverage"


def _space(space: str) -> str:
    return "sRGB" if space == "srgb" else "linear"
