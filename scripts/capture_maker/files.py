"""The files of a capture, each written whole or not at all."""

import json
from pathlib import Path

import numpy as np

from capture_maker.maps import Maps
from capture_maker.plan import Plan
from relight3d.files.atomic import atomic_file
from relight3d.files.images import write_png

MAP_NAMES = ("albedo", "normal", "roughness", "metallic")


def write_picture(path: Path, radiance: np.ndarray, enclosed: bool) -> None:
    """Write premultiplied linear radiance [H, W, 4] as 8-bit sRGB with straight alpha."""
    alpha = np.clip(radiance[..., 3:], 0, 1)
    if enclosed:
        alpha = np.ones_like(alpha)
    color = np.divide(
        radiance[..., :3], alpha, out=np.zeros_like(radiance[..., :3]), where=alpha > 0
    )
    write_png(path, _bytes(np.concatenate([srgb(color), alpha], -1)))


def srgb(linear: np.ndarray) -> np.ndarray:
    """Linear to sRGB, clipped at 1 (IEC 61966-2-1)."""
    clipped = np.clip(linear, 0, 1)
    high = 1.055 * np.maximum(clipped, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(clipped > 0.0031308, high, 12.92 * clipped)


def write_maps(paths: dict[str, Path], maps: Maps) -> None:
    """Write the five maps of a view; `paths` by the names of `Maps`."""
    where_hit = maps.alpha > 0
    colors = {
        "albedo": maps.albedo,
        "normal": np.where(where_hit, 0.5 * maps.normal + 0.5, 0.0),
        "roughness": np.repeat(maps.roughness, 3, -1),
        "metallic": np.repeat(maps.metallic, 3, -1),
    }
    for name, color in colors.items():
        write_png(paths[name], _bytes(np.concatenate([color, maps.alpha], -1)))
    with atomic_file(paths["depth"]) as temporary, temporary.open("wb") as stream:
        np.save(stream, maps.depth.astype(np.float16))


def metadata(plan: Plan, pose: np.ndarray, light: str, turn_deg: int) -> dict:
    """A view's metadata.json in TensoIR's layout."""
    size = plan.settings.size
    return {
        "cam_angle_x": plan.stage.views.fov_x_rad,
        "imw": size,
        "imh": size,
        "spp": plan.spp,
        "cam_transform_mat": ",".join(f"{value:.9g}" for value in pose.ravel()),
        "scene": plan.stage.name,
        "envmap": light,
        "env_rotation_deg": float(turn_deg),
    }


def transforms(plan: Plan, split: str, poses: np.ndarray, lights: np.ndarray) -> dict:
    """transforms_train.json or transforms_test.json in NRHints' layout; intensity in W/sr."""
    frames = [
        {
            "file_path": f"./{split}/r_{index:03d}",
            "transform_matrix": pose.tolist(),
            "pl_pos": light.tolist(),
            "pl_intensity": plan.intensity,
        }
        for index, (pose, light) in enumerate(zip(poses, lights, strict=True))
    ]
    return {"camera_angle_x": plan.stage.views.fov_x_rad, "frames": frames}


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
