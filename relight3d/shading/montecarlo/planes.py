"""Three-vectors whose coordinates lie apart in memory, as vector code wants them."""

import torch
from jaxtyping import Float
from torch import Tensor

TINY = 1e-20
"""Squared lengths are kept this far from 0 where they divide."""


def stack_planes(
    x: Float[Tensor, "*batch"], y: Float[Tensor, "*batch"], z: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3"]:
    """Vectors from their coordinates, each coordinate contiguous."""
    return torch.stack((x, y, z)).movedim(0, -1)


def in_planes(vectors: Float[Tensor, "*batch ch"]) -> Float[Tensor, "*batch ch"]:
    """The same vectors, each coordinate contiguous."""
    return vectors.movedim(-1, 0).contiguous().movedim(0, -1)


def dot(a: Float[Tensor, "*#batch 3"], b: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch"]:
    """Products of vectors, without a temporary of three channels. Differentiable."""
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.addcmul(torch.addcmul(ax * bx, ay, by), az, bz)


def unit(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Vectors over their length; 0 stays 0. Differentiable."""
    return vectors * dot(vectors, vectors).clamp_min(TINY).rsqrt()[..., None]
