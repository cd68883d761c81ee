"""Where physics may explain the picture: all of an object, the middle of an unbounded scene."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import Gaussians
from relight3d.decomposition.gbuffer import some_gaussians
from relight3d.shading.visibility import Sphere


@dataclasses.dataclass(frozen=True)
class Scope:
    """A sphere; what lies outside stays a radiance field (progress 0) and casts no shadows."""

    sphere: Sphere | None

    @classmethod
    def everything(cls) -> "Scope":
        """No limit: a masked object."""
        return cls(None)

    def contains(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 1"]:
        """1 inside, 0 outside."""
        if self.sphere is None:
            return torch.ones_like(points[:, :1])
        inside = (points - self.sphere.center).norm(dim=-1, keepdim=True) <= self.sphere.radius
        return inside.to(points)


def within(gaussians: Gaussians, sphere: Sphere | None) -> Gaussians:
    """The Gaussians whose centres a sphere contains: what may cast shadows; None: all of them."""
    if sphere is None:
        return gaussians
    inside = Scope(sphere).contains(gaussians.means)[:, 0] > 0
    return some_gaussians(gaussians, inside.nonzero()[:, 0])
