"""Move splats and materials by a similarity: positions, sizes, orientations, SH and normals."""

import dataclasses

import torch

from relight3d.core.rotation import multiply_quaternions, quaternion_from_matrix
from relight3d.core.sh import rotate_sh
from relight3d.core.types import Materials, Splats
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
