"""A glTF model as surfaces, placed in the unit sphere with z up."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from capture_maker.gltf_file import GltfFile
from capture_maker.gltf_material import Materials
from capture_maker.surfaces import Surface, moved
from relight3d.core.errors import FileFormatError

Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""glTF (x, y, z), y up, to (x, -z, y)."""
MAX_NODE_DEPTH = 64


@dataclasses.dataclass(frozen=True)
class Model:
    """What a file holds and how it was placed."""

    surfaces: list[Surface]
    normalise: dict
    """As scene.json holds it: centre and scale in z-up model units, and the rule."""
    sha256: str
    ignored: list[str]
    """What the file asks for and is not rendered."""


def read_model(path: Path) -> Model:
    """Read a .glb or .gltf; the farthest vertex comes to lie at distance 1 from the origin.

    Raises:
        FileFormatError: Not a usable glTF 2.0; one message, naming the file.
    """
    file = GltfFile(path)
    materials = Materials(file)
    try:
        surfaces = [s for node in _nodes(file) for s in _node_surfaces(file, materials, *node)]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FileFormatError(
            f"The model {path} is damaged: {type(error).__name__} {error} while reading it. "
            "Export it again."
        ) from error
    if not surfaces:
        raise FileFormatError(f"The model {path} has no triangles to render. Export a mesh.")
    points = np.concatenate([surface.positions for surface in surfaces]).astype(np.float64)
    centre = 0.5 * (points.min(0) + points.max(0))
    radius = float(np.linalg.norm(points - centre, axis=1).max())
    if not 1e-12 < radius < 1e12:
        raise FileFormatError(f"The model {path} has the size {radius:g}. Scale it.")
    placed = [moved(surface, centre, 1.0 / radius) for surface in surfaces]
    normalise = {
        "centre": centre.tolist(),
        "scale": 1.0 / radius,
        "object_to_world": "glTF (x, y, z) -> (x, -z, y), then (p - centre) * scale",
    }
    return Model(placed, normalise, file.sha256(), sorted(materials.ignored))


def _nodes(file: GltfFile) -> Iterator[tuple[dict, np.ndarray]]:
    """Every node with a mesh below the scene that is shown, and its matrix to the model."""
    nodes, scenes = file.json.get("nodes", []), file.json.get("scenes", [])
    if scenes:
        roots = scenes[file.json.get("scene", 0)].get("nodes", [])
    else:
        roots = range(len(nodes))
    waiting = [(root, np.eye(4), 0) for root in reversed(roots)]
    while waiting:
        index, above, depth = waiting.pop()
        if depth > MAX_NODE_DEPTH:
            raise file.fault(f"has nodes nested deeper than {MAX_NODE_DEPTH}")
        node = nodes[index]
        matrix = above @ _matrix(node)
        if "mesh" in node:
            yield node, matrix
        waiting += [(child, matrix, depth + 1) for child in reversed(node.get("children", []))]


def _matrix(node: dict) -> np.ndarray:
    """The node's own matrix, or translation * rotation (quaternion xyzw) * scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


def _node_surfaces(
    file: GltfFile, materials: Materials, node: dict, matrix: np.ndarray
) -> Iterator[Surface]:
    linear, shift = Z_UP @ matrix[:3, :3], Z_UP @ matrix[:3, 3]
    determinant = np.linalg.det(linear)
    if determinant == 0:  # scaled away, a common way to hide a part
        return
    for primitive in file.json["meshes"][node["mesh"]]["primitives"]:
        if primitive.get("mode", 4) != 4:
            raise file.fault(f"has a primitive of mode {primitive['mode']}; triangles are read")
        attributes = primitive["attributes"]
        local = file.accessor(attributes["POSITION"]).astype(np.float64)
        triangles = _triangles(file, primitive, len(local))
        if determinant < 0:  # a mirroring turns the winding round
            triangles = triangles[:, ::-1]
        normals = None
        if "NORMAL" in attributes:
            turned = file.accessor(attributes["NORMAL"]) @ np.linalg.inv(linear)
            length = np.linalg.norm(turned, axis=1, keepdims=True)
            normals = (turned / np.maximum(length, 1e-30)).astype(np.float32)
        material, which = materials.get(primitive.get("material"))
        name = f"TEXCOORD_{which}"
        uv = file.accessor(attributes[name]).astype(np.float32) if name in attributes else None
        if uv is None and not all(texture.is_constant for texture in material.textures):
            raise file.fault(f"has a textured mesh without texture coordinates ({name})")
        positions = local @ linear.T + shift
        if any(len(rows) != len(local) for rows in (normals, uv) if rows is not None):
            raise file.fault("has attributes of different lengths")
        whole = Surface(positions.astype(np.float32), triangles, material, normals, uv)
        yield from _split_mirrored(whole)


def _triangles(file: GltfFile, primitive: dict, vertices: int) -> np.ndarray:
    flat = np.arange(vertices)
    if "indices" in primitive:
        flat = file.accessor(primitive["indices"])[:, 0].astype(np.int64)
    if len(flat) % 3 or flat.max() >= vertices:
        raise file.fault("has triangles that name vertices it does not have")
    return np.ascontiguousarray(flat.reshape(-1, 3), np.uint32)


def _split_mirrored(surface: Surface) -> Iterator[Surface]:
    """Triangles whose texture lies mirrored apart from the others, where that plays a role."""
    if surface.uv is None or surface.material.normal is None:
        yield surface
        return
    a, b, c = (surface.uv[surface.triangles[:, corner]] for corner in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    for mirrored in (False, True):  # v points down: an upright picture has a negative area
        chosen = np.ascontiguousarray(surface.triangles[(area > 0) == mirrored])
        if len(chosen):
            yield dataclasses.replace(surface, triangles=chosen, mirrored=mirrored)
