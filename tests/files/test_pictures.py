import io

import cv2
import numpy as np
import pytest
from PIL import Image

from relight3d.files.pictures import (
    colorize,
    contact_sheet,
    encode_jpeg,
    encode_png,
    encode_webp,
    over,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_png_is_lossless(shape):
    picture = RNG.integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(encode_png(picture))) as back:
        np.testing.assert_array_equal(np.asarray(back), picture.squeeze())


def test_jpeg_and_webp_decode_to_about_the_same():
    picture = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    for data in (encode_jpeg(picture), encode_webp(picture)):
        back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert back is not None
        assert np.abs(back[..., ::-1].astype(int) - picture).max() < 12
    exact = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    with Image.open(io.BytesIO(encode_webp(exact, quality=100))) as back:
        np.testing.assert_array_equal(np.asarray(back.convert("RGB")), exact)


def test_over_mixes_straight_alpha():
    picture = np.array([[[255, 0, 0, 255], [255, 0, 0, 51], [9, 9, 9, 0]]], np.uint8)
    np.testing.assert_array_equal(over(picture), [[[255, 0, 0], [255, 204, 204], [255, 255, 255]]])


def test_colours_run_from_blue_to_red_and_gaps_are_white():
    values = np.array([[0.0, 1.0, 2.0, np.nan]])
    low, middle, high, missing = colorize(values, 0.0, 2.0)[0].astype(int)
    assert low[2] > low[0]
    assert middle[1] > 200
    assert high[0] > high[2]
    np.testing.assert_array_equal(missing, 255)
    assert (colorize(np.full((2, 2), np.nan)) == 255).all()
    assert colorize(np.zeros((2, 2))).shape == (2, 2, 3)


def test_sheet_holds_every_picture_where_it_belongs():
    red = np.full((20, 30, 3), (255, 0, 0), np.uint8)
    clear = np.zeros((10, 10, 4), np.uint8)
    grey = np.full((20, 40, 1), 90, np.uint8)
    sheet = contact_sheet([[red, grey], [clear, None]])
    assert sheet.shape == (20 * 2 + 6 * 3, 30 + 40 + 6 * 3, 3)
    np.testing.assert_array_equal(sheet[6:26, 6:36], red)
    assert (sheet[6:26, 42:82] == 90).all()
    assert (sheet[32:52, :] == 255).all()  # the transparent picture and the gap are white


def test_labels_make_room_and_leave_ink():
    red = np.full((40, 60, 3), (255, 0, 0), np.uint8)
    plain = contact_sheet([[red]])
    labelled = contact_sheet([[red]], ["albedo"], ["view 000"])
    assert labelled.shape[0] > plain.shape[0]
    assert labelled.shape[1] > plain.shape[1]
    assert (labelled[:20] < 128).any()
    assert (labelled[:, :40].max(-1) < 128).any()


def test_heights_are_made_equal():
    small, large = np.zeros((10, 20, 3), np.uint8), np.zeros((40, 20, 3), np.uint8)
    assert contact_sheet([[small, large]]).shape == (40 + 12, 80 + 20 + 18, 3)
    assert contact_sheet([[small, large]], height_px=20).shape == (20 + 12, 40 + 10 + 18, 3)
