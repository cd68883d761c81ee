"""Ground truth as the scores compare it: the one place that knows how its files are meant."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float

from relight3d.core.color import linear_from_srgb, srgb_from_linear
from relight3d.core.types import EnvironmentLight
from relight3d.core.views import Capture, View
from relight3d.evaluation.metrics import Picture
from relight3d.files.environment import read_environment
from relight3d.files.images import Image, read_image, read_mask
from relight3d.files.reading import read_array
from relight3d.shading.latlong import reoriented


def coverage_of(view: View, image: Image) -> Float[np.ndarray, "H W 1"] | None:
    """Mask of a photo: its file, else its alpha, else none."""
    if view.mask_path is not None:
        return read_mask(view.mask_path, (view.width_px, view.height_px), view.mask_below)
    return image.alpha


def true_map(view: View, what: str) -> tuple[Image, Float[np.ndarray, "H W 1"]]:
    """A true map and where it shows the object: its own alpha, else the photo's mask, else all.

    Albedo comes in the colour space that its values are in; normals as 0.5 n + 0.5 in the world.
    """
    if what == "normal" and "normal" not in view.truth:
        image = _from_camera_normals(view)
    else:
        image = read_image(view.truth[what])
    if what == "albedo" and image.bits != 32:
        image = dataclasses.replace(image, color_space=view.albedo_space)
    coverage = image.alpha
    if coverage is None:
        coverage = coverage_of(view, read_image(view.image_path))
    return image, np.ones_like(image.pixels[..., :1]) if coverage is None else coverage


def true_environment(capture: Capture, name: str) -> EnvironmentLight:
    """One of the capture's maps, turned into the capture's frame."""
    light = read_environment(capture.environments[name])
    turn = capture.environment_turns.get(name)
    if turn is None:
        return light
    return EnvironmentLight(reoriented(light.radiance_linear, torch.from_numpy(turn)))


def _from_camera_normals(view: View) -> Image:
    """World normals of a .npy in OpenGL camera axes (x right, y up, z to the viewer)."""
    normals = read_array(view.truth["camera_normal"], "The normal map").astype(np.float32)
    to_world = view.world_to_camera[:3, :3].T @ np.diag([1.0, -1.0, -1.0])
    world = normals @ to_world.T.astype(np.float32)
    return Image(0.5 * world + 0.5, None, "srgb", 32)


def decode_srgb(values: Picture) -> Picture:
    """Linear values of sRGB-encoded ones."""
    return linear_from_srgb(torch.from_numpy(values)).numpy()


def encode_srgb(linear: Picture) -> Picture:
    """sRGB-encoded values of linear ones; not clipped above 1."""
    return srgb_from_linear(torch.from_numpy(linear)).numpy()
