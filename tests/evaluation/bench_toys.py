"""Results of suites made of numbers alone."""

import copy
from typing import Any

import numpy as np

from relight3d.evaluation.protocols import PROTOCOLS
from relight3d.evaluation.statistics import spread

VIEWS = 16
PSNR = tuple(28 + np.sin(np.arange(VIEWS)))
SSIM = tuple(0.9 + 0.01 * np.cos(np.arange(VIEWS)))


def entry(**views: Any) -> dict[str, Any]:
    """Scores with the values of single views, as an evaluation has them."""
    return {
        **{name: float(np.mean(values)) for name, values in views.items()},
        "views": {name: list(values) for name, values in views.items()},
        "spread": {name: spread(list(values)).__dict__ for name, values in views.items()},
    }


def one(shift: float = 0.0, protocol: str = "relight3d", views: int = VIEWS) -> dict[str, Any]:
    """A capture of one seed, better by `shift` dB in every picture."""
    psnr, ssim = np.array(PSNR[:views]) + shift, np.array(SSIM[:views]) + 0.01 * shift
    light = entry(psnr=psnr - 4, ssim=ssim - 0.02)
    light |= {"psnr_unrelit_best_gain": 22.0, "gain_over_unrelit_db": 2.0 + shift}
    found = {
        "protocol": PROTOCOLS[protocol].as_json(),
        "novel": {**entry(psnr=psnr, ssim=ssim), "physics": entry(psnr=psnr - 1, ssim=ssim)},
        "normal": entry(mae_deg=8 - np.array(PSNR[:views]) / 10 - shift),
        "depth": {"relative": 0.01, "scale": 1.0},
        "relit": {"psnr": light["psnr"], "lights": {"noon": light}},
    }
    names = [f"{index:03d}" for index in range(views)]
    return {"capture_id": "a", "views": names, "results": {protocol: found}}


def suite(**captures: Any) -> dict[str, Any]:
    """Name -> one(), or a list of them by seed."""
    return {
        name: {str(seed): copy.deepcopy(r) for seed, r in enumerate(_seeds(given))}
        for name, given in captures.items()
    }


def _seeds(given: Any) -> list[dict[str, Any]]:
    return given if isinstance(given, list) else [given]


def content(scores: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """What bench.json would hold."""
    cost = {
        "seconds": {"fit": 60.0, "decompose": 30.0, "score": 5.0, "report": 5.0, "protocols": 9.0},
        "peak_memory_mb": {"host": 700.0},
        "machine": {"processor": "Abacus", "cores": "2"},
        "versions": {},
        "commit": "abc1234",
    }
    usual = {"preset": "object", "options": {}, "hold_out": 0, "benchmark": None}
    return {
        "suite": "toy",
        "scores": scores,
        "scores_sha256": "0" * 64,
        "costs": {name: dict.fromkeys(seeds, cost) for name, seeds in scores.items()},
        "settings": {name: {**usual, **settings} for name in scores},
        "machine": {},
        "versions": {"relight3d": "1"},
        "commit": "abc1234",
    }
