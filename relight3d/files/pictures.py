"""Pictures for people: encode 8-bit images, colour depth maps, lay out labelled sheets."""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

_GAP_PX = 6
_LABEL_PX = 15
_INK = (40, 40, 40)
_PAPER = (255, 255, 255)


def encode_png(
    picture: UInt8[np.ndarray, "H W C"] | UInt8[np.ndarray, "H W"], level: int = 6
) -> bytes:
    """Lossless; grey, RGB or RGBA (straight alpha)."""
    return _encode(picture, "PNG", compress_level=level)


def encode_jpeg(picture: UInt8[np.ndarray, "H W 3"], quality: int = 90) -> bytes:
    """Small, for photographs in reports."""
    return _encode(picture, "JPEG", quality=quality)


def encode_webp(picture: UInt8[np.ndarray, "H W C"], quality: int = 85) -> bytes:
    """Smaller still; RGB or RGBA. `quality` 100 is lossless."""
    return _encode(picture, "WEBP", quality=quality, lossless=quality == 100)


def colorize(
    values: Float[np.ndarray, "H W"], low: float | None = None, high: float | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """False colours (Turbo: blue is low, red is high) for depth and errors.

    Args:
        values: Any unit; NaN and infinity become white.
        low: Value of the lowest colour; default: the 1st percentile of what is finite.
        high: Value of the highest colour; default: the 99th percentile.
    """
    finite = np.isfinite(values)
    if finite.any():
        low = float(np.percentile(values[finite], 1)) if low is None else low
        high = float(np.percentile(values[finite], 99)) if high is None else high
    low, high = low or 0.0, 1.0 if high is None else high
    scaled = (np.where(finite, values, low) - low) / max(high - low, 1e-12)
    grey = (np.clip(scaled, 0, 1) * 255 + 0.5).astype(np.uint8)
    colors = np.ascontiguousarray(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO)[..., ::-1])
    colors[~finite] = 255
    return colors


def over(
    picture: UInt8[np.ndarray, "H W 4"], background: tuple[int, int, int] = _PAPER
) -> UInt8[np.ndarray, "H W 3"]:
    """Straight alpha over a plain colour, mixed in sRGB as browsers do."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    mixed = picture[..., :3] * alpha + np.array(background, np.float32) * (1 - alpha)
    return (mixed + 0.5).astype(np.uint8)


def contact_sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ _"] | None]],
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    height_px: int | None = None,
) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Pictures in a grid, with a label above each column and before each row.

    Args:
        rows: Grey, RGB or RGBA pictures, the last shown on white; None leaves a gap.
        column_labels: As many as the longest row has pictures, or none.
        row_labels: As many as rows, or none.
        height_px: Every picture is scaled to this height; default: the largest there is.
    """
    pictures = [[None if cell is None else _rgb(cell) for cell in row] for row in rows]
    present = [cell for row in pictures for cell in row if cell is not None]
    assert present, "a sheet needs at least one picture"
    height = height_px or max(cell.height for cell in present)
    cells = [[None if cell is None else _scaled(cell, height) for cell in row] for row in pictures]
    columns = max(len(row) for row in cells)
    assert len(column_labels) in (0, columns), (len(column_labels), columns)
    assert len(row_labels) in (0, len(rows)), (len(row_labels), len(rows))
    widths = [
        max([c.width for row in cells for c in row[k : k + 1] if c is not None], default=height)
        for k in range(columns)
    ]
    font = ImageFont.load_default(_LABEL_PX)
    top = _GAP_PX + (_LABEL_PX + _GAP_PX if column_labels else 0)
    left = _GAP_PX + max([int(font.getlength(text)) + _GAP_PX for text in row_labels], default=0)
    size = (left + sum(widths) + _GAP_PX * columns, top + (height + _GAP_PX) * len(cells))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    starts = [left + sum(widths[:k]) + _GAP_PX * k for k in range(columns)]
    for start, width, text in zip(starts, widths, column_labels, strict=False):
        draw.text((start + width // 2, top - _GAP_PX), text, _INK, font, anchor="mb")
    for index, row in enumerate(cells):
        y = top + index * (height + _GAP_PX)
        if row_labels:
            draw.text((_GAP_PX, y + height // 2), row_labels[index], _INK, font, anchor="lm")
        for start, cell in zip(starts, row, strict=False):
            if cell is not None:
                sheet.paste(cell, (start, y))
    return np.asarray(sheet).copy()


def _encode(picture: np.ndarray, kind: str, **options: object) -> bytes:
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def _rgb(picture: UInt8[np.ndarray, "H W C"]) -> Image.Image:
    channels = picture.shape[2]
    if channels == 4:
        picture = over(picture)
    elif channels == 1:
        picture = np.repeat(picture, 3, -1)
    return Image.fromarray(np.ascontiguousarray(picture))


def _scaled(picture: Image.Image, height_px: int) -> Image.Image:
    if picture.height == height_px:
        return picture
    width = max(1, round(picture.width * height_px / picture.height))
    return picture.resize((width, height_px), Image.Resampling.LANCZOS)
