import subprocess
import sys
import textwrap

import numpy as np
import OpenEXR
import pytest

from relight3d.core.errors import FileFormatError
from relight3d.files.exr import read_exr, read_exr_rgb, write_exr

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(6, 10, 4)).astype(np.float32) * 1000


def write_with(path, channels, **header):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | header
    OpenEXR.File(header, channels).write(str(path))


def test_round_trip_is_exact_and_keeps_the_order(tmp_path):
    write_exr(tmp_path / "a.exr", IMAGE)
    pixels, names = read_exr(tmp_path / "a.exr")
    assert names == ("R", "G", "B", "A")
    np.testing.assert_array_equal(pixels, IMAGE)


def test_named_channels_and_values_outside_pictures(tmp_path):
    image = IMAGE[..., :2].copy()
    image[0, 0] = np.inf, np.nan
    write_exr(tmp_path / "a.exr", image, ("depth", "Z"))
    pixels, names = read_exr(tmp_path / "a.exr")
    assert names == ("Z", "depth")
    np.testing.assert_array_equal(pixels, image[..., ::-1])


def test_the_library_itself_reads_what_we_write(tmp_path):
    write_exr(tmp_path / "a.exr", IMAGE)
    channels = OpenEXR.File(str(tmp_path / "a.exr"), separate_channels=True).channels()
    np.testing.assert_array_equal(channels["B"].pixels, IMAGE[..., 2])


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "DWAA"])
def test_half_floats_in_every_compression(tmp_path, compression):
    smooth = np.linspace(0.1, 2, 64 * 64).reshape(64, 64).astype(np.float16)
    mode = getattr(OpenEXR, f"{compression}_COMPRESSION")
    write_with(tmp_path / "a.exr", {n: smooth for n in "RGB"}, compression=mode)
    color, alpha = read_exr_rgb(tmp_path / "a.exr")
    assert color.dtype == np.float32
    assert alpha is None
    lossy = compression in ("B44", "DWAA")
    np.testing.assert_allclose(color[..., 1], smooth.astype(np.float32), rtol=0.02 if lossy else 0)


def test_grey_becomes_rgb_and_alpha_is_kept(tmp_path):
    write_exr(tmp_path / "a.exr", IMAGE[..., :2])
    color, alpha = read_exr_rgb(tmp_path / "a.exr")
    np.testing.assert_array_equal(color, np.repeat(IMAGE[..., :1], 3, -1))
    np.testing.assert_array_equal(alpha, IMAGE[..., 1:2])


def test_data_window_is_placed_in_the_display_window(tmp_path):
    def box(x0, y0, x1, y1):
        return (np.array([x0, y0], np.int32), np.array([x1, y1], np.int32))

    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    windows = {"dataWindow": box(-1, 2, 2, 4), "displayWindow": box(0, 0, 5, 3)}
    write_with(tmp_path / "a.exr", {"Y": plane}, **windows)
    pixels, _ = read_exr(tmp_path / "a.exr")
    expected = np.zeros((4, 6, 1), np.float32)
    expected[2:4, 0:3, 0] = plane[0:2, 1:4]
    np.testing.assert_array_equal(pixels, expected)


def test_no_colour_is_refused(tmp_path):
    write_exr(tmp_path / "a.exr", IMAGE[..., :1], ("depth",))
    with pytest.raises(FileFormatError, match="channels depth"):
        read_exr_rgb(tmp_path / "a.exr")


@pytest.mark.parametrize("keep", [0, 3, 20, 200, 0.5, 0.9, -3])
def test_cut_off_files_are_refused(tmp_path, keep):
    path = tmp_path / "a.exr"
    write_exr(path, RNG.random((40, 80, 3), np.float32))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(FileFormatError, match=r"a\.exr"):
        read_exr(path)


def test_other_formats_and_missing_files_are_refused(tmp_path):
    (tmp_path / "a.exr").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(FileFormatError, match="does not begin like one"):
        read_exr(tmp_path / "a.exr")
    with pytest.raises(FileFormatError, match="cannot be opened"):
        read_exr(tmp_path / "none.exr")
    with pytest.raises(FileFormatError, match="not a file"):
        read_exr(tmp_path)


def test_absurd_declared_size_is_refused_before_reading(tmp_path):
    path = tmp_path / "a.exr"
    write_exr(path, IMAGE[..., :3])
    data = path.read_bytes()
    start = data.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    huge = np.array([0, 0, 99_999, 99_999], "<i4").tobytes()
    for name in (b"dataWindow", b"displayWindow"):
        start = data.index(name + b"\0box2i\0") + len(name) + 7 + 4
        data = data[:start] + huge + data[start + 16 :]
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"100000 x 100000|damaged"):
        read_exr(path)


def test_damaged_bytes_never_do_worse_than_a_message(tmp_path):
    path = tmp_path / "a.exr"
    write_exr(path, RNG.random((16, 32, 3), np.float32))
    data = bytearray(path.read_bytes())
    for position in range(8, len(data), 41):
        broken = bytearray(data)
        broken[position] ^= 0xA5
        path.write_bytes(broken)
        try:
            read_exr(path)
        except FileFormatError as error:
            assert "a.exr" in str(error)


def test_full_disk_is_reported_and_leaves_nothing(tmp_path):
    program = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from relight3d.core.errors import OutputError
        from relight3d.files.exr import write_exr
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            write_exr(Path(sys.argv[1]), np.random.rand(64, 64, 3).astype(np.float32))
        except OutputError as error:
            print(error)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "a.exr")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Could not write" in result.stdout
    assert list(tmp_path.iterdir()) == []
