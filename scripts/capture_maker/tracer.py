"""Surfaces, a light and a camera through Mitsuba 3's path tracer.

Results repeat bit for bit, on any number of cores: the picture is cut into blocks of a fixed size,
each with random numbers of its own, and the box filter keeps a sample in its own pixel.
"""

import math
from types import ModuleType

import numpy as np

from capture_maker.surfaces import Material, Surface, Texture, joined
from relight3d.core.errors import BackendUnavailableError, ConfigurationError

BLOCK_PX = 16
DEFAULT_VARIANT = "scalar_rgb"
AOVS = "position:position,uv:uv,normal:sh_normal,du:dp_du,triangle:prim_index,depth:depth"


def load_mitsuba(variant: str = DEFAULT_VARIANT) -> ModuleType:
    """Import Mitsuba and choose its variant.

    Raises:
        BackendUnavailableError: It is not installed, or the variant cannot start here.
        ConfigurationError: There is no such variant.
    """
    try:
        import mitsuba as mi
    except ImportError as error:
        raise BackendUnavailableError(
            f"Making a capture needs Mitsuba 3, which did not import ({error}). "
            "Install it: pip install 'relight3d[maker]', or pip install mitsuba."
        ) from error
    if variant not in mi.variants():
        raise ConfigurationError(
            f"--variant {variant}: this Mitsuba has {', '.join(mi.variants())}."
        )
    try:
        mi.set_variant(variant)
        mi.set_log_level(mi.LogLevel.Error)
        mi.load_dict({"type": "sphere"})
    except Exception as error:
        raise BackendUnavailableError(
            f"Mitsuba's variant {variant} cannot start here ({error}). LLVM variants need libLLVM "
            f"19 or newer, CUDA variants an NVIDIA driver; {DEFAULT_VARIANT} needs neither."
        ) from error
    return mi


class Tracer:
    """The surfaces, ready to be rendered under any light."""

    def __init__(self, mi: ModuleType, surfaces: list[Surface]):
        """Hand all triangles and textures to Mitsuba."""
        self._mi = mi
        self._materials: dict[tuple[int, bool], object] = {}
        self.surfaces = surfaces
        names = [f"part{index:05d}" for index in range(len(surfaces))]
        self._meshes = {name: self._mesh(s, name) for name, s in zip(names, surfaces, strict=True)}
        self._one_mesh: object | None = None

    def scene(self, emitter: dict | None, max_depth: int, hide_light: bool) -> object:
        """A scene under one light. `hide_light`: where nothing is hit, the picture is empty."""
        parts = dict(self._meshes)
        if emitter is not None:
            parts["light"] = self._mi.load_dict(emitter)
        integrator = {
            "type": "path", "max_depth": max_depth, "hide_emitters": hide_light,
            "block_size": BLOCK_PX,
        }  # fmt: skip
        return self._mi.load_dict({"type": "scene", "integrator": integrator, **parts})

    def radiance(
        self, scene: object, pose: np.ndarray, fov_x_rad: float, size_px: int, spp: int, seed: int
    ) -> np.ndarray:
        """Linear radiance, premultiplied, and alpha [size, size, 4], float32."""
        film = self._mi.render(
            scene, sensor=self._sensor(pose, fov_x_rad, size_px), spp=spp, seed=seed
        )
        return np.array(film, np.float32)

    def first_hits(
        self, pose: np.ndarray, fov_x_rad: float, size_px: int, seed: int
    ) -> dict[str, np.ndarray]:
        """What one ray a pixel meets first, at a random place in the pixel.

        Returns:
            `position` [N, 3], `uv` [N, 2], `normal` [N, 3] (interpolated), `du` [N, 3] (tangent
            along u), `shape` [N] (index into `surfaces`, -1: nothing was hit); world space.
        """
        integrator = self._mi.load_dict({"type": "aov", "aovs": AOVS, "block_size": BLOCK_PX})
        film = self._mi.render(
            self._bare(), sensor=self._sensor(pose, fov_x_rad, size_px), spp=1, seed=seed,
            integrator=integrator,
        )  # fmt: skip
        rows = np.array(film, np.float64).reshape(size_px * size_px, -1)
        counts = np.cumsum([len(surface.triangles) for surface in self.surfaces])
        shape = np.searchsorted(counts, np.rint(rows[:, 11]).astype(np.int64), side="right")
        return {
            "position": rows[:, 0:3],
            "uv": rows[:, 3:5],
            "normal": rows[:, 5:8],
            "du": rows[:, 8:11],
            "shape": np.where(rows[:, 12] > 0, shape, -1),
        }

    def _bare(self) -> object:
        """All triangles as one mesh of no material: Mitsuba's `aov` is slow for many meshes."""
        if self._one_mesh is None:
            one = joined(self.surfaces)
            self._one_mesh = self._mi.load_dict({"type": "scene", "all": self._mesh(one, "all")})
        return self._one_mesh

    def _sensor(self, pose: np.ndarray, fov_x_rad: float, size_px: int) -> object:
        mi = self._mi
        turned = pose @ np.diag([-1.0, 1.0, -1.0, 1.0])  # Mitsuba: x left, y up, looks along +z
        return mi.load_dict(
            {
                "type": "perspective",
                "fov": math.degrees(fov_x_rad),
                "fov_axis": "x",
                "near_clip": 1e-3,
                "far_clip": 1e4,
                "to_world": mi.ScalarTransform4f(turned),
                "sampler": {"type": "independent"},
                "film": {
                    "type": "hdrfilm",
                    "width": size_px,
                    "height": size_px,
                    "pixel_format": "rgba",
                    "component_format": "float32",
                    "rfilter": {"type": "box"},
                },
            }
        )

    def _mesh(self, surface: Surface, name: str) -> object:
        mi = self._mi
        properties = mi.Properties()
        properties["mesh_bsdf"] = self._bsdf(surface)
        properties["face_normals"] = surface.normals is None
        mesh = mi.Mesh(
            name,
            len(surface.positions),
            len(surface.triangles),
            has_vertex_normals=surface.normals is not None,
            has_vertex_texcoords=surface.uv is not None,
            props=properties,
        )
        values = mi.traverse(mesh)
        values["faces"] = surface.triangles.ravel()
        values["vertex_positions"] = surface.positions.ravel()
        if surface.normals is not None:
            values["vertex_normals"] = surface.normals.ravel()
        if surface.uv is not None:
            values["vertex_texcoords"] = surface.uv.ravel()
        values.update()
        return mesh

    def _bsdf(self, surface: Surface) -> object:
        material = surface.material
        key = (id(material), surface.mirrored)
        if key not in self._materials:
            inner = self.reflection(material)
            if material.normal is not None:
                normal = tangent_normals(surface)
                inner = {"type": "normalmap", "normalmap": self.texture(normal), "bsdf": inner}
            self._materials[key] = self._mi.load_dict({"type": "twosided", "bsdf": inner})
        return self._materials[key]

    def reflection(self, material: Material) -> dict:
        """Mitsuba's description of the material, without its normal map."""
        color = self.texture(material.base_color)
        if material.lambertian:
            return {"type": "diffuse", "reflectance": color}
        return {
            "type": "principled",
            "base_color": color,
            "roughness": self.texture(material.roughness),
            "metallic": self.texture(material.metallic),
            "specular": 0.5,
        }

    def texture(self, texture: Texture) -> dict | float:
        """Mitsuba's description of a texture."""
        if texture.is_constant and texture.pixels.shape[2] == 1:
            return float(texture.pixels[0, 0, 0])
        if texture.is_constant:
            return {"type": "rgb", "value": [float(value) for value in texture.pixels[0, 0]]}
        return {
            "type": "bitmap",
            "bitmap": self._mi.Bitmap(np.ascontiguousarray(texture.pixels, np.float32)),
            "raw": True,
            "filter_type": "bilinear",
            "wrap_mode": texture.wrap,
        }


def tangent_normals(surface: Surface) -> Texture:
    """The normal map as the tracer's right-handed tangent frame needs it."""
    normal = surface.material.normal
    assert normal is not None
    if not surface.mirrored:
        return normal
    pixels = normal.pixels.copy()
    pixels[..., 1] = 1.0 - pixels[..., 1]
    return Texture(pixels, normal.wrap)
