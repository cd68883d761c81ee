import dataclasses

import pytest

from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import require_sane_numbers, require_window


@dataclasses.dataclass(frozen=True)
class Some:
    count: int = 3
    rate: float = 0.1
    pair: tuple[float, float] = (1.0, 2.0)
    named: str = "x"


def test_usual_numbers_pass():
    require_sane_numbers(Some(), "some")
    require_sane_numbers(Some(count=0, rate=0.0), "some")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"rate": -1e-9}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"count": 10**12}, "count"),
        ({"pair": (1.0, float("inf"))}, "pair"),
    ],
)
def test_others_are_refused_by_name(settings, name):
    with pytest.raises(ConfigurationError, match=rf"^some\.{name} must be"):
        require_sane_numbers(Some(**settings), "some")


def test_windows_hold_neighbours_or_have_no_limit():
    for fine in (0, 256, 10**6):
        require_window(fine, "some")
    for small in (-1, 1, 255):
        with pytest.raises(ConfigurationError, match="some must be 0"):
            require_window(small, "some")
