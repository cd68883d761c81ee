"""The Radiance .hdr (RGBE) format: 8-bit mantissas with a shared exponent.

Source: G. Ward, "Real Pixels", Graphics Gems II; run-length layout as in Radiance's color.c.
A pixel (r, g, b, e) with e > 0 is (r, g, b) * 2^(e - 136); e = 0 is black. Values hold to within
0.2 % of the largest channel. Scan lines are flat or in the "new" run-length encoding.
"""

import numpy as np
from jaxtyping import Float, UInt8

from relight3d.core.errors import FileFormatError

MAGIC = b"#?"
_MAX_HEADER_BYTES = 1 << 16
_EXPONENT_BIAS = 136
_LARGEST = 255.0 * 2.0 ** (255 - _EXPONENT_BIAS)


def declared_size(data: bytes) -> tuple[int, int, int, float]:
    """Read the header.

    Returns:
        Width and height in pixels, where the pixels begin, and the product of the EXPOSURE lines,
        by which stored values were multiplied.

    Raises:
        FileFormatError: Not a top-down RGBE picture. The message begins with a verb, for the
            caller to put the file's name before it.
    """
    end = data.find(b"\n\n", 0, _MAX_HEADER_BYTES)
    if not data.startswith(MAGIC) or end < 0:
        raise FileFormatError("does not have a Radiance header")
    exposure = 1.0
    for line in data[:end].split(b"\n")[1:]:
        key, _, value = line.partition(b"=")
        if key.strip() == b"FORMAT" and value.strip() != b"32-bit_rle_rgbe":
            raise FileFormatError(f"is in the format {value!r}; only 32-bit_rle_rgbe is read")
        if key.strip() == b"EXPOSURE":
            exposure *= _positive_number(value)
    line_end = data.find(b"\n", end + 2, end + 2 + 256)
    words = data[end + 2 : max(line_end, 0)].split()
    if len(words) != 4 or words[0] != b"-Y" or words[2] != b"+X":
        raise FileFormatError("has no resolution line '-Y height +X width'")
    if not (words[1].isdigit() and words[3].isdigit()):
        raise FileFormatError("has no whole numbers in its resolution line")
    return int(words[3]), int(words[1]), line_end + 1, exposure


def decode(data: bytes) -> Float[np.ndarray, "H W 3"]:
    """Decode a picture whose declared size the caller found acceptable.

    Raises:
        FileFormatError: As `declared_size`, or the pixels are cut off or malformed.
    """
    width, height, position, exposure = declared_size(data)
    # The densest encoding spends two bytes on 127 equal bytes: a shorter file cannot be whole.
    least = 4 * width if not 8 <= width <= 0x7FFF else 4 + 8 * (-(-width // 127))
    if len(data) - position < height * least:
        raise FileFormatError(
            f"is cut off: {width} x {height} pixels need at least {height * least:,} bytes, "
            f"{len(data) - position:,} follow the header"
        )
    raw = np.frombuffer(data, np.uint8)
    rgbe = np.empty((height, width, 4), np.uint8)
    for row in range(height):
        if _is_run_length_encoded(data, position, width):
            rgbe[row], position = _decode_scanline(data, raw, position + 4, width, row)
        else:
            flat = raw[position : position + 4 * width]
            if flat.size < 4 * width:
                raise FileFormatError(
                    f"is cut off in scan line {row} of {height}, or uses the old run-length "
                    "encoding of the 1980s"
                )
            rgbe[row] = flat.reshape(width, 4)
            position += 4 * width
    return float_from_rgbe(rgbe) / np.float32(exposure)


def encode(pixels: Float[np.ndarray, "H W 3"]) -> bytes:
    """Encode finite values >= 0; what is too large for the format is clipped to its maximum."""
    height, width, _ = pixels.shape
    rgbe = rgbe_from_float(pixels)
    header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n" + f"-Y {height} +X {width}\n".encode()
    if not 8 <= width <= 0x7FFF:
        return header + rgbe.tobytes()
    start = bytes((2, 2, width >> 8, width & 255))
    planes = np.ascontiguousarray(rgbe.transpose(0, 2, 1))
    return header + b"".join(start + b"".join(map(_encode_bytes, line)) for line in planes)


def float_from_rgbe(rgbe: UInt8[np.ndarray, "H W 4"]) -> Float[np.ndarray, "H W 3"]:
    """Shared-exponent bytes to float32."""
    exponent = rgbe[..., 3:].astype(np.int32)
    scale = np.where(exponent > 0, np.ldexp(np.float32(1), exponent - _EXPONENT_BIAS), 0)
    return rgbe[..., :3].astype(np.float32) * scale.astype(np.float32)


def rgbe_from_float(pixels: Float[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 4"]:
    """Values >= 0 to shared-exponent bytes, rounded to nearest."""
    values = np.clip(pixels, 0, _LARGEST).astype(np.float64)
    largest = values.max(-1)
    exponent = np.frexp(largest)[1]  # largest = m * 2^exponent with m in [0.5, 1)
    exponent += np.rint(np.ldexp(largest, 8 - exponent)) >= 256  # rounding up needs one more bit
    mantissa = np.rint(np.ldexp(values, (8 - exponent)[..., None]))
    stored = exponent + 128
    stored = np.where((largest > 0) & (stored > 0), stored, 0)
    return np.concatenate(
        [np.where(stored[..., None] > 0, mantissa, 0), stored[..., None]], -1
    ).astype(np.uint8)


def _positive_number(text: bytes) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1e-30 < value < 1e30:
        raise FileFormatError(f"has the impossible exposure {text!r} in its header")
    return value


def _is_run_length_encoded(data: bytes, position: int, width: int) -> bool:
    start = data[position : position + 4]
    return (
        8 <= width <= 0x7FFF
        and len(start) == 4
        and start[:2] == b"\x02\x02"
        and start[2] * 256 + start[3] == width
    )


def _decode_scanline(
    data: bytes, raw: UInt8[np.ndarray, " size"], position: int, width: int, row: int
) -> tuple[UInt8[np.ndarray, "W 4"], int]:
    """Expand the four planes of one scan line; also return where the next begins."""
    starts, lengths, filled, total = [], [], 0, 4 * width
    plane_end = width
    while filled < total:
        if position >= len(data):
            raise FileFormatError(f"is cut off in scan line {row}")
        code = data[position]
        length = code - 128 if code > 128 else code
        filled += length
        if length == 0 or filled > plane_end:
            raise FileFormatError(f"is damaged in scan line {row}: a run has an impossible length")
        if filled == plane_end:
            plane_end += width
        starts.append(position + 1)
        lengths.append(length if code <= 128 else -length)
        position += 2 if code > 128 else length + 1
    if position > len(data):
        raise FileFormatError(f"is cut off in scan line {row}")
    signed = np.array(lengths)
    counts = np.abs(signed)
    ends = np.cumsum(counts)
    offset = np.arange(total) - np.repeat(ends - counts, counts)
    offset *= np.repeat(signed > 0, counts)  # a run repeats its one byte
    return raw[np.repeat(starts, counts) + offset].reshape(4, width).T, position


def _encode_bytes(plane: UInt8[np.ndarray, " W"]) -> bytes:
    """Runs of at least four equal bytes as (128 + n, byte), the rest as (n, bytes...)."""
    edges = np.flatnonzero(np.diff(plane)) + 1
    starts = np.concatenate([[0], edges])
    counts = np.diff(np.concatenate([starts, [plane.size]]))
    long = counts >= 4
    pieces, done, content = [], 0, plane.tobytes()
    for start, count in zip(starts[long].tolist(), counts[long].tolist(), strict=True):
        pieces += _literals(content[done:start])
        pieces += [bytes((128 + min(127, count - k), content[start])) for k in range(0, count, 127)]
        done = start + count
    return b"".join(pieces + _literals(content[done:]))


def _literals(content: bytes) -> list[bytes]:
    pieces = (content[k : k + 128] for k in range(0, len(content), 128))
    return [bytes((len(piece),)) + piece for piece in pieces]
