"""The container of glTF 2.0: arrays and pictures in one binary chunk, described by JSON.

Source: glTF 2.0 specification (Khronos), sections 3.6 (buffers, views, accessors) and 4 (GLB).
"""

import json
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relight3d.files.atomic import atomic_file

_COMPONENT_TYPES = {"float32": 5126, "uint16": 5123, "uint32": 5125}
_ELEMENT_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
_TARGETS = {"vertices": 34962, "indices": 34963}
_LARGEST_BYTES = 2**32 - 1


class GlbBuffer:
    """The binary chunk in the making, with the views and accessors that point into it."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []

    def add_array(
        self, values: np.ndarray, kind: Literal["vertices", "indices"], bounds: bool = False
    ) -> int:
        """Append an array [n] or [n, 2 to 4]; returns its accessor.

        Args:
            values: float32, uint16 or uint32.
            kind: What the graphics card takes it for.
            bounds: Whether to state its extent, as positions must.
        """
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        accessor = {
            "bufferView": self._add_view(little.tobytes(), target=_TARGETS[kind]),
            "componentType": _COMPONENT_TYPES[values.dtype.name],
            "count": len(values),
            "type": _ELEMENT_TYPES[1 if values.ndim == 1 else values.shape[1]],
        }
        if bounds:
            accessor["min"] = np.atleast_1d(values.min(0)).tolist()
            accessor["max"] = np.atleast_1d(values.max(0)).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_png(self, name: str, data: bytes) -> int:
        """Append a picture; returns its image."""
        self.images.append(
            {"name": name, "mimeType": "image/png", "bufferView": self._add_view(data)}
        )
        return len(self.images) - 1

    def _add_view(self, data: bytes, **more: int) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        self.views.append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)} | more
        )
        self.data += data
        return len(self.views) - 1


def write_glb_file(path: Path, document: dict[str, Any], buffer: GlbBuffer) -> None:
    """Write a .glb, whole or not at all.

    Args:
        path: Target.
        document: The JSON without what `buffer` holds: buffers, views, accessors, images.
        buffer: The binary chunk; at least one view.

    Raises:
        OutputError: The file cannot be written.
    """
    document = document | {
        "buffers": [{"byteLength": len(buffer.data)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
        "images": buffer.images,
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    padding = b"\0" * (-len(buffer.data) % 4)
    binary_size = len(buffer.data) + len(padding)
    total = 12 + 8 + len(text) + 8 + binary_size
    assert total <= _LARGEST_BYTES, total  # textures of 4096 and millions of triangles are far less
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.write(b"glTF" + struct.pack("<II", 2, total))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", binary_size, b"BIN\0"))
        file.write(buffer.data)
        file.write(padding)
