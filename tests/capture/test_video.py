import cv2
import numpy as np
import pytest

from relight3d.capture import import_capture
from relight3d.capture.video import FrameScores, choose_frames, score_frames, spread_sharp
from relight3d.core.errors import FileFormatError


def film(path, offsets, blurred=(), size=(96, 64)):
    """A window that slides over a texture; some frames are blurred."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 120, 3), dtype=np.uint8)
    texture = cv2.resize(noise, (960, 192), interpolation=cv2.INTER_CUBIC)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, size)
    assert writer.isOpened()
    for index, offset in enumerate(offsets):
        frame = texture[40 : 40 + size[1], offset : offset + size[0]]
        writer.write(cv2.GaussianBlur(frame, (9, 9), 3) if index in blurred else frame)
    writer.release()
    return path


def test_frames_are_spread_over_the_way_not_the_time():
    travel = np.concatenate([np.zeros(50), np.linspace(0, 10, 51)])
    chosen = spread_sharp(FrameScores(np.ones(101), travel), 5)
    assert len(chosen) == 5
    assert sum(index < 50 for index in chosen) == 1
    np.testing.assert_allclose(np.diff(travel[chosen]), 2, atol=0.25)


def test_the_sharpest_of_a_piece_is_taken():
    sharpness = np.array([1.0, 5, 1, 1, 1, 7, 2, 9, 1])
    assert spread_sharp(FrameScores(sharpness, np.arange(9.0)), 3) == [1, 5, 7]


def test_a_still_camera_gives_frames_over_time():
    assert spread_sharp(FrameScores(np.ones(9), np.zeros(9)), 3) == [0, 3, 6]
    assert spread_sharp(FrameScores(np.empty(0), np.empty(0)), 3) == []


def test_motion_and_blur_are_measured(tmp_path):
    scores = score_frames(film(tmp_path / "a.avi", [0, 0, 6, 12, 18], blurred=(3,)))
    assert scores.sharpness.argmin() == 3
    steps = np.diff(scores.travel) * 96
    assert steps[0] < 0.5 and abs(steps[1] - 6) < 1


def test_chosen_frames_are_written_sharp_and_in_order(tmp_path):
    blurred = set(range(0, 20, 2))
    video = film(tmp_path / "a.avi", [4 * index for index in range(20)], blurred)
    paths = choose_frames(video, tmp_path, 5, lambda text: None)
    numbers = [int(path.stem.removeprefix("frame_")) for path in paths]
    assert numbers == sorted(numbers) and len(numbers) == 5
    assert not set(numbers) & blurred
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize("keep", [0, 100])
def test_a_damaged_video_is_refused(tmp_path, keep):
    video = film(tmp_path / "a.mp4.avi", [0, 4, 8, 12])
    video.write_bytes(video.read_bytes()[:keep])
    with pytest.raises(FileFormatError, match=r"a\.mp4\.avi"):
        import_capture(video, tmp_path / "out", say=lambda text: None)
    assert not (tmp_path / "out").exists()


def test_a_video_of_two_frames_is_too_short(tmp_path):
    video = film(tmp_path / "a.avi", [0, 40])
    with pytest.raises(FileFormatError, match=r"2 usable frame\(s\)"):
        import_capture(video, tmp_path / "out", say=lambda text: None)
