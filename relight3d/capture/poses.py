"""Camera poses at the door: OpenGL camera-to-world in, OpenCV world-to-camera out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from relight3d.core.conventions import OPENCV_FROM_OPENGL
from relight3d.core.errors import CaptureError
from relight3d.core.views import View

ORTHONORMAL_TOLERANCE = 1e-3
MAX_COORDINATE = 1e12


def from_opengl(matrix: object, where: str) -> Float[np.ndarray, "4 4"]:
    """World-to-camera (OpenCV) from an untrusted camera-to-world (OpenGL) matrix.

    Args:
        matrix: 3 x 4 or 4 x 4 nested lists, or an array.
        where: File and frame, for the message.

    Raises:
        CaptureError: Wrong shape, not numbers, NaN, or a rotation part that is not orthonormal
            within 1e-3 (smaller deviations are mended) or mirrors.
    """
    rigid = checked_rigid(matrix, where)
    return OPENCV_FROM_OPENGL @ inverse_rigid(rigid)


def to_opengl(world_to_camera: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Camera-to-world (OpenGL) from world-to-camera (OpenCV)."""
    return inverse_rigid(world_to_camera) @ OPENCV_FROM_OPENGL


def inverse_rigid(pose: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Inverse of a rotation with a translation."""
    result = np.eye(4)
    result[:3, :3] = pose[:3, :3].T
    result[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return result


def checked_rigid(matrix: object, where: str) -> Float[np.ndarray, "4 4"]:
    """A 4 x 4 rotation with translation, or a message naming `where`."""
    advice = "Mend or remove the frame, or pose the photos anew."
    try:
        pose = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CaptureError(
            f"{where}: the pose is not a 4 x 4 matrix of numbers. {advice}"
        ) from error
    if pose.shape == (3, 4):
        pose = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])
    if pose.shape != (4, 4):
        raise CaptureError(
            f"{where}: the pose has the shape {pose.shape}, a 4 x 4 matrix is needed. {advice}"
        )
    if not np.isfinite(pose).all():
        raise CaptureError(f"{where}: the pose holds NaN or infinity. {advice}")
    if np.abs(pose).max() > MAX_COORDINATE:
        raise CaptureError(f"{where}: the pose lies {np.abs(pose).max():.3g} units away. {advice}")
    if np.abs(pose[3] - [0, 0, 0, 1]).max() > ORTHONORMAL_TOLERANCE:
        raise CaptureError(f"{where}: the last row of the pose is not 0 0 0 1. {advice}")
    rotation = pose[:3, :3]
    deviation = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if deviation > ORTHONORMAL_TOLERANCE:
        raise CaptureError(
            f"{where}: the rotation part of the pose is not orthonormal (off by {deviation:.3g}, "
            f"{ORTHONORMAL_TOLERANCE} is tolerated), so the camera would shear the world. {advice}"
        )
    if np.linalg.det(rotation) < 0:
        raise CaptureError(f"{where}: the pose mirrors (its determinant is -1). {advice}")
    u, _, vt = np.linalg.svd(rotation)
    rigid = np.eye(4)
    rigid[:3, :3] = u @ vt
    rigid[:3, 3] = pose[:3, 3]
    return rigid


def centers_of(views: Sequence[View]) -> Float[np.ndarray, "n 3"]:
    """Camera positions in the world."""
    poses = np.stack([view.world_to_camera for view in views])
    return -np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3])
