import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from relight3d.core.errors import FileFormatError
from relight3d.files.exr import write_exr
from relight3d.files.images import (
    Image,
    image_info,
    image_size,
    is_stored_upright,
    read_image,
    read_mask,
    write_image,
    write_png,
)
from relight3d.files.radiance import encode


def rgb(height=6, width=8, channels=3, dtype: type[np.unsignedinteger] = np.uint8):
    return np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype
    )


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_lossless_formats_give_back_their_bytes(tmp_path, suffix):
    pixels = rgb()
    lossless = suffix == ".webp"
    PIL.Image.fromarray(pixels).save(tmp_path / f"a{suffix}", lossless=lossless)
    image = read_image(tmp_path / f"a{suffix}")
    assert image.color_space == "srgb" and image.bits == 8 and image.alpha is None
    np.testing.assert_array_equal(np.rint(image.pixels * 255), pixels)


def test_alpha_is_straight_and_the_header_tells_of_it(tmp_path):
    pixels = rgb(channels=4)
    write_png(tmp_path / "a.png", pixels)
    image = read_image(tmp_path / "a.png")
    assert image.alpha is not None
    np.testing.assert_array_equal(np.rint(image.alpha * 255), pixels[..., 3:])
    np.testing.assert_array_equal(np.rint(image.pixels * 255), pixels[..., :3])
    assert image_info(tmp_path / "a.png").has_alpha


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_keep_their_precision(tmp_path, suffix, channels):
    values = rgb(channels=channels, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), values)
    image = read_image(tmp_path / f"a{suffix}")
    assert image.bits == 16
    wanted = np.repeat(values, 3, -1) if channels == 1 else values[..., 2::-1]
    np.testing.assert_array_equal(np.rint(image.pixels * 65535), wanted)
    if channels == 4:
        assert image.alpha is not None
        np.testing.assert_array_equal(np.rint(image.alpha * 65535), values[..., 3:])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone_as_pillow_does(tmp_path, orientation):
    picture = PIL.Image.fromarray(rgb())
    exif = picture.getexif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    picture.save(path, exif=exif)
    wanted = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(path)))
    np.testing.assert_array_equal(np.rint(read_image(path).pixels * 255), wanted)
    assert image_size(path) == (wanted.shape[1], wanted.shape[0])
    assert is_stored_upright(path) == (orientation == 1)


def test_palette_and_grey_pictures_become_rgb(tmp_path):
    PIL.Image.fromarray(rgb()).quantize(4).save(tmp_path / "p.png")
    PIL.Image.fromarray(rgb()[..., 0]).save(tmp_path / "g.png")
    assert read_image(tmp_path / "p.png").pixels.shape == (6, 8, 3)
    grey = read_image(tmp_path / "g.png").pixels
    assert (grey[..., 0] == grey[..., 2]).all()


def test_exr_is_linear_and_unpremultiplied(tmp_path):
    straight, alpha = np.full((4, 5, 3), 6.0, np.float32), np.full((4, 5, 1), 0.5, np.float32)
    write_image(tmp_path / "a.exr", Image(straight, alpha, "linear", 32))
    image = read_image(tmp_path / "a.exr")
    assert image.color_space == "linear" and image_info(tmp_path / "a.exr").has_alpha
    np.testing.assert_allclose(image.pixels, straight)
    assert image.alpha is not None
    np.testing.assert_allclose(image.alpha, alpha)


def test_negative_ringing_in_an_exr_is_cut_to_zero_and_nan_is_refused(tmp_path):
    pixels = np.full((4, 5, 3), -0.1, np.float32)
    write_exr(tmp_path / "a.exr", pixels)
    assert read_image(tmp_path / "a.exr").pixels.min() == 0
    pixels[1, 2] = np.nan
    write_exr(tmp_path / "b.exr", pixels)
    with pytest.raises(FileFormatError, match=r"b\.exr has NaN"):
        read_image(tmp_path / "b.exr")


def test_radiance_pictures_are_read(tmp_path):
    pixels = np.full((4, 16, 3), 2.0, np.float32)
    (tmp_path / "a.hdr").write_bytes(encode(pixels))
    assert image_size(tmp_path / "a.hdr") == (16, 4)
    np.testing.assert_allclose(read_image(tmp_path / "a.hdr").pixels, pixels)
    (tmp_path / "b.hdr").write_bytes(encode(pixels)[:-5])
    with pytest.raises(FileFormatError, match=r"b\.hdr"):
        read_image(tmp_path / "b.hdr")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5])
def test_cut_off_files_are_refused_by_name(tmp_path, suffix, share):
    whole = tmp_path / f"whole{suffix}"
    PIL.Image.fromarray(rgb(64, 64)).save(whole)
    data = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(FileFormatError, match=f"cut{suffix}"):
        read_image(cut)


def test_cut_off_sixteen_bit_png_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), rgb(64, 64, 3, np.uint16))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_text_folders_and_absent_files_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("not a picture at all")
    for name in ("a.png", "absent.png", "."):
        with pytest.raises(FileFormatError):
            read_image(tmp_path / name)


def test_a_bomb_is_refused_before_memory_is_asked_for(tmp_path):
    write_png(tmp_path / "a.png", rgb())
    data = bytearray((tmp_path / "a.png").read_bytes())
    import zlib

    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(FileFormatError, match="pixels"):
        image_size(tmp_path / "a.png")


def test_sixteen_bit_pictures_survive_writing(tmp_path):
    pixels = rgb(channels=3, dtype=np.uint16) / np.float32(65535)
    alpha = np.full((6, 8, 1), 0.5, np.float32)
    write_image(tmp_path / "a.png", Image(pixels.astype(np.float32), alpha, "srgb", 16))
    image = read_image(tmp_path / "a.png")
    assert image.bits == 16 and image.alpha is not None
    np.testing.assert_allclose(image.pixels, pixels, atol=1e-6)


def test_masks_are_grey_or_alpha_and_must_fit(tmp_path):
    write_png(tmp_path / "grey.png", rgb(channels=1))
    write_png(tmp_path / "alpha.png", rgb(channels=4))
    np.testing.assert_allclose(read_mask(tmp_path / "grey.png", (8, 6)) * 255, rgb(channels=1))
    np.testing.assert_allclose(
        read_mask(tmp_path / "alpha.png") * 255, rgb(channels=4)[..., 3:], atol=1e-4
    )
    with pytest.raises(FileFormatError, match=r"grey\.png is 8 x 6 pixels, its photo is 9 x 6"):
        read_mask(tmp_path / "grey.png", (9, 6))


def test_a_mask_out_of_depth(tmp_path):
    depth = np.array([[0, 20000, 63000, 65535]], np.uint16)
    PIL.Image.fromarray(depth).save(tmp_path / "depth.png")
    mask = read_mask(tmp_path / "depth.png", (4, 1), below=14.5 / 15)
    np.testing.assert_array_equal(mask[..., 0], [[1, 1, 1, 0]])
