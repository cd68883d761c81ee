"""The two questions that rays ask a mesh, whatever the machine.

Rays start at `origins` and run along unit `directions`; a triangle counts from either side, where
distance > 0 and < far, up to rounding: rays that leave a surface should start a little above it.
Rays that are not finite hit nothing. Not differentiable: visibility is taken as fixed wherever
gradients flow.
"""

import dataclasses
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

TracerName = Literal["auto", "embree", "warp", "reference"]


@dataclasses.dataclass(frozen=True)
class Hits:
    """The nearest triangle along each ray."""

    distance: Float[Tensor, " R"]
    """Along the unit direction; infinite where nothing is hit."""
    triangle: Int[Tensor, " R"]
    """Row of the mesh's faces; -1 where nothing is hit."""
    barycentrics: Float[Tensor, "R 2"]
    """Weights of the triangle's second and third corner; 0 where nothing is hit."""


@runtime_checkable
class Tracer(Protocol):
    """A mesh ready to be hit."""

    def occluded(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Bool[Tensor, " R"]:
        """Whether anything lies along each ray before `far`; None: anywhere."""
        ...

    def hit(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        far: Float[Tensor, " R"] | None = None,
    ) -> Hits:
        """The nearest triangle along each ray before `far`; None: anywhere."""
        ...
