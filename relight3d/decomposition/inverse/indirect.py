"""What surfaces send on while fitting: as the radiance field shows it, or as materials would."""

from collections.abc import Sequence
from math import pi

import torch

from relight3d.backends.tracing.interface import Tracer
from relight3d.core.surface import Proxy
from relight3d.core.types import Materials, PointLight
from relight3d.decomposition.proxy.vertex_weights import VertexWeights
from relight3d.shading.montecarlo.lights import Light
from relight3d.shading.radiosity import (
    SurfaceGlow,
    SurfaceLinks,
    lamp_irradiance,
    link,
    whole_reflectance,
)

LINKS = 32
"""Rays a vertex: what they find is averaged over many hits, and asked at every step."""


class SurfaceLight:
    """The light that the proxy's vertices send out under a photo's light.

    Under one light for all photos, the fitted radiance field knows it where photos saw the surface.
    Elsewhere, and under several lights, of which the field is a mixture, it is what the present
    materials reflect of the light that falls on them directly.
    """

    def __init__(
        self,
        proxy: Proxy,
        weights: VertexWeights,
        tracer: Tracer,
        generator: torch.Generator,
        *,
        trust_field: bool,
        seen_views: int,
    ) -> None:
        """Trace what the vertices see that must be lit.

        Args:
            proxy: With the field's radiance at its vertices.
            weights: Of the splats at its vertices.
            tracer: Of its mesh.
            generator: Of the traced directions.
            trust_field: Whether the field shows the only light there is.
            seen_views: By how many photos a vertex must be seen for the field to be believed.
        """
        self.proxy, self._tracer = proxy, tracer
        believed = torch.zeros_like(proxy.views)
        if trust_field:
            believed = (proxy.views / max(1, seen_views)).clamp(0.0, 1.0)
        self._believed = believed
        self._lit = (believed[:, 0] < 1.0).nonzero()[:, 0]
        self._rows = VertexWeights(weights.indices[self._lit], weights.weights[self._lit])
        self._links: SurfaceLinks | None = None
        if len(self._lit):
            self._links = link(proxy, tracer.hit, generator, LINKS, self._lit)

    @torch.no_grad()
    def __call__(
        self, materials: Materials, light: Light | None, lamps: Sequence[PointLight]
    ) -> SurfaceGlow:
        """The surface as rays see it. Not differentiable: light that surfaces send is a given."""
        leaving = self.proxy.radiance_linear
        if self._links is not None:
            irradiance = lamp_irradiance(self._links, lamps, self._tracer.occluded)
            if light is not None:
                irradiance = irradiance + self._links.sky(light)
            reflected = self._rows.gather(whole_reflectance(materials)) * irradiance / pi
            share = self._believed[self._lit]
            mixed = torch.lerp(reflected, leaving[self._lit], share)
            leaving = leaving.index_copy(0, self._lit, mixed)
        return SurfaceGlow(self.proxy, self._tracer.hit, leaving)
