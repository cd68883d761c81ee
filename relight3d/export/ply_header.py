"""The header of a .ply file: strict, bounded, and checked against the file's size.

Source: G. Turk, "The PLY Polygon File Format" (1994).
"""

import dataclasses

import numpy as np

from relight3d.core.errors import FileFormatError

MAX_HEADER_BYTES = 1 << 16
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclasses.dataclass(frozen=True)
class PlyElement:
    """One element: so many rows of these columns."""

    name: str
    count: int
    properties: tuple[tuple[str, str], ...]
    """(name, numpy type without byte order)."""


@dataclasses.dataclass(frozen=True)
class PlyHeader:
    """What a header promises."""

    byte_order: str
    """'<' or '>' in numpy's notation; '' for ascii."""
    elements: tuple[PlyElement, ...]
    comments: tuple[str, ...]
    size_bytes: int
    """Where the first element begins."""

    def dtype(self, element: PlyElement) -> np.dtype:
        """One row of a binary element."""
        return np.dtype([(name, self.byte_order + kind) for name, kind in element.properties])


def parse_header(data: bytes) -> PlyHeader:
    """Parse a header.

    Raises:
        FileFormatError: The message begins with a verb, for the caller to put the file before it.
    """
    lines, size = _header_lines(data)
    byte_order, elements, comments = None, [], []
    for line in lines[1:]:
        words = line.split()
        if not words:
            continue
        if words[0] in ("comment", "obj_info"):
            comments.append(line.partition(" ")[2].strip())
        elif words[0] == "format" and len(words) == 3 and words[1] in _FORMATS:
            byte_order = _FORMATS[words[1]]
        elif (
            words[0] == "element" and len(words) == 3 and words[2].isascii() and words[2].isdigit()
        ):
            elements.append(PlyElement(words[1], int(words[2][:20]), ()))
        elif words[0] == "property" and elements:
            elements[-1] = _with_property(elements[-1], words)
        else:
            raise FileFormatError(f"has a header line that means nothing: {line[:80]!r}")
    if byte_order is None:
        raise FileFormatError("does not say whether it is ascii or binary")
    return PlyHeader(byte_order, tuple(elements), tuple(comments), size)


def _header_lines(data: bytes) -> tuple[list[str], int]:
    head = data[:MAX_HEADER_BYTES]
    if not head.startswith((b"ply\n", b"ply\r\n")):
        raise FileFormatError("does not begin with 'ply'; it is another kind of file")
    for ending in (b"\nend_header\n", b"\nend_header\r\n"):
        end = head.find(ending)
        if end >= 0:
            return head[:end].decode("latin-1").splitlines(), end + len(ending)
    raise FileFormatError("has no end of its header; it is cut off or not a .ply file")


def _with_property(element: PlyElement, words: list[str]) -> PlyElement:
    if words[1:2] == ["list"]:
        properties = (*element.properties, (words[-1], "list"))
    elif len(words) == 3 and words[1] in _TYPES:
        properties = (*element.properties, (words[2], _TYPES[words[1]]))
    else:
        raise FileFormatError(f"has a property that means nothing: {' '.join(words)[:80]!r}")
    names = [name for name, _ in properties]
    if len(set(names)) != len(names):
        raise FileFormatError(f"names the property {names[-1][:40]!r} twice")
    return dataclasses.replace(element, properties=properties)
