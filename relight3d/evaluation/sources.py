"""Where frames come from: an asset that is drawn, or anybody's files."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from relight3d.core.views import View
from relight3d.evaluation.alignment import NO_GAIN, Gain
from relight3d.files.images import Image


@runtime_checkable
class FrameSource(Protocol):
    """Whatever can show the views of a capture."""

    applies_gain: bool
    """Whether `draw` can scale albedo before relighting. Files are as their maker scaled them."""

    def why_not(self, what: str) -> str | None:
        """Why a map cannot be shown; None if it can."""
        ...

    def draw(self, view: View, what: str, truth: Path, gain: Gain = NO_GAIN) -> Image:
        """One map of one view, at the size and in the colour space of the truth it is held against.

        Args:
            view: Which.
            what: 'rgb', 'physics' or 'relit/LIGHT' (sRGB or linear), 'albedo' (linear values),
                'normal' (0.5 n + 0.5 in the capture's world), 'roughness' or 'metallic' (grey).
            truth: The picture it will be compared with.
            gain: Factor on linear albedo, for 'relit/LIGHT' if `applies_gain`.

        Raises:
            FileFormatError: A frame that is missing, broken, or of another size or bit depth.
        """
        ...

    def depth(self, view: View) -> Float[np.ndarray, "H W"]:
        """Depth along the camera's axis in the capture's units; 0 where nothing was hit."""
        ...

    def environment(self, name: str) -> Float[np.ndarray, "h w 3"] | None:
        """The recovered light, linear, in the capture's frame; None if there is none."""
        ...
