import cv2
import numpy as np
import pytest
import torch

from relight3d.core.errors import FileFormatError, OutputError
from relight3d.core.types import EnvironmentLight
from relight3d.files import radiance
from relight3d.files.environment import read_environment, write_environment
from relight3d.files.exr import write_exr

RNG = np.random.default_rng(1)


def noisy_map(height: int = 16) -> np.ndarray:
    """Six decades of brightness, flat areas (runs) and black."""
    image = 10 ** RNG.uniform(-3, 3, (height, 2 * height, 3)).astype(np.float32)
    image[2:4] = 0.25
    image[5, 3:9] = 0
    return image


def light(image: np.ndarray) -> EnvironmentLight:
    return EnvironmentLight(radiance_linear=torch.from_numpy(image))


def hdr(width: int, height: int, body: bytes, head: bytes = b"FORMAT=32-bit_rle_rgbe\n") -> bytes:
    return b"#?RADIANCE\n" + head + b"\n" + f"-Y {height} +X {width}\n".encode() + body


def test_known_bytes_decode_to_known_values():
    rgbe = np.array([[[128, 64, 255, 129], [1, 2, 3, 0], [200, 0, 0, 140]]], np.uint8)
    expected = [[[1.0, 0.5, 255 / 128], [0, 0, 0], [200 * 16.0, 0, 0]]]
    np.testing.assert_array_equal(radiance.float_from_rgbe(rgbe), np.array(expected, np.float32))


def test_known_values_encode_to_known_bytes():
    image = np.array([[[1.0, 0.5, 0.0], [0, 0, 0], [0.9999, 0.25, 0.0]]], np.float32)
    expected = [[[128, 64, 0, 129], [0, 0, 0, 0], [128, 32, 0, 129]]]
    np.testing.assert_array_equal(radiance.rgbe_from_float(image), expected)


def test_what_is_beyond_the_format_saturates_or_vanishes():
    image = np.array([[[3e38, 0, 0], [1e-45, 0, 0]]], np.float32)
    np.testing.assert_array_equal(
        radiance.rgbe_from_float(image), [[[255, 0, 0, 255], [0, 0, 0, 0]]]
    )


@pytest.mark.parametrize("height", [1, 3, 4, 16, 100])
def test_hdr_round_trip_is_within_the_mantissa(tmp_path, height):
    image = noisy_map(height) if height > 5 else RNG.random((height, 2 * height, 3), np.float32)
    write_environment(tmp_path / "a.hdr", light(image))
    back = read_environment(tmp_path / "a.hdr").radiance_linear.numpy()
    assert (np.abs(back - image) <= image.max(-1, keepdims=True) / 256).all()
    write_environment(tmp_path / "b.hdr", light(back))  # a second time nothing is lost
    np.testing.assert_array_equal(
        read_environment(tmp_path / "b.hdr").radiance_linear.numpy(), back
    )


def opencv_reads(path):
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image[..., ::-1]


@pytest.mark.parametrize("height", [2, 16])
def test_opencv_reads_what_we_write(tmp_path, height):
    image = noisy_map(16)[:height, : 2 * height]
    write_environment(tmp_path / "a.hdr", light(image))
    theirs = opencv_reads(tmp_path / "a.hdr")
    ours = read_environment(tmp_path / "a.hdr").radiance_linear.numpy()
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_HDR_COMPRESSION, 0]])
def test_we_read_what_opencv_writes(tmp_path, flags):
    cv2.imwrite(str(tmp_path / "a.hdr"), noisy_map(), flags)
    theirs = opencv_reads(tmp_path / "a.hdr")
    ours = read_environment(tmp_path / "a.hdr").radiance_linear.numpy()
    np.testing.assert_array_equal(ours, theirs)


def test_exposure_lines_are_undone(tmp_path):
    head = b"FORMAT=32-bit_rle_rgbe\nEXPOSURE=2.0\nEXPOSURE= 4\n"
    body = np.full((2, 4, 4), (128, 64, 0, 129), np.uint8).tobytes()
    (tmp_path / "a.hdr").write_bytes(hdr(4, 2, body, head))
    got = read_environment(tmp_path / "a.hdr").radiance_linear[0, 0]
    np.testing.assert_allclose(got, [1 / 8, 0.5 / 8, 0])


def test_exr_round_trip_is_exact_whatever_the_suffix(tmp_path):
    image = noisy_map()
    write_environment(tmp_path / "a.exr", light(image))
    (tmp_path / "a.exr").rename(tmp_path / "a.hdr")
    np.testing.assert_array_equal(
        read_environment(tmp_path / "a.hdr").radiance_linear.numpy(), image
    )


def test_light_brighter_than_any_is_refused(tmp_path):
    write_exr(tmp_path / "a.exr", np.full((8, 16, 3), 1e13, np.float32))
    with pytest.raises(FileFormatError, match=r"over 1e\+12 radiance in 128 of 128 pixels"):
        read_environment(tmp_path / "a.exr")


def test_eight_bit_pictures_are_refused(tmp_path):
    for suffix, name in ((".png", "a PNG"), (".jpg", "a JPEG"), (".webp", "WebP"), (".bmp", "BMP")):
        path = tmp_path / f"sky{suffix}"
        cv2.imwrite(str(path), np.zeros((8, 16, 3), np.uint8))
        with pytest.raises(FileFormatError, match=name):
            read_environment(path)
    (tmp_path / "sky.hdr").write_text("no light here")
    with pytest.raises(FileFormatError, match="neither Radiance"):
        read_environment(tmp_path / "sky.hdr")


def test_wrong_shape_is_refused(tmp_path):
    write_exr(tmp_path / "a.exr", np.ones((8, 8, 3), np.float32))
    cv2.imwrite(str(tmp_path / "a.hdr"), np.ones((8, 17, 3), np.float32))
    for name in ("a.exr", "a.hdr"):
        with pytest.raises(FileFormatError, match="twice as wide"):
            read_environment(tmp_path / name)


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (np.inf, "infinite"), (-0.1, "negative")]
)
def test_impossible_light_is_refused_with_its_place(tmp_path, value, words):
    image = noisy_map()
    image[3, 7, 1] = value
    write_exr(tmp_path / "a.exr", image)
    with pytest.raises(FileFormatError, match=f"{words}.*row 3, column 7"):
        read_environment(tmp_path / "a.exr")
    with pytest.raises(OutputError, match="diverged"):
        write_environment(tmp_path / "out.hdr", light(image))
    assert not (tmp_path / "out.hdr").exists()


@pytest.mark.parametrize("keep", [15, 40, 0.3, 0.99, -1])
@pytest.mark.parametrize("height", [2, 16])
def test_cut_off_files_are_refused(tmp_path, keep, height):
    path = tmp_path / "a.hdr"
    write_environment(path, light(noisy_map(16)[:height, : 2 * height]))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(FileFormatError, match=r"header|resolution|cut off"):
        read_environment(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (hdr(2_000_000, 1_000_000, b""), "2000000 x 1000000"),
        (hdr(16384, 8192, bytes(100)), "cut off"),
        (hdr(0, 0, b""), "0 x 0"),
        (b"#?RADIANCE\n\n-Y 8 +X", "resolution"),
        (b"#?RADIANCE\n\n+Y 8 +X 16\n", "resolution"),
        (b"#?RADIANCE\n\n-Y -8 +X 16\n", "whole numbers"),
        (hdr(16, 8, b"", b"FORMAT=32-bit_rle_xyze\n"), "format"),
        (hdr(16, 8, b"", b"EXPOSURE=0\n"), "exposure"),
        (hdr(16, 8, b"", b"EXPOSURE=nan\n"), "exposure"),
        (hdr(16, 8, (b"\x02\x02\x00\x10" + b"\x00" * 60) * 8), "impossible length"),
        (hdr(16, 8, (b"\x02\x02\x00\x10" + b"\x91\x01" * 30) * 8), "impossible length"),
        (b"#?RADIANCE\n" + bytes(100_000), "header"),
    ],
)
def test_malformed_headers_and_runs_are_refused(tmp_path, data, words):
    (tmp_path / "sky.hdr").write_bytes(data)
    with pytest.raises(FileFormatError, match=words) as caught:
        read_environment(tmp_path / "sky.hdr")
    assert "sky.hdr" in str(caught.value)


def test_random_damage_never_does_worse_than_a_message(tmp_path):
    path = tmp_path / "a.hdr"
    write_environment(path, light(noisy_map()))
    data = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(200):
        broken = data.copy()
        broken[RNG.integers(0, data.size, 3)] = RNG.integers(0, 256, 3)
        path.write_bytes(broken.tobytes())
        try:
            assert read_environment(path).radiance_linear.isfinite().all()
        except FileFormatError as error:
            assert "a.hdr" in str(error)


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.hdr or \.exr"):
        write_environment(tmp_path / "light.png", light(noisy_map()))


def test_missing_file(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be opened"):
        read_environment(tmp_path / "none.hdr")
