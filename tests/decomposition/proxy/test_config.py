import pytest

from relight3d.core.errors import ConfigurationError
from relight3d.decomposition.proxy.config import ProxyConfig


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"resolution": 100}, "multiple"),
        ({"resolution": 16, "coarse_resolution": 32}, "multiple"),
        ({"resolution": 2048}, "at most"),
        ({"coarse_resolution": 4}, "at least 8"),
        ({"truncation_voxels": 1.0}, "truncation_voxels"),
        ({"truncation_voxels": float("nan")}, "truncation_voxels"),
        ({"max_views": 0}, "max_views"),
        ({"view_px": 100}, "view_px"),
        ({"floater_share": 1.5}, "floater_share"),
        ({"smoothing": -1}, "smoothing"),
        ({"triangles": 10}, "triangles"),
    ],
)
def test_impossible_settings_are_refused(settings, named):
    with pytest.raises(ConfigurationError, match=named):
        ProxyConfig(**settings)
