"""What every way of lighting an asset shares: its surface drawn in a view, and the view's maps."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core import sh
from relight3d.core.color import linear_from_srgb
from relight3d.core.errors import ConfigurationError
from relight3d.core.planes import facing, plane_depth, plane_distance, splat_normals
from relight3d.core.radiance import radiance_srgb
from relight3d.core.types import Asset, Cameras, Gaussians, Materials
from relight3d.decomposition.gbuffer import Drawn, draw
from relight3d.decomposition.physics import Illumination, channels_of
from relight3d.decomposition.sides import surface_weight


@dataclasses.dataclass(frozen=True)
class Subject:
    """An asset with materials, ready to be drawn."""

    asset: Asset
    rasterize: Rasterizer
    gaussians: Gaussians
    materials: Materials
    """Those of the asset, brightened as asked."""
    in_scope: Float[Tensor, "N 1"]
    """1 for what physics explains, 0 for a scene's background, which keeps its captured look."""

    @classmethod
    def of(cls, asset: Asset, rasterize: Rasterizer) -> "Subject":
        """Raises ConfigurationError: the asset has no materials."""
        if asset.materials is None:
            raise ConfigurationError(
                "This asset has no materials yet, so it cannot be relit. Run `relight3d decompose` "
                "on the run first, or leave out the new light."
            )
        in_scope = (asset.materials.progress > 0.0).to(asset.splats.means)
        return cls(asset, rasterize, asset.splats.gaussians(), asset.materials, in_scope)

    def with_gain(self, albedo_gain: tuple[float, float, float]) -> "Subject":
        """With this factor on the asset's linear albedo, clipped to 1."""
        found = self.asset.materials
        assert found is not None
        gain = found.albedo_linear.new_tensor(albedo_gain)
        albedo = (found.albedo_linear * gain).clamp(0.0, 1.0)
        return dataclasses.replace(self, materials=dataclasses.replace(found, albedo_linear=albedo))

    def normals(self, cameras: Cameras) -> Float[Tensor, "N 3"]:
        """Of the materials, on the side that one camera looks at."""
        return facing(self.materials.normals, self.gaussians.means, cameras.centers[0])

    def draw(self, cameras: Cameras, normals: Float[Tensor, "N 3"], light: Illumination) -> Drawn:
        """All channels of one camera that shading and `maps` ask for."""
        means, center, splats = self.gaussians.means, cameras.centers[0], self.asset.splats
        planes = facing(splat_normals(splats.quats_wxyz), means, center)
        plain = {"plane_normal": planes, "plane_distance": plane_distance(planes, means, center)}
        if self.has_background:
            degree = sh.degree_of(splats.sh.shape[1])
            plain["raw"] = radiance_srgb(splats.sh[:, :1], splats.sh[:, 1:], means, center, degree)
            plain["scope"] = self.in_scope
        surface = channels_of(self.materials, normals, means, center, light)
        weight = surface_weight(self.materials, self.gaussians, center)
        return draw(self.rasterize, self.gaussians, surface, cameras, weight, plain)

    @property
    def has_background(self) -> bool:
        """Whether some of it keeps its captured look."""
        return not bool(self.in_scope.all())

    def maps(self, drawn: Drawn, radiance: Float[Tensor, "P 3"]) -> dict[str, Tensor]:
        """The maps of a view whose covered pixels have this linear radiance.

        Returns:
            'rgb' (linear, exposed), what was drawn, all premultiplied by alpha; 'depth' (camera z,
            plain) and 'alpha'.
        """
        if self.has_background:  # what physics was never asked to explain keeps its captured look
            kept = linear_from_srgb(drawn.at_covered("raw"))
            radiance = torch.lerp(kept, radiance, drawn.at_covered("scope"))
        radiance = radiance * drawn.alpha.flatten(0, 1)[drawn.covered]
        outputs = dict(drawn.maps) | {
            "rgb": drawn.spread(radiance * self.asset.exposure, drawn.alpha),
            "alpha": drawn.alpha,
        }
        del outputs["plane_normal"], outputs["plane_distance"]
        outputs["depth"] = depth_of(drawn)
        return outputs


def depth_of(drawn: Drawn) -> Float[Tensor, "H W 1"]:
    """Camera z of the blended planes; 0 where nothing was drawn."""
    plane = drawn.maps["plane_normal"], drawn.maps["plane_distance"]
    return plane_depth(*plane, drawn.rays).clamp_min(0.0) * (drawn.alpha > 0)
