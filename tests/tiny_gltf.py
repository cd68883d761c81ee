"""Small glTF files made by hand, for the tests of the capture maker."""

import base64
import io
import json
import struct
from pathlib import Path

import numpy as np
import PIL.Image

QUAD = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
"""Upright, facing glTF's +z: after z is up it faces -y, with x to the right."""
QUAD_UV = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
QUAD_TRIANGLES = np.array([0, 1, 2, 0, 2, 3], np.uint16)


def png_uri(pixels: np.ndarray) -> str:
    """A picture [H, W, 3] in [0, 255] as a data URI."""
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(stream, format="PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def quad(material: dict, images: list[str], uv: np.ndarray | None = QUAD_UV) -> dict:
    """A glTF document of one square of edge 2 with a material; texture i shows image i."""
    arrays = [QUAD_TRIANGLES, QUAD, *([] if uv is None else [uv])]
    data, views, accessors = b"", [], []
    for array in arrays:
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
        kind, count = ("SCALAR", array.size) if array.ndim == 1 else (None, len(array))
        accessors.append(
            {
                "bufferView": len(accessors),
                "componentType": 5123 if array.dtype == np.uint16 else 5126,
                "type": kind or f"VEC{array.shape[1]}",
                "count": count,
            }
        )
        data += array.tobytes()
    attributes = {"POSITION": 1} | ({} if uv is None else {"TEXCOORD_0": 2})
    primitive = {"attributes": attributes, "indices": 0, "material": 0}
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [material],
        "textures": [{"source": index} for index in range(len(images))],
        "images": [{"uri": uri} for uri in images],
        "buffers": [{"uri": uri, "byteLength": len(data)}],
        "bufferViews": views,
        "accessors": accessors,
    }


def write_gltf(path: Path, document: dict) -> Path:
    """Write it as .gltf."""
    path.write_text(json.dumps(document))
    return path


def write_glb(path: Path, document: dict) -> Path:
    """Write it as .glb, its buffer in the binary chunk."""
    binary = base64.b64decode(document["buffers"][0].pop("uri").partition(",")[2])
    binary += b"\0" * (-len(binary) % 4)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
    return path
