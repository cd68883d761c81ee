"""Scores of maps under one protocol, collected view by view: materials, normals, depth."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from relight3d.core.errors import EvaluationError
from relight3d.core.views import View
from relight3d.evaluation.alignment import Gain, GainFit
from relight3d.evaluation.checks import require_finite
from relight3d.evaluation.compared import Pair, in_space
from relight3d.evaluation.geometry import backproject, chamfer, depth_error, subsample
from relight3d.evaluation.materials import masked_mse, rank_correlation
from relight3d.evaluation.metrics import angles_deg
from relight3d.evaluation.picture_scores import PictureScores, Tools
from relight3d.evaluation.protocol import Protocol
from relight3d.evaluation.shadow_leak import shadow_leak
from relight3d.evaluation.statistics import spread
from relight3d.files.images import Image

CHAMFER_POINTS = 10_000
_UP = np.array([0.0, 0.0, 1.0], np.float32)


class AlbedoScores:
    """Raw and aligned, and how much shading leaked in."""

    def __init__(self, protocol: Protocol, tools: Tools, gain: Gain) -> None:
        """Take the scene's gain; a protocol that aligns each view fits its own."""
        self._protocol, self._gain = protocol, gain
        plain = dataclasses.replace(protocol, psnr=_albedo_rules(protocol))
        whole = protocol.maps_over == "frame"
        self._raw = PictureScores(plain, Tools(), structure=False)
        self._aligned = PictureScores(plain, tools, structure=whole)
        self._ours: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []
        self._photo: list[np.ndarray] = []

    def add(self, pair: Pair, photo: Float[np.ndarray, "H W 3"]) -> None:
        """Score one view: linear albedo, and the linear photo it was recovered from."""
        where = pair.foreground(self._protocol)
        self._ours.append(in_space(pair.ours, "linear")[where])
        self._truth.append(in_space(pair.truth, "linear")[where])
        self._photo.append(photo[where])
        gain = self._gain
        if self._protocol.aligns_each_view:
            fit = GainFit(self._protocol)
            fit.add(pair)
            gain = fit.gain()
        scaled = pair.scaled(np.array(gain, np.float32), "linear")
        scaled = dataclasses.replace(scaled, ours=_clipped(scaled.ours))
        for scores, shown in ((self._raw, pair), (self._aligned, scaled)):
            seen = self._seen(shown, where)
            if seen.truth.pixels.size:
                scores.add(seen)

    def result(self) -> dict[str, Any]:
        """psnr_raw, psnr_aligned, the gain, shadow leak; views and spread of the aligned."""
        raw, aligned = self._raw.result(), self._aligned.result()
        ours, truth = np.concatenate(self._ours), np.concatenate(self._truth)
        leak = shadow_leak(ours, truth, np.concatenate(self._photo), np.ones(len(ours), bool))
        rest = {name: value for name, value in aligned.items() if name != "psnr"}
        return {
            "psnr_raw": raw["psnr"],
            "psnr_aligned": aligned["psnr"],
            "gain": None if self._protocol.aligns_each_view else list(self._gain),
            "shadow_leak": leak,
            **rest,
        }

    def _seen(self, pair: Pair, where: Bool[np.ndarray, "H W"]) -> Pair:
        """The values to compare: of the frame, or the foreground as one row of pixels."""
        space = self._protocol.albedo_space
        # Called sRGB, so that they are blended as they are.
        ours = Image(in_space(pair.ours, space), pair.ours.alpha, "srgb", pair.ours.bits)
        truth = Image(in_space(pair.truth, space), pair.truth.alpha, "srgb", pair.truth.bits)
        if self._protocol.maps_over == "frame":
            return Pair(ours, truth, pair.coverage)
        return Pair(_row(ours, where), _row(truth, where), None)


def _row(image: Image, where: Bool[np.ndarray, "H W"]) -> Image:
    return Image(image.pixels[where][None], None, image.color_space, image.bits)


def _albedo_rules(protocol: Protocol) -> tuple:
    """One PSNR of albedo, with the protocol's averages; no exposure, no floor."""
    first = protocol.psnr[0]
    return (dataclasses.replace(first, name="psnr", space="srgb", clip=1.0, exposed=False,
                                grey_floor=False),)  # fmt: skip


def _clipped(image: Image) -> Image:
    return dataclasses.replace(image, pixels=np.clip(image.pixels, 0.0, 1.0))


class GreyScores:
    """Roughness or metallic."""

    def __init__(self, protocol: Protocol) -> None:
        """Nothing collected."""
        self._protocol = protocol
        self._views: list[float] = []
        self._ours: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []

    def add(self, pair: Pair) -> None:
        """Score one view of grey pictures."""
        where = pair.foreground(self._protocol)
        ours, truth = pair.ours.pixels[..., 0], pair.truth.pixels[..., 0]
        self._ours.append(ours[where])
        self._truth.append(truth[where])
        if self._protocol.maps_over == "frame":
            ours, truth = (shown[..., 0] for shown in pair.blended(self._protocol))
            where = np.ones_like(where)
        if where.any():
            self._views.append(masked_mse(ours, truth, where))

    def result(self) -> dict[str, Any]:
        """Mean squared error of views, rank correlation of all foreground pixels, views."""
        correlation = rank_correlation(np.concatenate(self._ours), np.concatenate(self._truth))
        return {
            "mse": float(np.mean(self._views)),
            "rank_correlation": correlation,
            "views": {"mse": self._views},
            "spread": {"mse": dataclasses.asdict(spread(self._views))},
        }


class NormalScores:
    """Angles between world normals."""

    def __init__(self, protocol: Protocol) -> None:
        """Nothing collected."""
        self._protocol = protocol
        self._angles: list[np.ndarray] = []
        self._views: list[float] = []

    def add(self, pair: Pair) -> None:
        """Score one view of pictures 0.5 n + 0.5."""
        ours, truth = pair.ours.pixels * 2 - 1, pair.truth.pixels * 2 - 1
        known = np.linalg.norm(truth, axis=-1) > 0.5
        where = pair.foreground(self._protocol) & known
        self._angles.append(angles_deg(ours[where][None], truth[where][None])[0])
        if self._protocol.normals_over == "foreground":
            if where.any():
                self._views.append(float(self._angles[-1].mean()))
            return
        own = pair.own_mask(self._protocol)
        mask = pair.mask(self._protocol) * known[..., None]
        frame = angles_deg(ours * own + (1 - own) * _UP, truth * mask + (1 - mask) * _UP)
        self._views.append(float(frame.mean()))

    def result(self) -> dict[str, Any]:
        """mae_deg by the protocol; over the foreground median_deg and mean 1 - cos; views."""
        angles = np.concatenate(self._angles)
        if not len(angles):
            raise EvaluationError("No test view shows a true normal, so none can be compared.")
        pooled = self._protocol.normals_over == "foreground"
        return {
            "mae_deg": float(angles.mean() if pooled else np.mean(self._views)),
            "median_deg": float(np.median(angles)),
            "cosine_distance": float(1 - np.cos(np.radians(angles)).mean()),
            "views": {"mae_deg": self._views},
            "spread": {"mae_deg": dataclasses.asdict(spread(self._views))},
        }


class DepthScores:
    """Depth along the axis, and the points it stands for, both in the source's world units."""

    def __init__(self) -> None:
        """Nothing collected."""
        self._ours: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []
        self._points: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def add(
        self,
        view: View,
        ours: Float[np.ndarray, "H W"],
        truth: Float[np.ndarray, "H W"],
        where: Bool[np.ndarray, "H W"],
    ) -> None:
        """Score one view where the truth is positive and the object is seen."""
        where = where & np.isfinite(truth) & (truth > 0)
        require_finite(predicted_depth=ours[where])
        self._ours.append(ours[where].astype(np.float32))
        self._truth.append(truth[where].astype(np.float32))
        seen = where & (ours > 0)
        for points, depth, mask in zip(self._points, (ours, truth), (seen, where), strict=True):
            points.append(backproject(depth, view.intrinsics, view.world_to_camera, mask))

    def result(self) -> dict[str, Any]:
        """mae, relative; scale, mae and mse after it; chamfer of the points, averaged both ways."""
        views = [
            (ours[None], truth[None], np.ones((1, len(ours)), bool))
            for ours, truth in zip(self._ours, self._truth, strict=True)
        ]
        error = depth_error(views)
        clouds = [subsample(np.concatenate(points), CHAMFER_POINTS) for points in self._points]
        return {
            "mae": error.absolute,
            "relative": error.relative,
            "scale": error.scale,
            "mae_scaled": error.scaled_absolute,
            "mse_scaled": error.scaled_squared,
            "chamfer": chamfer(*clouds) if all(map(len, clouds)) else None,
        }
