"""Frames of a video worth keeping: sharp ones, evenly spread over the camera's motion."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from relight3d.core.errors import FileFormatError
from relight3d.files.images import write_png
from relight3d.files.reading import check_picture_size, file_size

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp", ".mts")
MAX_VIDEO_FRAMES = 100_000
_PROBE_PX = 480
_MAX_CORNERS = 300
_WHAT = "The video"


@dataclasses.dataclass(frozen=True)
class FrameScores:
    """What one pass over a video finds, per frame."""

    sharpness: Float[np.ndarray, " n"]
    """Variance of the Laplacian of the reduced grey frame."""
    travel: Float[np.ndarray, " n"]
    """How far the picture has moved since the first frame, in picture widths, summed up."""


def choose_frames(video: Path, folder: Path, count: int, say: Callable[[str], None]) -> list[Path]:
    """Write the chosen frames into `folder` as frame_NNNNN.png, numbered as in the video.

    Raises:
        FileFormatError: Not a video that can be decoded, or too short; names the file.
    """
    file_size(video, _WHAT)
    scores = score_frames(video)
    chosen = spread_sharp(scores, count)
    say(f"{video.name}: {len(chosen)} of {len(scores.sharpness)} frames chosen")
    wanted, paths = set(chosen), []
    for index, frame in enumerate(_frames(video)):
        if index in wanted:
            path = folder / f"frame_{index:05d}.png"
            write_png(path, frame[..., ::-1])
            paths.append(path)
    if len(paths) < 3:
        raise FileFormatError(
            f"{_WHAT} {video} gives {len(paths)} usable frame(s), at least 3 are needed. Film "
            "longer, moving all around the subject."
        )
    return paths


def score_frames(video: Path) -> FrameScores:
    """One pass over all frames, reduced to 480 pixels."""
    sharpness: list[float] = []
    travel: list[float] = []
    previous = None
    for frame in _frames(video):
        scale = min(1.0, _PROBE_PX / max(frame.shape[:2]))
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        sharpness.append(float(cv2.Laplacian(grey, cv2.CV_32F).var()))
        moved = 0.0 if previous is None else _displacement(previous, grey) / grey.shape[1]
        travel.append(moved + (travel[-1] if travel else 0.0))
        previous = grey
    return FrameScores(np.array(sharpness), np.array(travel))


def spread_sharp(scores: FrameScores, count: int) -> list[int]:
    """Cut the travelled way into `count` equal pieces and keep the sharpest frame of each.

    A camera that stands still gives few frames; one that does not move at all, frames evenly
    spread in time. Pieces without a frame (a jump) give none.
    """
    total = len(scores.sharpness)
    if total == 0:
        return []
    way = scores.travel[-1]
    position = scores.travel / way if way > 1e-3 else np.arange(total) / max(total - 1, 1)
    piece = np.minimum((position * count).astype(int), count - 1)
    chosen = []
    for number in np.unique(piece):
        members = np.flatnonzero(piece == number)
        chosen.append(int(members[np.argmax(scores.sharpness[members])]))
    return chosen


def _displacement(before: UInt8[np.ndarray, "H W"], after: UInt8[np.ndarray, "H W"]) -> float:
    """Median motion of tracked corners in pixels; a tenth of the width where none are found."""
    corners = cv2.goodFeaturesToTrack(before, _MAX_CORNERS, 0.01, 8)
    lost = 0.1 * before.shape[1]
    if corners is None or len(corners) < 8:
        return 0.0 if np.array_equal(before, after) else lost
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, corners.copy())
    kept = found.reshape(-1) == 1
    if kept.sum() < 8:
        return lost
    distance = np.linalg.norm((moved - corners).reshape(-1, 2)[kept], axis=1)
    return float(np.median(distance))


def _frames(video: Path):
    """Decoded BGR frames, upright as the container says."""
    reader = cv2.VideoCapture(str(video))
    try:
        if not reader.isOpened():
            raise FileFormatError(
                f"{_WHAT} {video} cannot be decoded: damaged, or a format this machine does not "
                "read. Convert it to .mp4 (H.264)."
            )
        width = int(reader.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT))
        check_picture_size(video, _WHAT, width, height)
        for _ in range(MAX_VIDEO_FRAMES):
            ok, frame = reader.read()
            if not ok:
                return
            yield frame
    finally:
        reader.release()
