"""Suites: YAML files that name captures to train and score together.

A suite is a name from `configs/suites/` or the path of any such file; `configs/README.md` describes
the keys. Settings come in layers as everywhere: defaults, preset, the capture's options.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from relight3d.capture.options import ImportOptions
from relight3d.core.errors import ConfigurationError
from relight3d.pipeline.bench_suite import Suite, SuiteCapture
from relight3d.pipeline.delta import apply_delta, nearest
from relight3d.presets import FOLDERS, load_preset, read_yaml


@dataclasses.dataclass(frozen=True)
class _Suite:
    preset: str = "object"
    protocols: tuple[str, ...] = ("relight3d",)
    seeds: tuple[int, ...] = (0,)
    root: str = ""


@dataclasses.dataclass(frozen=True)
class _Capture:
    path: str
    preset: str
    protocols: tuple[str, ...]
    hold_out: int = 0
    benchmark: str | None = None


_MAPPINGS = {"options", "import"}


def suite_names() -> list[str]:
    """The suites that come with the package."""
    return sorted({path.stem for folder in FOLDERS for path in folder.glob("suites/*.yaml")})


def load_suite(
    name: str,
    root: Path | None,
    preset: str | None = None,
    protocols: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> Suite:
    """A bundled suite, or a YAML file.

    Args:
        name: Name or path.
        root: Where captures lie. None: the suite's own 'root', relative to its file.
        preset: Instead of all presets in the file.
        protocols: Instead of all protocols in the file.
        seeds: Instead of those in the file.

    Raises:
        ConfigurationError: No such suite, an unknown key, a value that does not fit, or no root.
    """
    path = _find(name)
    content = dict(read_yaml(path))
    captures = content.pop("captures", None)
    if not isinstance(captures, dict) or not captures:
        raise ConfigurationError(f"{path}: 'captures' must hold 'name: settings' lines.")
    own = apply_delta(_Suite(), content, str(path))
    if root is None:
        if not own.root:
            raise ConfigurationError(
                f"Suite {path.stem} does not say where its captures lie: give --captures FOLDER."
            )
        root = path.parent / own.root
    found = tuple(
        _capture(str(key), entry or {}, own, root, preset, tuple(protocols), str(path))
        for key, entry in captures.items()
    )
    return Suite(path.stem, found, tuple(seeds) or own.seeds)


def _capture(
    name: str,
    entry: Any,
    suite: _Suite,
    root: Path,
    preset: str | None,
    protocols: tuple[str, ...],
    where: str,
) -> SuiteCapture:
    where = f"{where}: captures.{name}"
    if name != PurePosixPath(name).name or name.startswith(".") or "\\" in name:
        raise ConfigurationError(f"{where}: a name becomes a folder; it cannot hold slashes.")
    if not isinstance(entry, Mapping):
        raise ConfigurationError(f"{where} must hold 'name: value' lines, got {entry!r}.")
    groups = {key: entry[key] for key in _MAPPINGS if key in entry}
    for key, group in groups.items():
        if not isinstance(group, Mapping):
            raise ConfigurationError(f"{where}.{key} must hold 'name: value' lines; {{}} for none.")
    rest = {key: value for key, value in entry.items() if key not in _MAPPINGS}
    own = apply_delta(_Capture(name, suite.preset, suite.protocols), rest, where)
    if own.hold_out < 0 or own.hold_out == 1:
        raise ConfigurationError(f"{where}.hold_out must be 0 or at least 2, got {own.hold_out}.")
    if not own.protocols:
        raise ConfigurationError(f"{where}.protocols: name at least one.")
    chosen = preset or own.preset
    options = groups.get("options", {})
    return SuiteCapture(
        name=name,
        path=root / own.path,
        config=apply_delta(load_preset(chosen), options, f"{where}.options"),
        protocols=protocols or own.protocols,
        preset=chosen,
        options=_dotted(options),
        hold_out=own.hold_out,
        import_options=(
            apply_delta(ImportOptions(), groups["import"], f"{where}.import")
            if "import" in groups
            else None
        ),
        benchmark=own.benchmark,
    )


def _dotted(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            found |= _dotted(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise ConfigurationError(f"There is no suite file {name}.")
    for folder in FOLDERS:
        if name in suite_names() and (folder / "suites" / f"{name}.yaml").is_file():
            return folder / "suites" / f"{name}.yaml"
    names = suite_names()
    raise ConfigurationError(
        f"There is no suite '{name}'.{nearest(name, names)} Suites: {', '.join(names)}; "
        "or give the path of a .yaml file."
    )
