"""A floor that is not there: it catches the shadow and the reflection of what stands on it.

What is returned lies over any backdrop: black where light is missing, the object's own colour where
a polished floor would mirror it. A backdrop of radiance B becomes (1 - alpha) B + colour.
"""

import dataclasses
from collections.abc import Sequence
from math import isfinite

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relight3d.core.color import luminance
from relight3d.core.conventions import DIELECTRIC_F0
from relight3d.core.errors import ConfigurationError
from relight3d.shading.brdf import MIN_COSINE, schlick_weight, smith_visibility
from relight3d.shading.denoise import Guides, denoise
from relight3d.shading.montecarlo.delta import DeltaLight, delta_light
from relight3d.shading.montecarlo.estimator import (
    Bounce,
    Occluded,
    SampleCounts,
    SurfacePoints,
    draw_rays,
)
from relight3d.shading.montecarlo.lights import Light
from relight3d.shading.montecarlo.planes import dot, unit
from relight3d.shading.montecarlo.samplers import sample_ggx
from relight3d.shading.montecarlo.sequence import rotated_points

FADE = (6.0, 10.0)
"""Radii of the object around it between which the floor fades out: it has no visible end."""


@dataclasses.dataclass(frozen=True)
class Floor:
    """A level plane."""

    height: float
    """z, world units."""
    center: tuple[float, float]
    """x and y of what stands on it."""
    radius: float
    """Of what stands on it, world units."""
    roughness: float = 0.25
    """Perceptual, of its reflections."""
    reflectance: float = DIELECTRIC_F0
    """Of its reflections seen from above; 0: none at any angle, only shadows."""

    def __post_init__(self) -> None:
        """Refuse what is no plane."""
        numbers = (self.height, *self.center, self.radius, self.roughness, self.reflectance)
        inside = 0.0 <= self.roughness <= 1.0 and 0.0 <= self.reflectance <= 1.0
        if not all(map(isfinite, numbers)) or self.radius <= 0.0 or not inside:
            raise ConfigurationError(
                "A floor needs a finite height and place, a radius > 0, and roughness and "
                f"reflectance in [0, 1], got {self}."
            )


@dataclasses.dataclass(frozen=True)
class FloorPixels:
    """The pixels whose rays meet the floor from above."""

    index: Int[Tensor, " P"]
    """Flat, into the picture."""
    points: SurfacePoints
    depth: Float[Tensor, "P 1"]
    """Along the rays as they were given."""
    strength: Float[Tensor, "P 1"]
    """1 near the object, 0 where the floor has faded out."""

    def image(
        self, values: Float[Tensor, "P ch"], like: Float[Tensor, "H W _"]
    ) -> Float[Tensor, "H W ch"]:
        """Values at these pixels of a picture that is 0 elsewhere."""
        height, width = like.shape[:2]
        flat = values.new_zeros(height * width, values.shape[-1])
        return flat.index_copy(0, self.index, values).view(height, width, -1)


@dataclasses.dataclass(frozen=True)
class Caught:
    """What P points of the floor catch."""

    distant: Float[Tensor, "P 3"]
    """Of the irradiance of distant light, the share that arrives past the object, by samples."""
    from_distant: Float[Tensor, "P 3"]
    """That irradiance without the object: the same everywhere, but for its samples' noise."""
    lamps: Float[Tensor, "P 3"]
    """Irradiance of the lamps that arrives past the object, exactly."""
    from_lamps: Float[Tensor, "P 3"]
    """That without the object."""
    mirrored: Float[Tensor, "P 3"]
    """Radiance of the object in the floor."""
    hidden: Float[Tensor, "P 1"]
    """Share of the backdrop that the mirrored object hides, in [0, 1]."""

    @classmethod
    def joined(cls, parts: Sequence["Caught"]) -> "Caught":
        """Of all parts' points."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    @property
    def light(self) -> Float[Tensor, "P 3"]:
        """Irradiance with the object over that without, per channel; 1 where none is in the way."""
        whole = self.from_distant.mean(0)
        without = whole + self.from_lamps
        ratio = (self.distant * whole + self.lamps) / without.clamp_min(1e-20)
        return torch.where(without > 0.0, ratio, 1.0)

    def filtered(self, pixels: FloorPixels, rays: Float[Tensor, "H W 3"]) -> "Caught":
        """Without the noise of its samples; the pixels and rays of `floor_pixels`."""
        one = torch.ones_like(pixels.depth)
        normal, depth, seen = (
            pixels.image(values, rays) for values in (pixels.points.normal, pixels.depth, one)
        )
        surface, clean = Guides(normal, depth, rays, seen), {}
        for name in ("distant", "mirrored", "hidden"):  # lamps have no noise: their edges are kept
            values = vars(self)[name]
            picture = pixels.image(values.expand(-1, 3), rays)
            found = denoise(picture, surface).flatten(0, 1)[pixels.index]
            clean[name] = found[:, : values.shape[1]]
        return dataclasses.replace(self, **clean)

    def layer(self, strength: Float[Tensor, "P 1"]) -> Float[Tensor, "P 4"]:
        """Premultiplied linear RGBA.

        A shadow's colour is lost, as no backdrop is known: its alpha is the loss of luminance.
        """
        kept = luminance(self.light)[:, None].clamp(0.0, 1.0) * (1.0 - self.hidden)
        return strength * torch.cat([self.mirrored, 1.0 - kept], -1)


@torch.no_grad()
def floor_pixels(
    floor: Floor,
    center: Float[Tensor, "3"],
    rays: Float[Tensor, "H W 3"],
    wanted: Bool[Tensor, "H W"],
) -> FloorPixels:
    """Where the camera sees the floor; nothing if it looks from below.

    Args:
        floor: The plane.
        center: Of the camera.
        rays: Of any length.
        wanted: Pixels that show it at all: those the object does not fill.
    """
    away = float(center[2]) - floor.height
    slope = rays[..., 2]
    down = wanted & (slope < -1e-6) & (away > 0.0)
    index = down.flatten().nonzero()[:, 0]
    chosen = rays.flatten(0, 1)[index]
    depth = -away / chosen[:, 2:]
    position = center + depth * chosen
    middle = position.new_tensor(floor.center)
    distance = (position[:, :2] - middle).norm(dim=-1, keepdim=True) / floor.radius
    strength = ((FADE[1] - distance) / (FADE[1] - FADE[0])).clamp(0.0, 1.0)
    near = (strength[:, 0] > 0.0).nonzero()[:, 0]
    index, position, depth = index[near], position[near], depth[near]
    up = position.new_tensor([0.0, 0.0, 1.0]).expand_as(position)
    one = torch.ones_like(depth)
    points = SurfacePoints(
        position=position,
        normal=up,
        geometric_normal=up,
        view=-unit(chosen[near]),
        albedo=torch.ones_like(position),
        roughness=floor.roughness * one,
        metallic=0.0 * one,
    )
    return FloorPixels(index, points, depth, strength[near])


@torch.no_grad()
def catch(
    floor: Floor,
    points: SurfacePoints,
    light: Light | None,
    lamps: Sequence[DeltaLight],
    occluded: Occluded,
    bounce: Bounce | None,
    spp: int,
    generator: torch.Generator,
    lift: float,
) -> Caught:
    """Shadow and reflection at points of the floor.

    Light with and without the object is summed over the same rays, so that their ratio has no noise
    where nothing is in the way.

    Args:
        floor: The plane the points are on.
        points: Of `floor_pixels`.
        light: Distant light; None: there is none.
        lamps: Lights without extent.
        occluded: Of a tracer.
        bounce: Radiance of the object along rays that hit it; None: it is black, and not mirrored.
        spp: Rays a point toward the light, and half as many for the reflection.
        generator: Of the random numbers.
        lift: How far above the floor rays start, world units.
    """
    origins = points.position + lift * points.geometric_normal
    without, lost, lit, from_lamps = (torch.zeros_like(points.position) for _ in range(4))
    if light is not None:
        shares = SampleCounts(cosine=spp - spp // 2, ggx=0, light=spp // 2)
        rays = draw_rays(points, light, shares, generator)
        weight = torch.where(rays.useful, rays.directions[..., 2] / rays.density, 0.0)[..., None]
        free = weight * light.radiance(rays.directions)
        without = free.sum(1)
        blocked, start = _blocked(origins, rays.directions, rays.useful, occluded)
        instead = torch.zeros_like(free)
        if bounce is not None:
            instead[blocked] = weight[blocked] * bounce(start, rays.directions[blocked])
        lost = torch.where(blocked[..., None], free - instead, 0.0).sum(1)
    for lamp in lamps:
        arrival = delta_light(points.position, lamp)
        toward, far = arrival.direction.contiguous(), arrival.distance.contiguous()
        facing = arrival.irradiance * toward[:, 2:].clamp_min(0.0)
        from_lamps = from_lamps + facing
        lit = lit + facing * ~occluded(origins, toward, far)[:, None]
    share = 1.0 - torch.where(without > 0.0, lost / without.clamp_min(1e-20), 0.0)
    mirrored, hidden = _mirrored(floor, points, origins, occluded, bounce, spp, generator)
    return Caught(share.clamp_min(0.0), without, lit, from_lamps, mirrored, hidden)


def _mirrored(
    floor: Floor,
    points: SurfacePoints,
    origins: Float[Tensor, "P 3"],
    occluded: Occluded,
    bounce: Bounce | None,
    spp: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 1"]]:
    """(radiance of the object in the floor, share of the backdrop it hides)."""
    mirrored, hidden = torch.zeros_like(origins), torch.zeros_like(origins[:, :1])
    if bounce is None or floor.reflectance == 0.0 or not len(origins):
        return mirrored, hidden
    count = max(1, spp // 2)
    u = rotated_points(len(origins), count, generator, 2, origins.device, origins.dtype)
    view, normal = points.view[:, None], points.normal[:, None]
    directions = sample_ggx(u, normal, view, points.roughness[:, None])
    n_dot_l, n_dot_v = directions[..., 2], view[..., 2].clamp_min(MIN_COSINE)
    fresnel = floor.reflectance + (1.0 - floor.reflectance) * schlick_weight(
        dot(view, unit(view + directions)).clamp(0.0, 1.0)
    )
    # Visible normals: BRDF x cosine / density = F G2 / G1.
    alpha2 = points.roughness.clamp_min(0.04) ** 4
    bright = n_dot_l.clamp_min(MIN_COSINE)
    g1 = 1.0 / (n_dot_v + torch.sqrt(n_dot_v * n_dot_v * (1.0 - alpha2) + alpha2))
    g2 = 2.0 * bright * smith_visibility(bright, n_dot_v, points.roughness.clamp_min(0.04))
    share = fresnel * (g2 / g1).clamp_max(1.0) / count
    blocked, start = _blocked(origins, directions, n_dot_l > 0.0, occluded)
    radiance = torch.zeros_like(directions)
    radiance[blocked] = share[blocked][:, None] * bounce(start, directions[blocked])
    hidden = (share * blocked).sum(1)[:, None].clamp(0.0, 1.0)
    return radiance.sum(1), hidden


def _blocked(
    origins: Float[Tensor, "P 3"],
    directions: Float[Tensor, "P S 3"],
    useful: Bool[Tensor, "P S"],
    occluded: Occluded,
) -> tuple[Bool[Tensor, "P S"], Float[Tensor, "B 3"]]:
    """Which useful rays hit the object, and where those start."""
    starts = origins[:, None].expand_as(directions)
    blocked = useful.clone()
    blocked[useful] = occluded(starts[useful].contiguous(), directions[useful].contiguous())
    return blocked, starts[blocked]
