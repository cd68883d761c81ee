import math

import cv2
import numpy as np
import pytest
import torch

from relight3d.core.errors import OutputError
from relight3d.files.exr import read_exr
from relight3d.view.frames import AOVS, encode_aov, frame_path, save_frames, straight

ALPHA = torch.tensor([[[1.0], [0.5], [0.0]]])


def image(*pixels: list[float]) -> torch.Tensor:
    return torch.tensor([pixels])


def read_png(path) -> np.ndarray:
    """As somebody else's reader sees it: RGBA, 8 bit."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.dtype == np.uint8
    return picture[..., [2, 1, 0, 3]]


def test_rgb_is_srgb_with_straight_alpha(tmp_path):
    """Linear 0.2158605 is sRGB 128; half covered, its premultiplied value is half of that."""
    grey = 0.2158605
    premultiplied = image([grey, 1.0, 7.0], [grey / 2, 0.5, 0.0], [0.0, 0.0, 0.0])
    save_frames(tmp_path, "rgb", 7, premultiplied, ALPHA)
    got = read_png(tmp_path / "rgb" / "007.png")
    np.testing.assert_array_equal(got, [[[128, 255, 255, 255], [128, 255, 0, 128], [0, 0, 0, 0]]])


def test_albedo_is_linear_times_255(tmp_path):
    save_frames(tmp_path, "albedo", 0, image([0.2, 0.5, 1.2], [0.1, 0.25, 0], [0, 0, 0]), ALPHA)
    got = read_png(tmp_path / "albedo" / "000.png")
    np.testing.assert_array_equal(got, [[[51, 128, 255, 255], [51, 128, 0, 128], [0, 0, 0, 0]]])


def test_normals_are_unit_and_in_the_source_frame(tmp_path):
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # capture = turned source: +x to +y
    premultiplied = image([0, 0.9, 0], [0, 0, -0.2], [0, 0, 0])  # shorter where normals disagree
    save_frames(tmp_path, "normal", 1, premultiplied, ALPHA, capture_from_source=turn)
    got = read_png(tmp_path / "normal" / "001.png")
    np.testing.assert_array_equal(got, [[[255, 128, 128, 255], [128, 128, 0, 128], [0, 0, 0, 0]]])


@pytest.mark.parametrize("aov", ["roughness", "metallic", "progress"])
def test_scalars_are_grey(tmp_path, aov):
    save_frames(tmp_path, aov, 123, image([0.4], [0.1], [0.0]), ALPHA)
    got = read_png(tmp_path / aov / "123.png")
    np.testing.assert_array_equal(got, [[[102] * 3 + [255], [51] * 3 + [128], [0] * 4]])


def test_depth_is_grey_over_its_range(tmp_path):
    save_frames(
        tmp_path, "depth", 0, image([2.0], [4.0], [0.0]), ALPHA,
        premultiplied=False, grey_range=(2.0, 4.0),
    )  # fmt: skip
    got = read_png(tmp_path / "depth" / "000.png")
    np.testing.assert_array_equal(got[..., 0], [[0, 255, 0]])


def test_alpha_is_opaque_grey(tmp_path):
    save_frames(tmp_path, "alpha", 0, ALPHA, ALPHA)
    got = read_png(tmp_path / "alpha" / "000.png")
    np.testing.assert_array_equal(got, [[[255] * 4, [128] * 3 + [255], [0] * 3 + [255]]])


def test_exr_keeps_what_eight_bits_lose(tmp_path):
    premultiplied = image([100.0, 0, 0], [0.25, 0.5, 1], [0, 0, 0])
    save_frames(tmp_path, "rgb", 2, premultiplied, ALPHA, exr=True)
    pixels, names = read_exr(tmp_path / "rgb" / "002.exr")
    assert names == ("R", "G", "B", "A")
    np.testing.assert_allclose(pixels[..., :3], premultiplied)
    np.testing.assert_array_equal(pixels[..., 3:], ALPHA)
    save_frames(
        tmp_path, "depth", 2, image([3.5], [2.5], [0.0]), ALPHA, premultiplied=False, exr=True
    )
    pixels, names = read_exr(tmp_path / "depth" / "002.exr")
    assert names == ("A", "Y")
    np.testing.assert_array_equal(pixels[..., 1], [[3.5, 2.5, 0.0]])


def test_normals_in_exr_are_vectors(tmp_path):
    save_frames(tmp_path, "normal", 0, image([0, 3.0, 4.0], [0, 0, -1], [0, 0, 0]), ALPHA, exr=True)
    pixels, names = read_exr(tmp_path / "normal" / "000.exr")
    assert names == ("A", "X", "Y", "Z")
    np.testing.assert_allclose(pixels[0, :2, 1:], [[0, 0.6, 0.8], [0, 0, -1]], rtol=1e-6)


def test_every_map_has_a_folder_and_no_nan_survives(tmp_path):
    for aov in AOVS:
        channels = 3 if aov in ("rgb", "albedo", "normal") else 1
        broken = torch.full((2, 2, channels), math.nan)
        picture = encode_aov(aov, broken, torch.ones(2, 2, 1))
        assert picture.shape == (2, 2, 4)
        assert frame_path(tmp_path, aov, 4) == tmp_path / aov / "004.png"


def test_straight_divides_and_leaves_nothing_where_nothing_is():
    got = straight(image([0.5], [0.25], [1e-9]), ALPHA)
    torch.testing.assert_close(got, image([0.5], [0.5], [0.0]))


def test_unwritable_folder_is_reported(tmp_path):
    (tmp_path / "rgb").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=r"000\.png"):
        save_frames(tmp_path, "rgb", 0, torch.zeros(1, 3, 3), ALPHA)
