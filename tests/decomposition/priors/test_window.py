"""Windows of times sink as asked."""

import pytest
import torch

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.priors.window import TimeWindow


def test_the_upper_bound_sinks() -> None:
    window = TimeWindow(0.1, 0.9, 0.5)
    assert [window.high(done) for done in (-1.0, 0.0, 0.25, 1.0, 2.0)] == [0.9, 0.9, 0.8, 0.5, 0.5]
    assert TimeWindow(0.1, 0.9, 0.5, square_root=True).high(0.25) == pytest.approx(0.7)


def test_views_of_a_step_share_a_time_within() -> None:
    window, generator = TimeWindow(0.2, 0.8, 0.4), torch.Generator().manual_seed(0)
    drawn = torch.stack([window.draw(1.0, 3, generator) for _ in range(500)])
    assert bool((drawn == drawn[:, :1]).all())
    assert 0.2 <= float(drawn.min()) < 0.205
    assert 0.395 < float(drawn.max()) <= 0.4


@pytest.mark.parametrize("bounds", [(0.5, 0.9, 0.4), (-0.1, 0.9, 0.4), (0.1, 1.1, 0.4),
                                    (0.1, 0.9, 1.2)])  # fmt: skip
def test_empty_windows_are_refused(bounds: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigurationError, match="window of times"):
        TimeWindow(*bounds)
