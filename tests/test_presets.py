import dataclasses
from typing import Literal

import pytest

from relight3d import presets
from relight3d.core.errors import ConfigurationError
from relight3d.pipeline.config import TrainConfig
from relight3d.pipeline.delta import apply_delta, settings_of
from relight3d.presets import load_preset, preset_names


@dataclasses.dataclass(frozen=True)
class Inner:
    steps: int = 10
    rate: float = 0.1
    limits: tuple[float, float] = (0.0, 1.0)
    sizes: tuple[int, ...] = (1,)

    def __post_init__(self):
        if self.steps < 1:
            raise ConfigurationError(f"inner.steps must be positive, got {self.steps}.")


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    mode: Literal["slow", "fast"] = "slow"
    enabled: bool = True
    limit: int | None = None


def test_only_what_is_said_changes():
    delta = {"inner": {"steps": 3, "limits": [0, 2], "sizes": [1, 2, 3]}, "limit": 5}
    changed = apply_delta(Outer(), delta, "x.yaml")
    inner = Inner(steps=3, limits=(0.0, 2.0), sizes=(1, 2, 3))
    assert changed == Outer(inner=inner, limit=5)
    assert apply_delta(changed, {"limit": None}, "x.yaml").limit is None
    assert isinstance(changed.inner.limits[0], float)


@pytest.mark.parametrize(
    ("delta", "message"),
    [
        ({"iner": {}}, r"x\.yaml: there is no setting 'iner'\. Did you mean 'inner'\?"),
        ({"inner": {"step": 1}}, r"'inner\.step'\. Did you mean 'steps'\?"),
        ({"inner": {"zzz": 1}}, r"There are: steps, rate, limits, sizes"),
        ({"inner": 3}, "'inner' is a group"),
        ({"inner": {"steps": 1.5}}, r"'inner\.steps' takes a whole number, got 1\.5"),
        ({"inner": {"steps": True}}, "takes a whole number"),
        ({"inner": {"rate": "fast"}}, "takes a number, got 'fast'"),
        ({"inner": {"limits": [1]}}, "a list of 2"),
        ({"inner": {"sizes": ["a"]}}, "a list, each a whole number"),
        ({"inner": {"steps": 0}}, r"x\.yaml: inner\.steps must be positive"),
        ({"mode": "quick"}, "one of 'slow', 'fast'"),
        ({"enabled": 1}, "true or false"),
        ({"limit": "many"}, "a whole number or nothing"),
    ],
)
def test_wrong_settings_are_refused(delta, message):
    with pytest.raises(ConfigurationError, match=message):
        apply_delta(Outer(), delta, "x.yaml")


@pytest.mark.parametrize("name", ["cpu-fast", "object", "scene", "max"])
def test_bundled_presets_load(name):
    config = load_preset(name)
    assert isinstance(config, TrainConfig)
    assert apply_delta(TrainConfig(), settings_of(config), "json") == config


def test_bundled_presets_are_deltas():
    assert set(preset_names()) >= {"cpu-fast", "object", "scene", "max"}
    for name in preset_names():
        default = settings_of(TrainConfig())
        for group, values in presets.read_yaml(presets._find(name)).items():
            for key, value in values.items() if isinstance(values, dict) else ():
                assert default[group][key] != value, f"{name}: {group}.{key} is the default"


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigurationError, match="Did you mean 'cpu-fast'"):
        load_preset("cpu_fast")
    with pytest.raises(ConfigurationError, match="no preset file"):
        load_preset("missing.yaml")


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 4\nfield: {steps: 12, scales_rate: 1e-3}\n")
    config = load_preset(str(path))
    assert (config.seed, config.field.steps, config.field.scales_rate) == (4, 12, 1e-3)
    path.write_text("")
    assert load_preset(str(path)) == TrainConfig()


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2", "- 1\n- 2", "5", "1: 2", "\tfield: 1", "a: &a [*a]",
        "!!python/object/apply:os.system ['true']", "when: 2024-01-99", "\x00",
    ],
)  # fmt: skip
def test_files_that_are_no_presets(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"odd\.yaml"):
        load_preset(str(path))


def test_too_large_or_not_text(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_bytes(b"#" * (presets.MAX_BYTES + 1))
    with pytest.raises(ConfigurationError, match="too large"):
        load_preset(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_preset(str(path))


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_numbers_that_are_none_are_refused(tmp_path, value):
    path = tmp_path / "mine.yaml"
    path.write_text(f"decomposition:\n  light_rate: {value}\n")
    with pytest.raises(ConfigurationError, match=r"decomposition\.light_rate.*a number from 0"):
        load_preset(str(path))
    path.write_text(f"field:\n  growth: {value}\n")
    with pytest.raises(ConfigurationError, match=r"field\.growth.*a number from 0"):
        load_preset(str(path))


def test_a_key_given_twice_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\nfield:\n  steps: 5\n  steps: 6\n")
    with pytest.raises(ConfigurationError, match=r"'steps' is given twice.*line 4"):
        load_preset(str(path))
