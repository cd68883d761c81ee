"""Mitsuba's side: glTF's BRDF, our lookup of environment maps, and radiance ray by ray."""

from pathlib import Path
from typing import Any

import numpy as np
from capture_maker.lights import environment_emitter
from capture_maker.surfaces import Material
from capture_maker.tracer import Tracer

from relight3d.files.environment import read_environment
from transport_check.gltf_bsdf import register


class GltfTracer(Tracer):
    """The surfaces with glTF's BRDF."""

    def reflection(self, material: Material) -> dict:
        """See `Tracer.reflection`."""
        if material.lambertian:
            return super().reflection(material)
        return {
            "type": register(self._mi),
            "base_color": self.texture(material.base_color),
            "roughness": self.texture(material.roughness),
            "metallic": self.texture(material.metallic),
        }

    def rays(
        self, scene: Any, origins: np.ndarray, directions: np.ndarray, spp: int, seed: int
    ) -> np.ndarray:
        """Mean radiance [R, 3] that the scene's integrator finds along each ray [R, 3]."""
        mi = self._mi
        integrator, sampler = scene.integrator(), mi.load_dict({"type": "independent"})
        sampler.seed(seed, 1)
        found = np.zeros((len(origins), 3))
        for row, (origin, direction) in enumerate(zip(origins, directions, strict=True)):
            ray = mi.RayDifferential3f(mi.Point3f(*origin), mi.Vector3f(*direction))
            if not scene.ray_test(ray):
                continue
            for _ in range(spp):
                found[row] += np.array(integrator.sample(scene, sampler, ray)[0])
        return found / spp


class OwnLobeTracer(GltfTracer):
    """Metals as bright as white with Mitsuba's own lobe."""

    def reflection(self, material: Material) -> dict:
        """See `Tracer.reflection`."""
        rough = float(material.roughness.pixels[0, 0, 0])
        return {"type": "roughconductor", "material": "none", "distribution": "ggx",
                "alpha": rough**2}  # fmt: skip


def exact_emitter(path: Path) -> dict:
    """A map as `shading.latlong.lookup` reads it.

    Mitsuba puts the first and last row at the poles themselves, where ours have their upper and
    lower edge there. So it is given rows at every half of ours: those at our centres, which are
    kept, and those between, which are their means; the bilinear map is the same.
    """
    import mitsuba as mi

    rows = read_environment(path).radiance_linear.numpy()
    finer = np.empty((2 * len(rows) + 1, *rows.shape[1:]), np.float32)
    finer[1::2] = rows
    finer[2:-1:2] = 0.5 * (rows[1:] + rows[:-1])
    finer[0], finer[-1] = rows[0], rows[-1]
    return environment_emitter(path, 0.0) | {"bitmap": mi.Bitmap(finer)}
