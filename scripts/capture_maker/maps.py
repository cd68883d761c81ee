"""Ground-truth maps, looked up where the camera's rays meet the surfaces, exactly as rendered.

Each pixel is the mean over its rays that hit something; alpha is their share (straight alpha).
"""

import dataclasses

import numpy as np

from capture_maker.surfaces import Surface, Texture
from capture_maker.tracer import Tracer, tangent_normals

PASSES, GRID = 4, 4
"""Each pass sends GRID x GRID jittered rays through a pixel."""
RAYS_PER_PIXEL = PASSES * GRID * GRID


@dataclasses.dataclass(frozen=True)
class Maps:
    """What is true at each pixel of a view; zero where nothing was hit."""

    albedo: np.ndarray
    """[H, W, 3], linear base colour in [0, 1]."""
    normal: np.ndarray
    """[H, W, 3], world space, unit length, with the normal map."""
    roughness: np.ndarray
    """[H, W, 1]."""
    metallic: np.ndarray
    """[H, W, 1]."""
    depth: np.ndarray
    """[H, W], the camera's z, world units."""
    alpha: np.ndarray
    """[H, W, 1]: the share of the pixel that surfaces cover."""


def true_maps(tracer: Tracer, pose: np.ndarray, fov_x_rad: float, size_px: int, seed: int) -> Maps:
    """Trace `RAYS_PER_PIXEL` rays through each pixel; deterministic for a seed."""
    total = np.zeros((size_px, size_px, 10))
    for index in range(PASSES):
        hits = tracer.first_hits(pose, fov_x_rad, GRID * size_px, (seed + index) % 2**32)
        away = pose[:3, 3] - hits["position"]
        hit = (hits["shape"] >= 0)[:, None]
        values = np.concatenate(
            [values_at(tracer.surfaces, hits, away), hit * (away @ pose[:3, 2:3]), hit], 1
        )
        total += values.reshape(size_px, GRID, size_px, GRID, -1).sum((1, 3))
    count = total[..., 9:]
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    length = np.linalg.norm(mean[..., 3:6], axis=-1, keepdims=True)
    normal = mean[..., 3:6] / np.maximum(length, 1e-12)
    return Maps(
        mean[..., 0:3], normal, mean[..., 6:7], mean[..., 7:8], mean[..., 8], count / RAYS_PER_PIXEL
    )


def values_at(surfaces: list[Surface], hits: dict[str, np.ndarray], away: np.ndarray) -> np.ndarray:
    """What the surfaces are where rays meet them.

    Args:
        surfaces: Of the tracer.
        hits: N of them, as `Tracer.first_hits` gives them.
        away: [N, 3] from the hits toward where the rays came from, of any length.

    Returns:
        [N, 8]: albedo 3, normal 3, roughness, metallic; zero where nothing was hit.
    """
    values = np.zeros((len(hits["shape"]), 8))
    for index in np.unique(hits["shape"]):
        if index < 0:
            continue
        rows = np.flatnonzero(hits["shape"] == index)
        surface, uv = surfaces[index], hits["uv"][rows]
        material, interpolated = surface.material, hits["normal"][rows]
        values[rows, 0:3] = sample(material.base_color, uv)
        values[rows, 3:6] = _normals(surface, uv, interpolated, hits["du"][rows], away[rows])
        values[rows, 6:7] = sample(material.roughness, uv)
        values[rows, 7:8] = sample(material.metallic, uv)
    return values


def _normals(
    surface: Surface, uv: np.ndarray, normal: np.ndarray, du: np.ndarray, away: np.ndarray
) -> np.ndarray:
    """Shading normals as Mitsuba's `twosided` and `normalmap` make them."""
    back = (np.einsum("ij,ij->i", normal, away) < 0)[:, None]
    if surface.material.normal is None:
        return np.where(back, -normal, normal)
    local = 2.0 * sample(tangent_normals(surface), uv) - 1.0
    tangent = _unit(du - normal * np.einsum("ij,ij->i", normal, du)[:, None])
    up = np.where(back, -normal, normal) * local[:, 2:3]
    return _unit(tangent * local[:, 0:1] + np.cross(normal, tangent) * local[:, 1:2] + up)


def sample(texture: Texture, uv: np.ndarray) -> np.ndarray:
    """Bilinear lookup [N, C] at texture coordinates [N, 2]; v points down."""
    height, width, channels = texture.pixels.shape
    if texture.is_constant:
        return np.broadcast_to(texture.pixels[0, 0], (len(uv), channels))
    place = uv * [width, height] - 0.5
    corner = np.floor(place).astype(np.int64)
    share = place - corner
    columns = [_wrapped(corner[:, 0] + step, width, texture.wrap) for step in (0, 1)]
    rows = [_wrapped(corner[:, 1] + step, height, texture.wrap) for step in (0, 1)]
    x, y = share[:, 0:1], share[:, 1:2]
    top = texture.pixels[rows[0], columns[0]] * (1 - x) + texture.pixels[rows[0], columns[1]] * x
    low = texture.pixels[rows[1], columns[0]] * (1 - x) + texture.pixels[rows[1], columns[1]] * x
    return top * (1 - y) + low * y


def _wrapped(index: np.ndarray, size: int, wrap: str) -> np.ndarray:
    if wrap == "clamp":
        return np.clip(index, 0, size - 1)
    if wrap == "mirror":
        around = index % (2 * size)
        return np.where(around < size, around, 2 * size - 1 - around)
    return index % size


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
