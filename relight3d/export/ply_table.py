"""The vertices of a .ply file as named columns, whatever its encoding; for untrusted files."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float

from relight3d.core.errors import FileFormatError
from relight3d.export.ply_header import PlyElement, PlyHeader, parse_header
from relight3d.files.reading import read_whole

WHAT = "The splat file"


class VertexTable:
    """Columns of the element 'vertex', read without a copy where the file allows it."""

    def __init__(self, rows: np.ndarray, comments: tuple[str, ...]) -> None:
        """Wrap a structured array."""
        self.rows = rows
        self.comments = comments
        self.names: tuple[str, ...] = rows.dtype.names or ()

    def __len__(self) -> int:
        """Number of vertices."""
        return len(self.rows)

    def has(self, names: list[str]) -> bool:
        """Whether every column is there."""
        return set(names) <= set(self.names)

    def columns(self, names: list[str]) -> Float[np.ndarray, "N columns"]:
        """Some columns side by side, float32, in native byte order."""
        out = np.empty((len(self.rows), len(names)), np.float32)
        for index, name in enumerate(names):
            out[:, index] = self.rows[name]
        return out


def read_vertices(path: Path) -> VertexTable:
    """Read the element 'vertex'.

    Raises:
        FileFormatError: Not a .ply, malformed, cut off, or a layout other than plain rows.
    """
    data = read_whole(path, WHAT)
    try:
        header = parse_header(data)
        names = [element.name for element in header.elements]
        if "vertex" not in names:
            raise FileFormatError("has no element 'vertex'")
        before, vertex = header.elements[: names.index("vertex")], None
        vertex = header.elements[len(before)]
        if "chunk" in names or "packed_position" in dict(vertex.properties):
            raise FileFormatError("is a compressed .ply; unpack it to a plain .ply first")
        for element in (*before, vertex):
            if any(kind == "list" for _, kind in element.properties):
                raise FileFormatError(f"has lists in its element {element.name[:40]!r} (a mesh?)")
        if vertex.count == 0 or not vertex.properties:
            raise FileFormatError("holds no splats")
        rows = _ascii_rows if header.byte_order == "" else _binary_rows
        return VertexTable(rows(data, header, before, vertex), header.comments)
    except FileFormatError as error:
        raise FileFormatError(f"{WHAT} {path} {error}. Fetch or export it again.") from error


def _binary_rows(
    data: bytes, header: PlyHeader, before: tuple[PlyElement, ...], vertex: PlyElement
) -> np.ndarray:
    start = header.size_bytes + sum(e.count * header.dtype(e).itemsize for e in before)
    dtype = header.dtype(vertex)
    if vertex.count * dtype.itemsize > len(data) - start:
        raise FileFormatError(
            f"is cut off: {vertex.count:,} vertices of {dtype.itemsize} bytes are promised, "
            f"{max(0, len(data) - start):,} bytes follow"
        )
    return np.frombuffer(data, dtype, vertex.count, start)


def _ascii_rows(
    data: bytes, header: PlyHeader, before: tuple[PlyElement, ...], vertex: PlyElement
) -> np.ndarray:
    skipped = sum(element.count * len(element.properties) for element in before)
    width = len(vertex.properties)
    if 2 * (skipped + vertex.count * width) > len(data) - header.size_bytes + 1:
        raise FileFormatError(f"is cut off: {vertex.count:,} vertices are promised, fewer follow")
    count = skipped + vertex.count * width
    with warnings.catch_warnings():  # numpy warns where text stops being numbers
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.fromstring(data[header.size_bytes :], np.float64, sep=" ")
        except (ValueError, DeprecationWarning) as error:
            raise FileFormatError("is cut off, or has something that is not a number") from error
    if values.size < count:
        raise FileFormatError(f"is cut off: {vertex.count:,} vertices are promised, fewer follow")
    values = values[skipped:count].reshape(-1, width)
    rows = np.empty(vertex.count, [(name, "f8") for name, _ in vertex.properties])
    for index, (name, _) in enumerate(vertex.properties):
        rows[name] = values[:, index]
    return rows
