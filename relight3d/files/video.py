"""Moving pictures: .mp4 by OpenCV's bundled encoders, animated .webp by Pillow."""

import functools
import io
import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from relight3d.core.errors import OutputError
from relight3d.files.atomic import atomic_file

_CODECS = ("vp09", "avc1", "mp4v")
"""In order of preference. VP9 is in every OpenCV wheel and plays in every current browser; H.264
depends on the machine's encoder; MPEG-4 part 2 is written everywhere but plays in few browsers."""


def write_video(path: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float) -> None:
    """Write an .mp4 and check, by decoding it, that every frame is in it.

    Args:
        path: Target, ending in .mp4.
        frames: sRGB frames of one size, at least one; taken one at a time. An odd width or height
            is padded by repeating the last column or row (video chroma comes in pairs).
        fps: Frames per second.

    Raises:
        OutputError: No encoder works on this machine, or the file cannot be written whole.
    """
    if path.suffix.lower() != ".mp4":
        raise OutputError(f"Could not write {path}: a video is written as .mp4.")
    with atomic_file(path) as temporary:
        written = _encode(temporary, frames, fps, working_codec())
        decoded = _count_frames(temporary)
        if decoded != written:
            raise OutputError(
                f"Could not write {path}: {decoded} of {written} frames arrived. The disk may be "
                "full: free some space or choose another place. Nothing half written was left."
            )


@functools.cache
def working_codec() -> str:
    """The first of the known codecs with which this machine writes a video it can read again.

    Raises:
        OutputError: There is none.
    """
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[16:48, 16:48] = (255, 64, 0)
    level = cv2.utils.logging.getLogLevel()
    # A missing encoder is an answer here, not an error.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        for codec in _CODECS:
            with tempfile.TemporaryDirectory() as folder:
                probe = Path(folder) / "probe.mp4"
                try:
                    _encode(probe, [frame] * 3, 24.0, codec)
                except OutputError:
                    continue
                back = read_frames(probe)
                if len(back) == 3 and np.abs(back[0].astype(int) - frame).mean() < 10:
                    return codec
    finally:
        cv2.utils.logging.setLogLevel(level)
    raise OutputError(
        f"No video encoder works on this machine (tried {', '.join(_CODECS)}). Frames are written "
        "as pictures all the same; reinstall opencv-python-headless to get videos."
    )


def read_frames(path: Path) -> list[UInt8[np.ndarray, "H W 3"]]:
    """Decode a short video of our own into RGB frames; empty if nothing can be decoded."""
    return [np.ascontiguousarray(frame[..., ::-1]) for frame in _decoded(path)]


def encode_animated_webp(
    frames: Iterable[UInt8[np.ndarray, "H W C"]], fps: float, quality: int = 80
) -> bytes:
    """An endlessly repeated animation of RGB or RGBA (straight alpha) frames."""
    pictures = [Image.fromarray(frame) for frame in frames]
    assert pictures, "an animation needs at least one frame"
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "WEBP", save_all=True, append_images=pictures[1:], loop=0,
        duration=round(1000 / fps), quality=quality, method=4,
    )  # fmt: skip
    return buffer.getvalue()


def write_animated_webp(
    path: Path, frames: Iterable[UInt8[np.ndarray, "H W C"]], fps: float, quality: int = 80
) -> None:
    """Write `encode_animated_webp` to a file.

    Raises:
        OutputError: The file cannot be written.
    """
    data = encode_animated_webp(frames, fps, quality)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def _encode(path: Path, frames: Iterable[np.ndarray], fps: float, codec: str) -> int:
    """Encode to `path` with one codec; returns the number of frames."""
    remaining = iter(frames)
    first = next(remaining, None)
    assert first is not None, "a video needs at least one frame"
    height, width = first.shape[0] + first.shape[0] % 2, first.shape[1] + first.shape[1] % 2
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (width, height))
    if not writer.isOpened():
        raise OutputError(f"Could not write {path}: the video encoder '{codec}' did not start.")
    count = 0
    try:
        for frame in itertools.chain([first], remaining):
            assert frame.shape == first.shape, (frame.shape, first.shape)
            padding = ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0))
            writer.write(np.ascontiguousarray(np.pad(frame, padding, "edge")[..., ::-1]))
            count += 1
    finally:
        writer.release()
    return count


def _count_frames(path: Path) -> int:
    return sum(1 for _ in _decoded(path))


def _decoded(path: Path) -> Iterable[np.ndarray]:
    """BGR frames, one at a time."""
    reader = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        while True:
            found, frame = reader.read()
            if not found:
                return
            yield frame
    finally:
        reader.release()
