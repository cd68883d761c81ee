"""Captures of a few tiny pictures, in several layouts, to be broken in tests."""

import json
import math
from pathlib import Path

import numpy as np
import PIL.Image

SIZE = 16
ANGLE_X = 0.6


def ring_pose(index: float, count: int, radius: float = 4.0, height: float = 1.5) -> np.ndarray:
    """OpenGL camera-to-world of a camera on a ring that looks at the origin, z up."""
    turn = 2 * math.pi * index / count
    center = np.array([radius * math.cos(turn), radius * math.sin(turn), height])
    back = center / np.linalg.norm(center)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], 1)
    pose[:3, 3] = center
    return pose


def picture(index: int = 0, size: tuple[int, int] = (SIZE, SIZE), alpha: bool = True) -> np.ndarray:
    """A noisy disc; RGBA or RGB bytes."""
    width, height = size
    generator = np.random.default_rng(index)
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (min(size) * 0.4) ** 2
    pixels = generator.integers(0, 256, (height, width, 3))
    if not alpha:
        return pixels.astype(np.uint8)
    return np.dstack([pixels * inside[..., None], inside * 255]).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def frame(index: int, count: int, folder: str = "images", suffix: str = ".png") -> dict:
    return {
        "file_path": f"{folder}/p_{index:03d}{suffix}",
        "transform_matrix": ring_pose(index, count).tolist(),
    }


def nerfstudio(root: Path, count: int = 6, alpha: bool = True, **extra) -> dict:
    """Write pictures and transforms.json; return its content."""
    content = {"camera_angle_x": ANGLE_X, "frames": [], **extra}
    for index in range(count):
        save(root / f"images/p_{index:03d}.png", picture(index, alpha=alpha))
        content["frames"].append(frame(index, count))
    rewrite(root, content)
    return content


def rewrite(root: Path, content: dict, name: str = "transforms.json") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content))
    return root / name


def tensoir(root: Path, count: int = 5, lights: tuple[str, ...] = ("sunset_000",)) -> None:
    """Training folders, one picture a folder with the lights in turn, and two test folders."""
    for index in range(count):
        folder = root / f"train_{index:03d}"
        save(folder / f"rgba_{lights[index % len(lights)]}.png", picture(index))
        _metadata(folder, index, count)
    for index in range(2):
        folder = root / f"test_{index:03d}"
        save(folder / f"rgba_{lights[0]}.png", picture(100 + index))
        save(folder / "rgba_city.png", picture(200 + index))
        for name in ("albedo", "normal"):
            save(folder / f"{name}.png", picture(300 + index))
        np.save(folder / "depth.npy", np.ones((SIZE, SIZE), np.float16))
        _metadata(folder, index + 0.5, count)


def _metadata(folder: Path, index: float, count: int) -> None:
    pose = ring_pose(index, count)
    content = {
        "cam_angle_x": ANGLE_X,
        "imw": SIZE,
        "imh": SIZE,
        "cam_transform_mat": ",".join(str(value) for value in pose.ravel()),
    }
    (folder / "metadata.json").write_text(json.dumps(content))


def nrhints(root: Path, count: int = 5) -> None:
    """One point light a photo; frames without suffix; truth beside the test pictures."""
    for split, total in (("train", count), ("test", 2)):
        frames = []
        for index in range(total):
            offset = 0.5 if split == "test" else 0.0
            save(root / f"{split}/r_{index:03d}.png", picture(index))
            entry = frame(index, count)
            entry["file_path"] = f"./{split}/r_{index:03d}"
            entry["transform_matrix"] = ring_pose(index + offset, count).tolist()
            entry["pl_pos"] = [1.0, 2.0 + index, 3.0]
            entry["pl_intensity"] = 60.0
            frames.append(entry)
            if split == "test":
                save(root / f"test/r_{index:03d}_albedo.png", picture(index + 50))
        rewrite(root, {"camera_angle_x": ANGLE_X, "frames": frames}, f"transforms_{split}.json")
