"""glTF 2.0's metallic-roughness BRDF as a plugin of Mitsuba, ray by ray in plain Python.

Mitsuba's own `principled` shadows by another formula and has another diffuse part, so means that
differ would say nothing. This one follows the specification's appendix B.3 and shares no code with
`relight3d.shading`. Slow: it is asked some thousand times a second.
"""

import math
from types import ModuleType
from typing import Any

PLUGIN = "gltf_metallic_roughness"
_registered: set[str] = set()


def register(mi: ModuleType) -> str:
    """Make the plugin known to the chosen scalar variant; its name."""
    if mi.variant() not in _registered:
        mi.register_bsdf(PLUGIN, _bsdf_class(mi))
        _registered.add(mi.variant())
    return PLUGIN


def reflectance(
    view: tuple, light: tuple, albedo: list[float], roughness: float, metallic: float
) -> list[float]:
    """BRDF times n.l by channel; unit vectors in a frame whose z is the normal, both above."""
    half = [a + b for a, b in zip(view, light, strict=True)]
    length = math.sqrt(sum(h * h for h in half))
    n_dot_h, v_dot_h = (
        half[2] / length,
        sum(a * b for a, b in zip(view, half, strict=True)) / length,
    )
    alpha2 = roughness**4
    density = alpha2 / (math.pi * (n_dot_h * n_dot_h * (alpha2 - 1.0) + 1.0) ** 2)
    behind_l = light[2] * math.sqrt(view[2] ** 2 * (1.0 - alpha2) + alpha2)
    behind_v = view[2] * math.sqrt(light[2] ** 2 * (1.0 - alpha2) + alpha2)
    lobe = density * 0.5 / (behind_l + behind_v)
    weight = (1.0 - v_dot_h) ** 5
    found = []
    for base in albedo:
        f0 = 0.04 * (1.0 - metallic) + base * metallic
        fresnel = f0 + (1.0 - f0) * weight
        diffuse = (1.0 - fresnel) * base * (1.0 - metallic) / math.pi
        found.append((diffuse + fresnel * lobe) * light[2])
    return found


def density(view: tuple, light: tuple, roughness: float) -> float:
    """Of `draw`: half by the cosine, half by the normals of microfacets (not only visible ones)."""
    half = [a + b for a, b in zip(view, light, strict=True)]
    length = math.sqrt(sum(h * h for h in half)) or 1.0
    n_dot_h, v_dot_h = (
        half[2] / length,
        sum(a * b for a, b in zip(view, half, strict=True)) / length,
    )
    alpha2 = roughness**4
    normals = alpha2 / (math.pi * (n_dot_h * n_dot_h * (alpha2 - 1.0) + 1.0) ** 2)
    return 0.5 * light[2] / math.pi + 0.5 * normals * n_dot_h / (4.0 * max(v_dot_h, 1e-6))


def draw(view: tuple, roughness: float, which: float, u: float, v: float) -> tuple:
    """A direction toward the light, which may lie below."""
    azimuth = 2.0 * math.pi * u
    if which < 0.5:
        radius = math.sqrt(v)
        return radius * math.cos(azimuth), radius * math.sin(azimuth), math.sqrt(1.0 - v)
    z = math.sqrt((1.0 - v) / (1.0 + (roughness**4 - 1.0) * v))
    radius = math.sqrt(max(0.0, 1.0 - z * z))
    half = radius * math.cos(azimuth), radius * math.sin(azimuth), z
    twice = 2.0 * sum(a * b for a, b in zip(view, half, strict=True))
    x, y, z = (twice * h - a for a, h in zip(view, half, strict=True))
    return x, y, z


def _bsdf_class(mi: ModuleType) -> Any:
    class MetallicRoughness(mi.BSDF):
        """One-sided; parameters are textures or numbers, as of `principled`."""

        def __init__(self, properties: Any) -> None:
            mi.BSDF.__init__(self, properties)
            names = ("base_color", "roughness", "metallic")
            self.textures = [properties.get_texture(name) for name in names]
            parts = (mi.BSDFFlags.DiffuseReflection, mi.BSDFFlags.GlossyReflection)
            self.m_components = [part | mi.BSDFFlags.FrontSide for part in parts]
            self.m_flags = self.m_components[0] | self.m_components[1]

        def _material(self, si: Any) -> tuple[list[float], float, float]:
            color, roughness, metallic = self.textures
            return list(color.eval(si)), roughness.eval_1(si), metallic.eval_1(si)

        def sample(self, ctx: Any, si: Any, sample1: float, sample2: Any, active: bool = True):
            found, view = mi.BSDFSample3f(), tuple(si.wi)
            if view[2] <= 0.0:
                return found, mi.Color3f(0.0)
            albedo, roughness, metallic = self._material(si)
            light = draw(view, roughness, sample1, *sample2)
            if light[2] <= 0.0:
                return found, mi.Color3f(0.0)
            found.wo, found.eta = mi.Vector3f(*light), 1.0
            found.pdf = density(view, light, roughness)
            found.sampled_type = +mi.BSDFFlags.GlossyReflection
            found.sampled_component = 1
            value = reflectance(view, light, albedo, roughness, metallic)
            return found, mi.Color3f(*(channel / found.pdf for channel in value))

        def eval(self, ctx: Any, si: Any, wo: Any, active: bool = True):
            view, light = tuple(si.wi), tuple(wo)
            if view[2] <= 0.0 or light[2] <= 0.0:
                return mi.Color3f(0.0)
            return mi.Color3f(*reflectance(view, light, *self._material(si)))

        def pdf(self, ctx: Any, si: Any, wo: Any, active: bool = True):
            view, light = tuple(si.wi), tuple(wo)
            if view[2] <= 0.0 or light[2] <= 0.0:
                return 0.0
            return density(view, light, self._material(si)[1])

        def eval_pdf(self, ctx: Any, si: Any, wo: Any, active: bool = True):
            return self.eval(ctx, si, wo, active), self.pdf(ctx, si, wo, active)

        def to_string(self) -> str:
            return "MetallicRoughness[]"

    return MetallicRoughness
