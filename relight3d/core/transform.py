"""Move splats, materials and lights by a similarity: places, sizes, orientations, SH, normals."""

import dataclasses

import numpy as np
import torch

from relight3d.core.rotation import multiply_quaternions, quaternion_from_matrix
from relight3d.core.sh import rotate_sh
from relight3d.core.types import Materials, PointLight, Splats
from relight3d.core.views import Similarity


def transform_splats(splats: Splats, to_from: Similarity) -> Splats:
    """The same splats seen from another frame; their look is unchanged. Differentiable.

    Args:
        splats: In the frame `to_from` maps from.
        to_from: x_to = scale * rotation @ x_from + translation. Undoing a capture's normalisation
            takes `capture_from_source.inverse()`.
    """
    rotation = torch.from_numpy(to_from.rotation).to(splats.means.device, torch.float64)
    translation = torch.from_numpy(to_from.translation).to(splats.means.device, torch.float64)
    means = to_from.scale * (splats.means.double() @ rotation.T) + translation
    turn = quaternion_from_matrix(rotation).to(splats.quats_wxyz)
    return dataclasses.replace(
        splats,
        means=means.to(splats.means),
        quats_wxyz=multiply_quaternions(turn.expand_as(splats.quats_wxyz), splats.quats_wxyz),
        log_scales=splats.log_scales + float(torch.tensor(to_from.scale).log()),
        sh=rotate_sh(splats.sh, rotation),
    )


def transform_materials(materials: Materials, to_from: Similarity) -> Materials:
    """The same materials seen from another frame: normals turn. Differentiable."""
    rotation = torch.from_numpy(to_from.rotation).to(materials.normals)
    return dataclasses.replace(materials, normals=materials.normals @ rotation.T)


def transform_point_light(light: PointLight, to_from: Similarity) -> PointLight:
    """The same light in another frame.

    I / d^2 must stay the same, so the intensity grows with the square of the scale.
    """
    x, y, z = to_from.apply(np.array([light.position]))[0].tolist()
    r, g, b = (to_from.scale**2 * value for value in light.intensity_linear)
    return PointLight((x, y, z), (r, g, b))
