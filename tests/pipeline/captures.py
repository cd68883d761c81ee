"""A tiny capture with ground truth: a painted Lambert ball under a sky, TensoIR's layout.

And a training of it that takes seconds.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch

from relight3d import cli
from relight3d.core.types import EnvironmentLight
from relight3d.files.environment import write_environment
from relight3d.files.images import write_png

SIZE, ANGLE, DISTANCE = 24, 0.7, 3.5
LIGHTS = {"day": (0.0, 0.3, 1.0), "evening": (1.0, 0.0, 0.3)}


FEW = [
    "--field.steps", "24", "--field.initial-splats", "300", "--field.max-splats", "350",
    "--field.densify-from", "4", "--field.densify-every", "4", "--field.sh-degree", "2",
    "--decomposition.specular-steps", "4", "--decomposition.diffuse-steps", "6",
    "--decomposition.joint-steps", "2", "--decomposition.environment-height", "8",
    "--decomposition.visibility-directions", "32", "--decomposition.shadow-map-px", "32",
    "--proxy.resolution", "32", "--proxy.coarse-resolution", "8", "--proxy.triangles", "500",
]  # fmt: skip


def train(capture, out, *more, command="train"):
    return cli.run([command, str(capture), "--out", str(out), *FEW, *more])


def make_capture(root: Path, train: int = 8, test: int = 2, size: int = SIZE) -> Path:
    """Write the capture; the same bytes every time."""
    for split, count in (("train", train), ("test", test)):
        for index in range(count):
            turn = 2 * math.pi * (index + (0.5 if split == "test" else 0)) / count
            _write_view(root / f"{split}_{index:03d}", split, turn, 0.3 + 0.4 * (index % 2), size)
    for name in LIGHTS:
        v, u = (np.mgrid[:8, :16] + 0.5) / [[[8]], [[16]]]
        polar, azimuth = np.pi * v, -2 * np.pi * u
        directions = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth),
                               np.cos(polar)], -1)  # fmt: skip
        radiance = torch.from_numpy(_sky(directions, name)).float()
        write_environment(root / "envmaps" / f"{name}.hdr", EnvironmentLight(radiance))
    return root


def _write_view(folder: Path, split: str, turn: float, height: float, size: int) -> None:
    flat = math.sqrt(1 - height**2)
    center = DISTANCE * np.array([flat * math.cos(turn), flat * math.sin(turn), height])
    back = center / np.linalg.norm(center)
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], -1)
    pose[:3, 3] = center
    normals, alpha = _ball(pose, size)
    albedo = np.where(normals[..., 2:] > 0, (0.7, 0.4, 0.3), (0.3, 0.4, 0.6))
    for name in LIGHTS if split == "test" else ["day"]:
        shaded = albedo * _irradiance(normals, name)
        suffix = "_000" if name == "day" else ""
        write_png(
            folder / f"rgba_{name}{suffix}.png", _bytes(np.clip(shaded, 0, 1) ** (1 / 2.2), alpha)
        )
    if split == "test":
        write_png(folder / "albedo.png", _bytes(albedo, alpha))
        write_png(folder / "normal.png", _bytes(0.5 * normals + 0.5, alpha))
    metadata = {"cam_angle_x": ANGLE, "imw": size, "imh": size,
                "cam_transform_mat": ",".join(str(x) for x in pose.ravel())}  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(metadata))


def _ball(pose: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Normals of the unit ball, and how much of each pixel it covers."""
    fine = (np.mgrid[: 2 * size, : 2 * size] + 0.5) / 2
    focal = 0.5 * size / math.tan(0.5 * ANGLE)
    local = np.stack([(fine[1] - size / 2) / focal, (size / 2 - fine[0]) / focal,
                      -np.ones_like(fine[0])], -1)  # fmt: skip
    rays = local @ pose[:3, :3].T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    origin = pose[:3, 3]
    along = -(rays @ origin)
    inside = along**2 - origin @ origin + 1
    normals = origin + rays * (along - np.sqrt(np.maximum(inside, 0)))[..., None]
    normals = np.where((inside > 0)[..., None], normals, 0.0)
    blocks = normals.reshape(size, 2, size, 2, 3).sum((1, 3))
    alpha = (inside > 0).reshape(size, 2, size, 2).mean((1, 3))
    return blocks / np.maximum(np.linalg.norm(blocks, axis=-1, keepdims=True), 1e-9), alpha


def _sky(directions: np.ndarray, name: str) -> np.ndarray:
    toward = np.array(LIGHTS[name]) / np.linalg.norm(LIGHTS[name])
    return 0.6 * (1 + directions @ toward)[..., None] * np.array([1.0, 0.95, 0.9])


def _irradiance(normals: np.ndarray, name: str) -> np.ndarray:
    """Of `_sky`, over pi: the linear part keeps 2/3 of its amplitude."""
    toward = np.array(LIGHTS[name]) / np.linalg.norm(LIGHTS[name])
    return 0.6 * (1 + 2 / 3 * (normals @ toward))[..., None] * np.array([1.0, 0.95, 0.9])


def _bytes(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    shown = np.where(alpha[..., None] > 0, color, 0.0)
    return np.rint(np.concatenate([shown, alpha[..., None]], -1) * 255).astype(np.uint8)
