"""What a protocol is: every choice that changes a score, in one small frozen value.

Two papers' tables can be compared only if all of these agree; every result carries its own. The
protocols themselves are in `protocols`.
"""

import dataclasses
from typing import Any, Literal

from relight3d.core.views import ColorSpace
from relight3d.evaluation.perceptual import InputRange, Net
from relight3d.evaluation.similarity import GAUSSIAN_VALID, SsimConvention

Score = Literal["novel", "relit", "albedo", "roughness", "metallic", "normal", "depth"]
MAPS: tuple[Score, ...] = ("albedo", "roughness", "metallic", "normal", "depth")


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The scale that photos cannot tell, taken from the truth before scoring."""

    of: Literal["albedo", "relit pictures"]
    """albedo: linear albedo, before relighting with it. relit pictures: each light's pictures."""
    rule: Literal["median", "least squares"]
    """Per channel: median of truth / prediction, or the factor of least squared error."""
    views: int | None = None
    """So many test views give the scale; None: all."""
    each_view: bool = False
    """A factor for every view, instead of one for the scene (and light)."""
    space: ColorSpace = "linear"
    """Values that are compared and scaled."""
    single_channel_scenes: tuple[str, ...] = ()
    """Scenes for which the first channel's factor serves all three."""


@dataclasses.dataclass(frozen=True)
class PsnrRule:
    """One way to turn a picture into decibels."""

    name: str = "psnr"
    channels: Literal["pooled", "mean of channels"] = "pooled"
    """pooled: one squared error over all channels. mean of channels: the PSNR of each, averaged;
    never smaller, and larger where errors are coloured."""
    views: Literal["mean of views", "pooled"] = "mean of views"
    """Over views: the mean of their PSNRs, or one squared error."""
    space: ColorSpace = "srgb"
    clip: float = 1.0
    """Values above are cut before comparing."""
    exposed: bool = False
    """Scale both so that the truth is as bright as its sRGB encoding (Stanford-ORB)."""
    grey_floor: bool = False
    """No picture scores less than a grey of 0.5 does (Stanford-ORB)."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How one family of papers scores."""

    name: str
    title: str
    source: str
    """Where the habit was read."""
    scores: tuple[Score, ...] = ("novel", "relit", *MAPS)
    background: Literal["white", "black", "none"] = "white"
    """What pictures are blended over, in stored sRGB values; none: pictures have no alpha to blend,
    or are compared with colours behind alpha as they are."""
    cut_by: Literal["own alpha", "true alpha"] = "own alpha"
    """What blends the prediction: its own coverage, or the truth's, which forgives outlines."""
    erode_px: int = 0
    """The true mask is shrunk by a square of this width, and what is outside is black."""
    psnr: tuple[PsnrRule, ...] = (PsnrRule(),)
    ssim: SsimConvention = GAUSSIAN_VALID
    lpips: Net = "vgg"
    lpips_input: InputRange = "normalised"
    """normalised: [-1, 1], as LPIPS was trained. raw: [0, 1] fed as it is."""
    alignment: Alignment | None = None
    albedo_space: ColorSpace = "linear"
    """Values in which albedo is compared."""
    maps_over: Literal["frame", "foreground"] = "frame"
    """Errors of materials: over the frame on the background, or the true foreground alone."""
    normals_over: Literal["frame", "foreground"] = "foreground"
    """Mean angle over the foreground, or the frame with (0, 0, 1) outside, which dilutes it."""
    lights: tuple[str, ...] | None = None
    """Only these lights, where a capture has them all; None: all lights."""
    width_px: int | None = None
    """Pictures are averaged down to this width first, if theirs is a multiple; None: as stored."""
    baselines: bool = False
    """Also score doing nothing: the unrelit photo, as it is and with the best factor."""
    note: str = ""

    def aligns(self, of: Literal["albedo", "relit pictures"]) -> bool:
        """Whether this is what the protocol scales."""
        return self.alignment is not None and self.alignment.of == of

    @property
    def aligns_each_view(self) -> bool:
        """Whether every view has a factor of its own."""
        return self.alignment is not None and self.alignment.each_view

    def as_json(self) -> dict[str, Any]:
        """Every field, for results."""
        return dataclasses.asdict(self)
