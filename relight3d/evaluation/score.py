"""The scores of an asset on the test views of its capture: the content of metrics.json.

What is scored are the 8-bit pictures that `relight3d render` writes, blended over white in their
stored values as TensoIR blends them. Beside each relighting score stand the do-nothing baselines:
the photo under the training light passed off as the relit one, as it is and with the best factor
per channel. A method that does not leave these far behind has relit nothing.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from relight3d.core.views import Capture, View
from relight3d.evaluation.alignment import Gain, albedo_gain, evenly_spaced
from relight3d.evaluation.metrics import (
    BestGain,
    Picture,
    PooledError,
    angles_deg,
    mean_ssim,
    over,
    psnr,
)
from relight3d.evaluation.truth import (
    BLACK,
    WHITE,
    coverage_of,
    encoded,
    photo_on_background,
    relit_photo,
    true_albedo,
    true_normals,
)
from relight3d.files.images import image_info, read_image

Pixels = UInt8[np.ndarray, "H W 4"]
NO_GAIN: Gain = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Frames:
    """Pictures of one view, as they are written to files: 8-bit RGBA, straight alpha."""

    rgb: Pixels
    """sRGB, under the light the view was taken under."""
    physics: Pixels | None = None
    """The same by materials under the recovered light alone. None for an asset without."""
    albedo: Pixels | None = None
    """Linear x 255. None for an asset without materials."""
    normal: Pixels | None = None
    """0.5 n + 0.5, the capture's world frame."""


@runtime_checkable
class FrameSource(Protocol):
    """Whatever can draw an asset; given by the pipeline."""

    def captured(self, view: View) -> Frames:
        """The view under its own light."""
        ...

    def relit(self, view: View, environment: str, gain: Gain) -> Pixels:
        """The view under one of the capture's environment maps, albedo times `gain`."""
        ...


def score_frames(capture: Capture, frames: FrameSource) -> dict[str, Any]:
    """Score every test view.

    Args:
        capture: Needs at least one test view; whatever truth these bring is used.
        frames: Draws the asset.

    Returns:
        JSON values; a score whose truth is missing is left out.
    """
    views = capture.split("test")
    assert views, "nothing to score: no test views"
    scores: dict[str, Any] = {
        "protocol": {
            "psnr": "dB, one mean squared error over all pixels, channels and test views, sRGB",
            "background": "white, blended in stored sRGB values" if _masked(views) else "none",
            "albedo_gain": "per channel median of truth / prediction, foreground, linear, of "
            f"{len(evenly_spaced(len(views)))} evenly spaced test views (TensoIR)",
            "relit": "psnr: albedo times albedo_gain; psnr_albedo_as_found: without it",
            "normal_mae_deg": "mean angle over the foreground",
        },
        "views": len(views),
        **_score_captured(views, frames),
    }
    relightable = "albedo" in scores or frames.captured(views[0]).albedo is not None
    names = [
        name
        for name in capture.environments
        if relightable and all(f"relit/{name}" in view.truth for view in views)
    ]
    gain = scores.get("albedo", {}).get("gain")
    scores["relit"] = {
        name: _score_relit(views, frames, name, tuple(gain) if gain else NO_GAIN) for name in names
    }
    return {key: value for key, value in scores.items() if value not in ({}, None)}


def _score_captured(views: Sequence[View], frames: FrameSource) -> dict[str, Any]:
    """Scores under the training light: novel views, normals, albedo."""
    error, physics_error, similarity, per_view = PooledError(), PooledError(), [], []
    angles, albedos = [], []
    for view in views:
        drawn, truth = frames.captured(view), photo_on_background(view)
        shown = on_background(drawn.rgb, view)
        error.add(shown, truth)
        per_view.append(psnr(shown, truth))
        similarity.append(mean_ssim(shown, truth))
        if drawn.physics is not None:
            physics_error.add(on_background(drawn.physics, view), truth)
        if drawn.normal is not None and "normal" in view.truth:
            normals, where = true_normals(view.truth["normal"])
            angles.append(angles_deg(straight(drawn.normal) * 2.0 - 1.0, normals)[where])
        if drawn.albedo is not None and "albedo" in view.truth:
            truth = true_albedo(view.truth["albedo"], view.albedo_space)
            albedos.append((straight(drawn.albedo), *truth))
    novel = {
        "psnr": error.psnr(),
        "psnr_mean_of_views": float(np.mean(per_view)),
        "ssim": float(np.mean(similarity)),
        "psnr_per_view": per_view,
    }
    if drawn.physics is not None:
        novel["psnr_physics"] = physics_error.psnr()
    scores: dict[str, Any] = {"novel_views": novel}
    if angles:
        scores["normal_mae_deg"] = float(np.concatenate(angles).mean())
    if albedos:
        scores["albedo"] = _score_albedo(albedos)
    return scores


def _score_albedo(albedos: list) -> dict[str, Any]:
    """Linear albedo on black, raw and aligned by TensoIR's rule."""
    gain = albedo_gain([albedos[i] for i in evenly_spaced(len(albedos))])
    raw, aligned = PooledError(), PooledError()
    for predicted, truth, foreground in albedos:
        raw.add(predicted[foreground], truth[foreground])
        aligned.add(np.clip(predicted[foreground] * np.array(gain), 0, 1), truth[foreground])
    return {"gain": list(gain), "psnr_raw": raw.psnr(), "psnr_aligned": aligned.psnr()}


def _score_relit(
    views: Sequence[View], frames: FrameSource, name: str, gain: Gain
) -> dict[str, float]:
    """One light: our pictures, and the unrelit photo passed off as relit."""
    relit, similarity, baseline, gained = PooledError(), [], PooledError(), PooledError()
    as_found = PooledError()
    fit = BestGain()
    for view in views:
        photo = read_image(view.image_path)
        truth, alpha = relit_photo(view.truth[f"relit/{name}"])
        fit.add(encoded(photo), truth, alpha[..., 0] > 0.5)
    best = fit.gain().astype(np.float32)
    for view in views:
        photo = read_image(view.image_path)
        color, alpha = relit_photo(view.truth[f"relit/{name}"])
        truth = over(color, alpha, WHITE)
        coverage = coverage_of(view, photo)
        coverage = np.ones_like(alpha) if coverage is None else coverage
        ours = on_background(frames.relit(view, name, gain), view)
        relit.add(ours, truth)
        plain = ours if gain == NO_GAIN else on_background(frames.relit(view, name, NO_GAIN), view)
        as_found.add(plain, truth)
        similarity.append(mean_ssim(ours, truth))
        baseline.add(over(encoded(photo), coverage, WHITE), truth)
        gained.add(over(np.clip(encoded(photo) * best, 0, 1), coverage, WHITE), truth)
    better = max(baseline.psnr(), gained.psnr())
    return {
        "psnr": relit.psnr(),
        "ssim": float(np.mean(similarity)),
        "psnr_albedo_as_found": as_found.psnr(),
        "psnr_unrelit": baseline.psnr(),
        "psnr_unrelit_best_gain": gained.psnr(),
        "gain_over_unrelit_db": relit.psnr() - better,
    }


def straight(pixels: Pixels) -> Picture:
    """Colour channels in [0, 1]."""
    return pixels[..., :3].astype(np.float32) / 255.0


def on_background(pixels: Pixels, view: View) -> Picture:
    """An 8-bit picture over white if the view has a mask or alpha, else over black."""
    alpha: Float[np.ndarray, "H W 1"] = pixels[..., 3:].astype(np.float32) / 255.0
    return over(straight(pixels), alpha, WHITE if _masked([view]) else BLACK)


def _masked(views: Sequence[View]) -> bool:
    """Whether all views show an object rather than a whole place."""
    return all(view.mask_path is not None or _has_alpha(view) for view in views)


def _has_alpha(view: View) -> bool:
    return image_info(view.image_path).has_alpha
