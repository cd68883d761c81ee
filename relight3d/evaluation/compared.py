"""A frame and its truth made comparable as a protocol says: space, background, mask, size.

Where a protocol cuts predictions out with the true mask, as IRGS, R3DG and SVG-IR do, the smaller
of both coverages counts: outlines too wide are forgiven, holes are not. (Their code multiplies the
two, which also darkens the outline twice, so that even the truth would not be perfect.)
"""

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float

from relight3d.core.views import ColorSpace
from relight3d.evaluation.metrics import Picture
from relight3d.evaluation.protocol import Protocol
from relight3d.evaluation.truth import decode_srgb, encode_srgb
from relight3d.files.images import Image

Alpha = Float[np.ndarray, "H W 1"]
_BACKGROUND = {"white": 1.0, "black": 0.0, "none": 0.0}


@dataclasses.dataclass(frozen=True)
class Pair:
    """One frame and its truth at one size, unblended."""

    ours: Image
    truth: Image
    coverage: Alpha | None
    """Where the truth shows the object; None: a whole picture."""

    def foreground(self, protocol: Protocol) -> Bool[np.ndarray, "H W"]:
        """Pixels that show the object, and not its edge if the protocol erodes."""
        return self.mask(protocol)[..., 0] >= 0.5

    def mask(self, protocol: Protocol) -> Alpha:
        """What cuts out the truth."""
        height, width = self.truth.pixels.shape[:2]
        if self.coverage is None:
            return np.ones((height, width, 1), np.float32)
        if not protocol.erode_px:
            return self.coverage
        inside = torch.from_numpy((self.coverage[..., 0] >= 0.5).astype(np.float32))[None]
        width = protocol.erode_px
        shrunk = -torch.nn.functional.max_pool2d(-inside, width, 1, width // 2)
        return shrunk[0, ..., None].numpy()

    def own_mask(self, protocol: Protocol) -> Alpha:
        """What cuts out the prediction."""
        own = self.ours.alpha
        if own is None:  # it was blended by its maker
            own = np.ones_like(self.truth.pixels[..., :1])
        if protocol.cut_by == "own alpha" or self.coverage is None:
            return own
        return np.minimum(own, self.mask(protocol))

    def blended(
        self, protocol: Protocol, space: ColorSpace = "srgb", clip: float = 1.0
    ) -> tuple[Picture, Picture]:
        """Prediction and truth on the protocol's background; a whole picture needs none."""
        background = _BACKGROUND[protocol.background] if self.coverage is not None else 0.0
        ours = np.minimum(in_space(self.ours, space), clip)
        truth = np.minimum(in_space(self.truth, space), clip)
        own, mask = self.own_mask(protocol), self.mask(protocol)
        return (
            (ours * own + (1.0 - own) * background).astype(np.float32),
            (truth * mask + (1.0 - mask) * background).astype(np.float32),
        )

    def scaled(self, gain: np.ndarray, space: ColorSpace) -> "Pair":
        """The frame times a factor per channel, in linear or in stored sRGB values."""
        if (gain == 1.0).all():
            return self  # a round trip through the other space would cost the last bit
        values = (in_space(self.ours, space) * gain).astype(np.float32)
        if space == "srgb":
            values = np.clip(values, 0.0, 1.0)
        ours = dataclasses.replace(self.ours, pixels=values, color_space=space)
        return dataclasses.replace(self, ours=ours)

    def reduced(self, width_px: int | None) -> "Pair":
        """Averaged down to a width of which the present one is a multiple; else as it is."""
        width = self.truth.pixels.shape[1]
        if width_px is None or width <= width_px or width % width_px:
            return self
        factor = width // width_px
        coverage = None if self.coverage is None else _mean(self.coverage, factor)
        return Pair(_reduced(self.ours, factor), _reduced(self.truth, factor), coverage)


def in_space(image: Image, space: ColorSpace) -> Picture:
    """Values of a picture in linear light or sRGB-encoded, neither clipped above."""
    if image.color_space == space:
        return image.pixels
    return decode_srgb(image.pixels) if space == "linear" else encode_srgb(image.pixels)


def _reduced(image: Image, factor: int) -> Image:
    """Straight colour averaged with its coverage as weight, in linear light."""
    linear = in_space(image, "linear")
    if image.alpha is None:
        return Image(_mean(linear, factor), None, "linear", image.bits)
    alpha = _mean(image.alpha, factor)
    color = _mean(linear * image.alpha, factor) / np.maximum(alpha, 1e-6)
    return Image(color.astype(np.float32), alpha, "linear", image.bits)


def _mean(values: Float[np.ndarray, "H W C"], factor: int) -> Float[np.ndarray, "h w C"]:
    height, width = values.shape[0] // factor, values.shape[1] // factor
    blocks = values[: height * factor, : width * factor]
    return blocks.reshape(height, factor, width, factor, -1).mean((1, 3)).astype(np.float32)
