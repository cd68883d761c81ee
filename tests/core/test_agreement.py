"""Agreement of drawn normals, on a plane whose every pixel is known."""

import pytest
import torch
from scenes import orbit
from torch import Tensor

from relight3d.core.agreement import bending, normal_consistency, normal_spread
from relight3d.core.planes import pixel_rays
from relight3d.core.types import Cameras

UP = torch.tensor([0.0, 0.0, 1.0])


def plane_seen(cameras: Cameras, normal=UP, alpha: float = 1.0, told=None) -> dict[str, Tensor]:
    """The plane through the origin; `told`: the normal that is rendered instead of its own."""
    shape = (cameras.height_px, cameras.width_px, 1)
    distance = -(cameras.centers[0] @ normal)
    rays = pixel_rays(cameras)
    depth = distance / (rays @ normal)[..., None]
    shown = normal if told is None else told
    # With another normal, the distance that leaves the depth as it is.
    return {
        "normal": alpha * shown.expand(*shape[:2], 3),
        "distance": alpha * depth * (rays @ shown)[..., None],
        "alpha": torch.full(shape, alpha),
        "rays": rays,
    }


def spread_of(seen: dict[str, Tensor]) -> Tensor:
    return normal_spread(seen["normal"], seen["alpha"])


@pytest.fixture
def cameras():
    return orbit(1, 14, 12)


def test_spread_of_one_plane_is_zero(cameras):
    for alpha in (1.0, 0.4):
        assert float(spread_of(plane_seen(cameras, alpha=alpha))) < 1e-6


def test_spread_is_the_sum_over_pairs(cameras):
    """alpha^2 - |N|^2 = 2 w1 w2 (1 - cos) for two normals under weights w1, w2, then bent."""
    other = torch.tensor([0.6, 0.0, 0.8])
    seen = plane_seen(cameras)
    both = seen | {
        "normal": (0.3 * UP + 0.5 * other).expand(12, 14, 3),
        "alpha": torch.full((12, 14, 1), 0.8),
    }
    expected = float(bending(torch.tensor(2 * 0.3 * 0.5 * (1 - 0.8))))
    assert float(spread_of(both)) == pytest.approx(expected, rel=1e-5)


def test_a_picture_without_inner_pixels_has_no_surface():
    maps = [torch.rand(2, 9, channels) for channels in (3, 1, 1, 3)]
    assert float(normal_consistency(*maps)) == 0.0


def test_consistency_is_zero_where_normals_and_depth_agree(cameras):
    assert float(normal_consistency(**plane_seen(cameras))) < 1e-5


def test_two_small_bends_cost_as_much_as_one_crease():
    """Unlike 1 - cosine, of which one bend of 40 degrees has four times that of 20."""
    angles = torch.deg2rad(torch.tensor([0.0, 20.0, 40.0]))
    flat, half, whole = bending(1 - angles.cos()).tolist()
    assert flat == 0.0
    assert whole == pytest.approx(2 * half, rel=0.15)
    tiny = torch.deg2rad(torch.tensor([0.2, 0.4])).double()
    assert float(bending(1 - tiny.cos())[1] / bending(1 - tiny.cos())[0]) == pytest.approx(4, 0.02)


def test_consistency_is_the_bending_of_one_minus_the_cosine(cameras):
    told = torch.nn.functional.normalize(torch.tensor([0.3, 0.1, 1.0]), dim=0)
    found = normal_consistency(**plane_seen(cameras, told=told))
    assert float(found) == pytest.approx(float(bending(1 - told @ UP)), rel=1e-3)


def test_consistency_asks_for_coverage(cameras):
    told = torch.nn.functional.normalize(torch.tensor([0.3, 0.1, 1.0]), dim=0)
    faint = plane_seen(cameras, told=told, alpha=0.4)
    assert float(normal_consistency(**faint)) == 0.0
    solid = plane_seen(cameras, told=told)
    holed = solid["alpha"].clone()
    holed[6, 7] = 0.0
    part = normal_consistency(**(solid | {"alpha": holed}))
    whole = normal_consistency(**solid)
    assert float(part / whole) == pytest.approx(1 - 9 / (10 * 12), rel=1e-3)
