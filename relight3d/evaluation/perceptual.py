"""LPIPS v0.1 (Zhang et al. 2018, eq. 1): distance of two pictures in the features of a network.

Features after five rectifiers of VGG-16 or AlexNet, normalised to unit length over channels; their
squared differences are weighted per channel by the linear layers, averaged over the picture and
summed. Plain torch; the weights come from disk (`perceptual_weights`) and are never downloaded.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from relight3d.core.errors import ConfigurationError, EvaluationError, FileFormatError
from relight3d.evaluation.checks import require_finite, require_same_shape
from relight3d.evaluation.metrics import Picture
from relight3d.evaluation.perceptual_weights import TRUNKS, Net, read_weights, why_absent

InputRange = Literal["normalised", "raw"]
"""'normalised': [0, 1] is stretched to [-1, 1], as the authors ask. 'raw': [0, 1] is fed as it is,
the habit of 3DGS's code and of GS-IR; the numbers are smaller and not comparable."""

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""Mean and spread of ImageNet's colours, for values in [-1, 1]."""

_EPSILON = 1e-10


@dataclasses.dataclass(frozen=True)
class _Convolution:
    index: int
    """Number within torchvision's `features`."""
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 1
    pool: int = 0
    """Width of the max pooling (stride 2) before it; 0: none."""
    tapped: bool = True
    """Whether its rectified output is compared."""


_ARCHITECTURE: dict[Net, tuple[_Convolution, ...]] = {
    "alex": (
        _Convolution(0, 3, 64, 11, stride=4, padding=2),
        _Convolution(3, 64, 192, 5, padding=2, pool=3),
        _Convolution(6, 192, 384, 3, pool=3),
        _Convolution(8, 384, 256, 3),
        _Convolution(10, 256, 256, 3),
    ),
    "vgg": (
        _Convolution(0, 3, 64, 3, tapped=False),
        _Convolution(2, 64, 64, 3),
        _Convolution(5, 64, 128, 3, pool=2, tapped=False),
        _Convolution(7, 128, 128, 3),
        _Convolution(10, 128, 256, 3, pool=2, tapped=False),
        _Convolution(12, 256, 256, 3, tapped=False),
        _Convolution(14, 256, 256, 3),
        _Convolution(17, 256, 512, 3, pool=2, tapped=False),
        _Convolution(19, 512, 512, 3, tapped=False),
        _Convolution(21, 512, 512, 3),
        _Convolution(24, 512, 512, 3, pool=2, tapped=False),
        _Convolution(26, 512, 512, 3, tapped=False),
        _Convolution(28, 512, 512, 3),
    ),
}
SMALLEST_PX: dict[Net, int] = {"alex": 31, "vgg": 16}
"""The smallest picture whose deepest features are not empty."""


class Lpips:
    """One network, ready to compare pictures."""

    def __init__(
        self,
        net: Net,
        trunk: Mapping[str, Tensor],
        layers: Mapping[str, Tensor],
        sha256: Mapping[str, str] | None = None,
        official: bool = False,
    ) -> None:
        """Check and keep the tensors.

        Args:
            net: 'vgg' or 'alex'.
            trunk: 'features.I.weight' and 'features.I.bias', as torchvision names them.
            layers: 'linI.model.1.weight' [1, C, 1, 1], I = 0 to 4.
            sha256: Of the files they come from, by file name; for the record.
            official: Whether these are the published files.

        Raises:
            FileFormatError: A tensor is missing, has another shape, or holds NaN or infinity.
        """
        self.net: Net = net
        self.sha256: dict[str, str] = dict(sha256 or {})
        self.official = official
        self._steps: list[tuple[_Convolution, Tensor, Tensor]] = []
        for step in _ARCHITECTURE[net]:
            shape = (step.outputs, step.inputs, step.kernel, step.kernel)
            name = f"features.{step.index}"
            weight = _checked(trunk, f"{name}.weight", shape, net)
            bias = _checked(trunk, f"{name}.bias", (step.outputs,), net)
            self._steps.append((step, weight, bias))
        tapped = [step.outputs for step in _ARCHITECTURE[net] if step.tapped]
        self._layers = [
            _checked(layers, f"lin{i}.model.1.weight", (1, channels, 1, 1), net)
            for i, channels in enumerate(tapped)
        ]

    def distance(
        self, picture: Picture, truth: Picture, input_range: InputRange = "normalised"
    ) -> float:
        """LPIPS, 0 for equal pictures; symmetric.

        Args:
            picture: sRGB-encoded in [0, 1].
            truth: sRGB-encoded in [0, 1].
            input_range: What the network is fed.

        Raises:
            EvaluationError: NaN or infinity, shapes that differ, or a picture so small that the
                deepest layer sees nothing of it.
        """
        if input_range not in ("normalised", "raw"):
            raise ConfigurationError(
                f"The input range of LPIPS is 'normalised' or 'raw', got {input_range!r}."
            )
        require_same_shape(picture=picture, truth=truth)
        require_finite(picture=picture, truth=truth)
        if min(picture.shape[:2]) < SMALLEST_PX[self.net]:
            raise EvaluationError(
                f"LPIPS ({self.net}) needs pictures of at least {SMALLEST_PX[self.net]} pixels on "
                f"either side, got {picture.shape[1]} x {picture.shape[0]}. Score larger pictures, "
                "or leave LPIPS out."
            )
        with torch.no_grad():
            ours, theirs = self._features(picture, input_range), self._features(truth, input_range)
            total = sum(
                functional.conv2d((a - b).square(), layer).mean().item()
                for a, b, layer in zip(ours, theirs, self._layers, strict=True)
            )
        return float(total)

    def _features(self, picture: Picture, input_range: InputRange) -> list[Tensor]:
        """Unit-length features [1, C, h, w] of the five tapped layers."""
        x = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float()
        if input_range == "normalised":
            x = 2.0 * x - 1.0
        x = (x - _per_channel(SHIFT)) / _per_channel(SCALE)
        found = []
        for step, weight, bias in self._steps:
            if step.pool:
                x = functional.max_pool2d(x, step.pool, 2)
            x = functional.conv2d(x, weight, bias, step.stride, step.padding).relu()
            if step.tapped:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + _EPSILON))
        return found


def load_lpips(net: Net) -> Lpips | None:
    """The network with the weights found on this machine; None without (`why_absent` says why).

    Raises:
        FileFormatError: The files are there but broken, or of another network.
    """
    weights = read_weights(net)
    if weights is None:
        return None
    return Lpips(net, weights.trunk, weights.layers, weights.sha256, weights.official)


def _per_channel(values: tuple[float, float, float]) -> Float[Tensor, "1 3 1 1"]:
    return torch.tensor(values).view(1, 3, 1, 1)


def _checked(table: Mapping[str, Tensor], name: str, shape: tuple[int, ...], net: Net) -> Tensor:
    """One tensor as float32."""
    tensor = table.get(name)
    if tensor is None or tuple(tensor.shape) != shape or not tensor.isfinite().all():
        found = "nothing" if tensor is None else f"{list(tensor.shape)}"
        raise FileFormatError(
            f"The LPIPS weights for {net!r} must hold finite {name} of shape {list(shape)}, found "
            f"{found}. Fetch {TRUNKS[net]} and weights/v0.1/{net}.pth of lpips again."
        )
    return tensor.float()


__all__ = ["SMALLEST_PX", "InputRange", "Lpips", "Net", "load_lpips", "why_absent"]
