"""Presets: YAML files that hold only what differs from the defaults of `TrainConfig`.

A preset is a name from `configs/` or the path of any such file. Whatever it does not say keeps its
default; the command line overrides both. A key that does not exist is an error, never ignored.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from relight3d.core.errors import ConfigurationError
from relight3d.pipeline.config import TrainConfig
from relight3d.pipeline.delta import apply_delta, nearest

MAX_BYTES = 1 << 20
_PACKAGE = Path(__file__).parent
FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
"""Where an installed package has its presets, and where a source tree does."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of a float: `1e-3` is one, as everybody expects. No key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Refuse a repeated key, of which PyYAML would silently take the last."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise ConfigurationError(
                    f"the key '{key.value}' is given twice, line {key.start_mark.line + 1}."
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN)$"),
    list("-+0123456789."),
)


def preset_names() -> list[str]:
    """The presets that come with the package."""
    return sorted({path.stem for folder in FOLDERS for path in folder.glob("*.yaml")})


def load_preset(name: str) -> TrainConfig:
    """Settings of a bundled preset, or of a YAML file.

    Raises:
        ConfigurationError: No such preset, not YAML, an unknown key, or a value that does not fit.
    """
    path = _find(name)
    return apply_delta(TrainConfig(), read_yaml(path), str(path))


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise ConfigurationError(f"There is no preset file {name}.")
    for folder in FOLDERS:
        if name in preset_names() and (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    names = preset_names()
    raise ConfigurationError(
        f"There is no preset '{name}'.{nearest(name, names)} Presets: {', '.join(names)}; "
        "or give the path of a .yaml file."
    )


def read_yaml(path: Path) -> Mapping[str, Any]:
    """'name: value' lines of a YAML file; an empty file has none.

    Raises:
        ConfigurationError: Too large, not YAML, a key twice, or not 'name: value' lines.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigurationError("it is too large to be a preset.")
        content = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise ConfigurationError(f"{path}: {error}") from error
        raise ConfigurationError(f"{path} cannot be read as YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigurationError(f"{path} must hold 'name: value' lines, as the bundled presets.")
    return content
