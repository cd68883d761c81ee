import io
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
from PIL import Image

from relight3d.core.errors import OutputError
from relight3d.files import video


def moving_square(count: int, height: int = 48, width: int = 64, channels: int = 3):
    for index in range(count):
        frame = np.full((height, width, channels), 40, np.uint8)
        frame[..., -1] = 255 if channels == 4 else 40
        frame[10:30, 2 * index : 2 * index + 20, :3] = (230, 120, 20)
        yield frame


def test_video_comes_back_frame_by_frame_in_colour(tmp_path):
    video.write_video(tmp_path / "a.mp4", moving_square(12), fps=24.0)
    back = video.read_frames(tmp_path / "a.mp4")
    assert len(back) == 12
    for got, expected in zip(back, moving_square(12), strict=True):
        assert np.abs(got.astype(int) - expected).mean() < 6
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]
    reader = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(24)


def test_odd_sizes_are_padded_not_cropped(tmp_path):
    video.write_video(tmp_path / "a.mp4", moving_square(3, 47, 63), fps=10.0)
    assert video.read_frames(tmp_path / "a.mp4")[0].shape == (48, 64, 3)


def test_next_codec_is_tried_and_none_is_reported(monkeypatch):
    monkeypatch.setattr(video, "_CODECS", ("zzzz", "mp4v"))
    video.working_codec.cache_clear()
    assert video.working_codec() == "mp4v"
    monkeypatch.setattr(video, "_CODECS", ("zzzz",))
    video.working_codec.cache_clear()
    with pytest.raises(OutputError, match="No video encoder"):
        video.working_codec()
    monkeypatch.undo()
    video.working_codec.cache_clear()


def test_only_mp4(tmp_path):
    with pytest.raises(OutputError, match=r"as \.mp4"):
        video.write_video(tmp_path / "a.avi", moving_square(2), fps=10.0)


def test_failing_frames_leave_nothing(tmp_path):
    def frames():
        yield from moving_square(2)
        raise ValueError("renderer stopped")

    with pytest.raises(ValueError, match="renderer stopped"):
        video.write_video(tmp_path / "a.mp4", frames(), fps=10.0)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_noticed_although_the_encoder_is_silent(tmp_path):
    program = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from relight3d.core.errors import OutputError
        from relight3d.files import video
        video.working_codec()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        noise = np.random.default_rng(0).integers(0, 256, (30, 128, 128, 3), np.uint8)
        try:
            video.write_video(Path(sys.argv[1]), noise, fps=24.0)
        except OutputError as error:
            print(error)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "a.mp4")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Could not write" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [3, 4])
def test_animated_webp_has_every_frame_and_its_time(tmp_path, channels):
    video.write_animated_webp(tmp_path / "a.webp", moving_square(5, channels=channels), fps=20.0)
    with Image.open(io.BytesIO((tmp_path / "a.webp").read_bytes())) as picture:
        assert picture.n_frames == 5
        assert picture.info["loop"] == 0
        for index, expected in enumerate(moving_square(5, channels=channels)):
            picture.seek(index)
            got = np.asarray(picture.convert("RGBA" if channels == 4 else "RGB")).astype(int)
            assert np.abs(got - expected).mean() < 6
            assert picture.info["duration"] == 50
