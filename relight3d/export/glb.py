"""glTF 2.0 binary: the asset as a mesh with textures, for Blender, three.js and game engines.

glTF is right-handed, y up, in metres: our (x, y, z) becomes (x, z, -y). Sizes and origin are those
of the source. Its up is not always known (photos posed by COLMAP lie anyhow) but glTF's is, so the
mesh stands upright as the capture does: of the normalisation, the turn alone is not undone.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from relight3d import __version__
from relight3d.core.errors import ConfigurationError, OutputError
from relight3d.core.surface import Mesh, Proxy
from relight3d.core.types import Asset, Gaussians, Materials
from relight3d.core.views import Similarity
from relight3d.export.atlas import Atlas, texture_size, triangle_areas, triangles_at_edges, unwrap
from relight3d.export.glb_container import GlbBuffer, write_glb_file
from relight3d.export.tangents import vertex_tangents
from relight3d.export.texture import PbrTextures, bake_textures
from relight3d.files.pictures import encode_png

Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""glTF's axes from ours."""
_SAME_FRAME = Similarity()
_LINEAR, _MIP_LINEAR, _CLAMP = 9729, 9987, 33071
_LARGEST_SHORT = 65_534
"""65,535 restarts primitives."""


def gltf_from_capture(capture_from_source: Similarity) -> Similarity:
    """Where the capture's points stand in a .glb: size and origin of the source, y up."""
    undo = capture_from_source.inverse()
    return Similarity(Y_UP, Y_UP @ (-capture_from_source.translation) * undo.scale, undo.scale)


def write_glb(path: Path, asset: Asset, capture_from_source: Similarity = _SAME_FRAME) -> None:
    """Write the asset's surface with base colour, metallic-roughness and normal textures.

    Args:
        path: Target; replaced only when the new file is complete.
        asset: With materials and a proxy, in the capture's frame.
        capture_from_source: The capture's normalisation, whose scale and translation are undone.

    Raises:
        ConfigurationError: The asset has no materials, or no surface.
        OutputError: The surface is empty or has NaN; or the file cannot be written.
    """
    gaussians, materials, proxy = _ready(asset)
    mesh, normals = _whole_triangles(path, proxy)
    atlas = unwrap(mesh, texture_size(max(len(mesh), len(gaussians))))
    cut = Mesh(vertices=mesh.vertices[atlas.vertex], faces=atlas.faces)
    normals = normals[atlas.vertex]
    tangents = vertex_tangents(cut.vertices, normals, atlas.uv, atlas.faces)
    textures = bake_textures(cut, normals, tangents, atlas, gaussians, materials, proxy.voxel)
    buffer = GlbBuffer()
    attributes = _add_vertices(buffer, cut, normals, tangents, atlas, capture_from_source)
    short = len(atlas.vertex) <= _LARGEST_SHORT
    corners = atlas.faces.flatten().numpy().astype(np.uint16 if short else np.uint32)
    primitive = {
        "attributes": attributes,
        "indices": buffer.add_array(corners, "indices"),
        "material": 0,
    }
    _add_pictures(buffer, textures)
    extras = {
        "exposure": asset.exposure,
        "gltf_from_source_rotation": (Y_UP @ capture_from_source.rotation).tolist(),
    }
    document = _document(path.stem, primitive, not is_closed(mesh), extras)
    write_glb_file(path, document, buffer)


def is_closed(mesh: Mesh) -> bool:
    """Whether every edge joins two triangles: nobody can look at the inside of such a surface."""
    return bool((triangles_at_edges(mesh.faces) == 2).all())


def _ready(asset: Asset) -> tuple[Gaussians, Materials, Proxy]:
    """What is written, on the CPU.

    Raises:
        ConfigurationError: The asset lacks it.
    """
    if asset.materials is None:
        raise ConfigurationError(
            "This run has no materials, which a .glb is made of: only its first stage is done. Run "
            "`relight3d decompose RUN` first, or export --format ply."
        )
    if asset.proxy is None:
        raise ConfigurationError(
            "This run has no surface, which a .glb is made of: it was trained by a preset that "
            "traces no rays. Train with --preset cpu-traced, or export --format ply."
        )
    return (
        _on_cpu(asset.splats.gaussians()),
        _on_cpu(asset.materials),
        dataclasses.replace(_on_cpu(asset.proxy), mesh=_on_cpu(asset.proxy.mesh)),
    )


def _on_cpu(record):
    """The same frozen record with its tensors detached, on the CPU, floats in float32."""
    moved = {
        name: value.detach().cpu().to(torch.float32 if value.is_floating_point() else None)
        for name, value in vars(record).items()
        if isinstance(value, Tensor)
    }
    return dataclasses.replace(record, **moved)


def _whole_triangles(path: Path, proxy: Proxy) -> tuple[Mesh, Float[Tensor, "V 3"]]:
    """The mesh without triangles that have no area, and unit normals.

    Raises:
        OutputError: Nothing is left, or the mesh has NaN.
    """
    mesh = proxy.mesh
    if not (torch.isfinite(mesh.vertices).all() and torch.isfinite(proxy.normals).all()):
        raise OutputError(
            f"Could not write {path}: the surface has NaN or infinite values. The fit that it was "
            "fused from has diverged."
        )
    areas = triangle_areas(mesh)
    size = float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()) if len(mesh) else 0.0
    kept = areas > 1e-12 * size * size
    if not kept.any():
        raise OutputError(
            f"Could not write {path}: the surface has {len(mesh)} triangles, none with an area. "
            "The depths it was fused from agree nowhere; look at the depth maps of `relight3d "
            "render RUN --aovs depth`, and train longer or with more photos."
        )
    mesh = dataclasses.replace(mesh, faces=mesh.faces[kept])
    own = normalize(proxy.normals, dim=-1)
    missing = own.norm(dim=-1, keepdim=True) < 0.5
    return mesh, torch.where(missing, mesh.vertex_normals(), own)


def _add_vertices(
    buffer: GlbBuffer,
    mesh: Mesh,
    normals: Float[Tensor, "W 3"],
    tangents: Float[Tensor, "W 4"],
    atlas: Atlas,
    capture_from_source: Similarity,
) -> dict[str, int]:
    """Positions, normals, tangents and texture coordinates, y up; their accessors by name."""
    move = gltf_from_capture(capture_from_source)
    turn = torch.from_numpy(move.rotation)
    positions = move.apply(mesh.vertices.double().numpy()).astype(np.float32)
    up = normalize(normals.double() @ turn.T, dim=-1)
    along = normalize(tangents[:, :3].double() @ turn.T, dim=-1)
    return {
        "POSITION": buffer.add_array(positions, "vertices", bounds=True),
        "NORMAL": buffer.add_array(up.float().numpy(), "vertices"),
        "TANGENT": buffer.add_array(
            torch.cat([along, tangents[:, 3:].double()], -1).float().numpy(), "vertices"
        ),
        "TEXCOORD_0": buffer.add_array(atlas.uv.numpy(), "vertices"),
    }


def _add_pictures(buffer: GlbBuffer, textures: PbrTextures) -> None:
    """In the order of `_document`'s textures."""
    buffer.add_png("base_color", encode_png(textures.base_color_srgb))
    buffer.add_png("metallic_roughness", encode_png(textures.metallic_roughness))
    buffer.add_png("normal", encode_png(textures.normal))


def _document(
    name: str, primitive: dict[str, Any], double_sided: bool, extras: dict[str, Any]
) -> dict[str, Any]:
    """The JSON of one node with one mesh of one material; three pictures are its textures."""
    material = {
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicRoughnessTexture": {"index": 1},
        },
        "normalTexture": {"index": 2},
        "doubleSided": double_sided,
    }
    sampler = {"magFilter": _LINEAR, "minFilter": _MIP_LINEAR, "wrapS": _CLAMP, "wrapT": _CLAMP}
    return {
        "asset": {
            "version": "2.0",
            "generator": f"relight3d {__version__}",
            "extras": {"relight3d": extras},
        },
        "scene": 0,
        "scenes": [{"name": name, "nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [{"name": name, "primitives": [primitive]}],
        "materials": [material],
        "samplers": [sampler],
        "textures": [{"sampler": 0, "source": image} for image in range(3)],
    }
