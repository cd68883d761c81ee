"""Sparse points as .ply: what nerfstudio reads as ply_file_path. Not for splats."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from relight3d.capture.poses import MAX_COORDINATE
from relight3d.core.errors import FileFormatError
from relight3d.files.atomic import atomic_file
from relight3d.files.reading import read_whole

MAX_POINTS = 50_000_000
_WHAT = "The point file"
_RECORD = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


def write_points(path: Path, xyz: Float[np.ndarray, "p 3"], rgb: Float[np.ndarray, "p 3"]) -> None:
    """Write positions (float32) and sRGB colours in [0, 1] (8 bits), binary, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    data = np.empty(len(xyz), _RECORD)
    data["xyz"] = xyz
    data["rgb"] = np.clip(np.rint(rgb * 255), 0, 255)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(xyz)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")] + ["end_header\n"]
    with atomic_file(path) as temporary:
        temporary.write_bytes("\n".join(header).encode() + data.tobytes())


def read_points(path: Path) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, "p 3"]]:
    """Positions and sRGB colours in [0, 1] (grey if there are none); vertices come first.

    Raises:
        FileFormatError: Missing, cut off, without x y z, with lists among the vertex's properties,
            or with values that are not finite.
    """
    data = read_whole(path, _WHAT)
    end = data.find(b"end_header")
    line_end = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or line_end < 0 or end > 1 << 16:
        raise FileFormatError(f"{_WHAT} {path} is not a .ply file. Remove it or export it again.")
    lines = [line.split() for line in data[:end].decode("latin-1").splitlines()]
    count, fields = _vertex(path, lines)
    body = data[line_end + 1 :]
    if ["format", "ascii", "1.0"] in lines:
        table = _ascii(path, body, count, fields)
    else:
        order = ">" if ["format", "binary_big_endian", "1.0"] in lines else "<"
        record = np.dtype([(name, order + kind) for name, kind in fields])
        if len(body) < count * record.itemsize:
            raise FileFormatError(f"{_WHAT} {path} is cut off. Export it again.")
        table = np.frombuffer(body, record, count)
    xyz = np.stack([table[axis] for axis in "xyz"], -1).astype(np.float64)
    if not (np.abs(xyz) <= MAX_COORDINATE).all():
        raise FileFormatError(
            f"{_WHAT} {path} has NaN, infinite or absurdly far positions. Export it again."
        )
    return xyz, _colors(table, count)


def _vertex(path: Path, lines: list[list[str]]) -> tuple[int, list[tuple[str, str]]]:
    """Number and properties of the first element, which must be the vertices."""
    elements = [index for index, line in enumerate(lines) if line[:1] == ["element"]]
    first = lines[elements[0]] if elements else []
    if len(first) != 3 or first[1] != "vertex" or not first[2].isdecimal():
        raise FileFormatError(f"{_WHAT} {path} does not begin with its vertices. Export it again.")
    stop = elements[1] if len(elements) > 1 else len(lines)
    properties = [line for line in lines[elements[0] + 1 : stop] if line[:1] == ["property"]]
    fields = [(line[2], _TYPES[line[1]]) for line in properties
              if len(line) == 3 and line[1] in _TYPES]  # fmt: skip
    names = [name for name, _ in fields]
    if len(fields) < len(properties) or len(set(names)) < len(names) or not {*"xyz"} <= {*names}:
        raise FileFormatError(f"{_WHAT} {path} has no plain x, y, z per vertex. Export it again.")
    count = int(first[2][:12])
    if count > MAX_POINTS:
        raise FileFormatError(f"{_WHAT} {path} says it has {count:,} points. Thin them out.")
    return count, fields


def _ascii(path: Path, body: bytes, count: int, fields: list[tuple[str, str]]) -> np.ndarray:
    try:
        words = np.array(body.split()[: count * len(fields)], dtype=np.float64)
        rows = words.reshape(count, len(fields))
    except ValueError as error:
        raise FileFormatError(f"{_WHAT} {path} is cut off or damaged. Export it again.") from error
    table = np.empty(count, np.dtype(fields))
    for column, (name, _) in enumerate(fields):
        table[name] = rows[:, column]
    return table


def _colors(table: np.ndarray, count: int) -> Float[np.ndarray, "p 3"]:
    names = table.dtype.names or ()
    if not {"red", "green", "blue"} <= set(names):
        return np.full((count, 3), 0.5)
    rgb = np.stack([table[name] for name in ("red", "green", "blue")], -1)
    return np.clip(rgb / (255.0 if rgb.dtype.kind in "ui" else 1.0), 0, 1).astype(np.float64)
