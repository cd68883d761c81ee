"""What a photo shows of the splats, in so far as fitting materials and light does not change it.

Geometry and radiance field stay as fitted, and as a rule shading normals do too. So most of what a
step needs of a photo is the same whenever its turn comes, and is kept as long as there is room.
"""

import dataclasses
from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor

from relight3d.core import sh
from relight3d.core.planes import facing
from relight3d.core.radiance import radiance_srgb
from relight3d.core.types import Gaussians, Splats
from relight3d.decomposition import materials
from relight3d.decomposition.gbuffer import some_gaussians
from relight3d.decomposition.physics import mirrors
from relight3d.decomposition.sides import surface_weight
from relight3d.shading.transfer import MirrorVisibility

KEPT_BYTES = 256 << 20
"""Room for all photos together. 116 bytes a splat: 200 photos that show 11,500 splats each."""
FIXED = ("normals", "double_sided", "scope")


@dataclasses.dataclass(frozen=True)
class Shown:
    """The n splats that one photo shows, from its camera."""

    rows: Int[Tensor, " n"]
    gaussians: Gaussians
    parameters: Mapping[str, Float[Tensor, "n _"]]
    """Those of `FIXED`."""
    normals: Float[Tensor, "n 3"]
    """Unit shading normals, turned to the camera."""
    weight: Float[Tensor, "n 1"]
    """See `sides.surface_weight`."""
    mirror: MirrorVisibility
    raw: Float[Tensor, "n 3"]
    """The radiance field's display-referred colour."""

    def size_bytes(self) -> int:
        """Memory that keeping this takes."""
        tensors = [self.normals, self.weight, self.raw, *self.parameters.values()]
        tensors += [*vars(self.gaussians).values(), *vars(self.mirror).values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def show(
    rows: Int[Tensor, " n"],
    center: Float[Tensor, "3"],
    splats: Splats,
    gaussians: Gaussians,
    parameters: Mapping[str, Tensor],
    occlusion_sh: Float[Tensor, "N 9"],
) -> Shown:
    """Some of the splats as a camera at `center` sees them. Differentiable in the normals.

    Args:
        rows: Which.
        center: Where the camera is.
        splats: All.
        gaussians: Their shapes.
        parameters: All of the decomposition's.
        occlusion_sh: Visibility of the sky, of all splats.
    """
    chosen, known = some_gaussians(gaussians, rows), materials.some(parameters, rows)
    found = materials.activate(known)
    normals = facing(found.normals, chosen.means, center)
    coefficients = splats.sh.index_select(0, rows)
    return Shown(
        rows=rows,
        gaussians=chosen,
        parameters={name: known[name] for name in FIXED},
        normals=normals,
        weight=surface_weight(found, chosen, center),
        mirror=mirrors(occlusion_sh.index_select(0, rows), normals, chosen.means, center),
        raw=radiance_srgb(
            coefficients[:, :1], coefficients[:, 1:], chosen.means, center,
            sh.degree_of(coefficients.shape[1]),
        ),
    )  # fmt: skip
