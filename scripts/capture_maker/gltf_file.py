"""A glTF 2.0 file as its numbers and pictures: .glb, .gltf with files beside it or data URIs.

Source: Khronos glTF 2.0 specification, sections 3.6 (buffers), 3.8 (images) and 4 (GLB).
"""

import base64
import hashlib
import io
import json
import struct
import urllib.parse
from pathlib import Path

import numpy as np
import PIL.Image

from relight3d.core.errors import FileFormatError
from relight3d.files.reading import check_picture_size, read_whole
from relight3d.files.safety import resolve_inside

_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_JSON_CHUNK, _BINARY_CHUNK = b"JSON", b"BIN\0"
_KNOWN_EXTENSIONS = {"KHR_mesh_quantization"}


class GltfFile:
    """The parsed file. Everything it names must lie in its folder."""

    def __init__(self, path: Path):
        """Read the file.

        Raises:
            FileFormatError: Missing, not a glTF 2.0, or in need of an extension that is not read.
        """
        self.path = path
        self._digest = hashlib.sha256()
        self._buffers: dict[int, bytes] = {}
        data = self._taken(read_whole(path, "The model"))
        self._binary = b""
        if data.startswith(b"glTF"):
            data, self._binary = self._chunks(data)
        try:
            self.json = json.loads(data.decode("utf-8"))
            version = str(self.json["asset"]["version"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileFormatError(
                f"The model {path} is not a glTF file (.glb or .gltf). Export it as glTF 2.0."
            ) from error
        if not version.startswith("2"):
            raise self.fault(f"is of glTF version {version[:10]}; version 2 is read")
        unknown = sorted(set(self.json.get("extensionsRequired", ())) - _KNOWN_EXTENSIONS)
        if unknown:
            raise self.fault(f"requires the extension {', '.join(unknown)}, which is not read")

    def fault(self, what: str) -> FileFormatError:
        """An error about this file."""
        return FileFormatError(f"The model {self.path} {what}. Export it otherwise.")

    def sha256(self) -> str:
        """Over the file and everything read from beside it so far, in that order."""
        return self._digest.hexdigest()

    def accessor(self, index: int) -> np.ndarray:
        """Numbers [count, components], integers as they are or normalised as the file says."""
        accessor = self.json["accessors"][index]
        if "sparse" in accessor or "bufferView" not in accessor:
            raise self.fault(f"has a sparse accessor ({index}), which is not read")
        kind, columns = np.dtype(_TYPES[accessor["componentType"]]), _SIZES[accessor["type"]]
        view = self.json["bufferViews"][accessor["bufferView"]]
        data = self.view(accessor["bufferView"])
        start, count = accessor.get("byteOffset", 0), accessor["count"]
        row = kind.itemsize * columns
        stride = view.get("byteStride") or row
        if min(start, count) < 0 or stride < row or count < 1:
            raise self.fault(f"has an impossible accessor ({index})")
        if start + (count - 1) * stride + row > len(data):
            raise self.fault(f"is cut off: accessor {index} goes past the end of its buffer")
        rows = np.ndarray((count, row), np.uint8, data, start, (stride, 1))
        numbers = np.ascontiguousarray(rows).view(kind)
        if accessor.get("normalized"):
            return np.maximum(numbers / np.float32(np.iinfo(kind).max), -1).astype(np.float32)
        if kind.kind == "f" and not np.isfinite(numbers).all():
            raise self.fault(f"has NaN or infinite numbers in accessor {index}")
        return numbers

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view."""
        view = self.json["bufferViews"][index]
        data = self._buffer(view["buffer"])
        start, length = view.get("byteOffset", 0), view["byteLength"]
        if min(start, length) < 0 or start + length > len(data):
            raise self.fault(f"is cut off: buffer view {index} goes past the end of its buffer")
        return data[start : start + length]

    def image(self, index: int) -> np.ndarray:
        """A picture [H, W, 3], uint8 as stored."""
        image = self.json["images"][index]
        where = f"image {index}"
        data = self.view(image["bufferView"]) if "bufferView" in image else self._uri(image, where)
        try:
            with PIL.Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
                check_picture_size(self.path, f"The {where} of the model", *picture.size)
                return np.array(picture.convert("RGB"))
        except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
            raise self.fault(f"has a texture that is no PNG, JPEG or WebP ({where})") from error

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            buffer = self.json["buffers"][index]
            inside = "uri" not in buffer and index == 0
            data = self._binary if inside else self._uri(buffer, f"buffer {index}")
            if len(data) < buffer["byteLength"]:
                raise self.fault(f"is cut off: buffer {index} is shorter than it says")
            self._buffers[index] = data
        return self._buffers[index]

    def _uri(self, entry: dict, where: str) -> bytes:
        uri = entry["uri"]
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2], validate=True)
        named = urllib.parse.unquote(uri)
        file = resolve_inside(self.path.parent, named, f"{self.path}, {where}")
        return self._taken(read_whole(file, f"The file of {where} of the model"))

    def _taken(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data

    def _chunks(self, data: bytes) -> tuple[bytes, bytes]:
        """The JSON and the binary chunk of a .glb."""
        found: dict[bytes, bytes] = {}
        position = 12
        while position + 8 <= len(data):
            length, kind = struct.unpack_from("<I4s", data, position)
            if position + 8 + length > len(data):
                raise FileFormatError(f"The model {self.path} is cut off. Fetch it again.")
            found.setdefault(kind, data[position + 8 : position + 8 + length])
            position += 8 + length
        if _JSON_CHUNK not in found:
            raise FileFormatError(f"The model {self.path} has no JSON chunk. Fetch it again.")
        return found[_JSON_CHUNK], found.get(_BINARY_CHUNK, b"")
