"""What is rendered: triangles with glTF's metallic-roughness material, in world space, z up."""

import dataclasses

import numpy as np

MIN_ROUGHNESS = 0.05
"""Mirrors sharper than this are rendered as this sharp: the path tracer must find the lights."""


@dataclasses.dataclass(frozen=True)
class Texture:
    """A bilinear picture: the texture coordinate (0, 0) is its top-left corner, v points down."""

    pixels: np.ndarray
    """[H, W, C] float32, linear; 1 x 1 is a constant."""
    wrap: str = "repeat"
    """What lies beyond [0, 1]: `repeat`, `mirror` or `clamp`."""

    @property
    def is_constant(self) -> bool:
        """Whether no texture coordinates are needed."""
        return self.pixels.shape[:2] == (1, 1)


def constant(*values: float) -> Texture:
    """A texture of one value."""
    return Texture(np.array(values, np.float32).reshape(1, 1, -1))


@dataclasses.dataclass(frozen=True)
class Material:
    """glTF 2.0 metallic-roughness, opaque and two-sided."""

    base_color: Texture
    """Linear, in [0, 1], three channels."""
    roughness: Texture
    """In [MIN_ROUGHNESS, 1], one channel; alpha = roughness^2."""
    metallic: Texture
    """In [0, 1], one channel."""
    normal: Texture | None = None
    """0.5 n + 0.5 in tangent space: x along u, y against v (upwards in the picture)."""
    lambertian: bool = False
    """A perfectly diffuse surface, without the highlight of glTF's dielectrics."""

    @property
    def textures(self) -> tuple[Texture, ...]:
        """All that the material has."""
        all_four = (self.base_color, self.roughness, self.metallic, self.normal)
        return tuple(texture for texture in all_four if texture is not None)


def plain(
    r: float, g: float, b: float, roughness: float = 0.6, metallic: float = 0.0,
    lambertian: bool = False,
) -> Material:  # fmt: skip
    """A material of constants; the colour is linear."""
    return Material(
        constant(r, g, b), constant(max(MIN_ROUGHNESS, roughness)), constant(metallic),
        lambertian=lambertian,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Surface:
    """A triangle mesh of one material."""

    positions: np.ndarray
    """[V, 3] float32, world units."""
    triangles: np.ndarray
    """[T, 3] uint32, counter-clockwise seen from outside."""
    material: Material
    normals: np.ndarray | None = None
    """[V, 3] float32, unit length; None: the triangles are flat."""
    uv: np.ndarray | None = None
    """[V, 2] float32."""
    mirrored: bool = False
    """The picture lies mirrored on the surface, which turns the normal map's y round."""


def moved(surface: Surface, offset: np.ndarray, scale: float) -> Surface:
    """The surface at (p - offset) * scale."""
    positions = ((surface.positions.astype(np.float64) - offset) * scale).astype(np.float32)
    return dataclasses.replace(surface, positions=positions)


def triangle_count(surfaces: list[Surface]) -> int:
    """Of all surfaces."""
    return sum(len(surface.triangles) for surface in surfaces)


def joined(surfaces: list[Surface]) -> Surface:
    """All triangles in order as one surface, of a material that is not to be looked at."""
    return Surface(
        np.concatenate([s.positions[s.triangles].reshape(-1, 3) for s in surfaces]),
        np.arange(3 * triangle_count(surfaces), dtype=np.uint32).reshape(-1, 3),
        plain(0.5, 0.5, 0.5),
        np.concatenate([_corner_normals(surface) for surface in surfaces]),
        np.concatenate([_corner_uv(surface) for surface in surfaces]),
    )


def _corner_normals(surface: Surface) -> np.ndarray:
    if surface.normals is not None:
        return surface.normals[surface.triangles].reshape(-1, 3)
    a, b, c = (surface.positions[surface.triangles[:, corner]] for corner in range(3))
    flat = np.cross((b - a).astype(np.float64), c - a)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
    return np.repeat(flat, 3, axis=0).astype(np.float32)


def _corner_uv(surface: Surface) -> np.ndarray:
    if surface.uv is None:
        return np.zeros((3 * len(surface.triangles), 2), np.float32)
    return surface.uv[surface.triangles].reshape(-1, 2)
