"""Make a small capture with ground truth out of a large one, both in TensoIR-Synthetic's layout.

    python scripts/make_demo_capture.py SOURCE data/demo

Takes training and test views spread evenly round the object, keeps all ground truth of the test
views, recompresses the pictures without loss and reduces the environment maps, keeping their
energy. Cameras and pixels are untouched, so measures on it compare with the source's.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from relight3d.core.types import EnvironmentLight
from relight3d.files.atomic import atomic_folder
from relight3d.files.environment import read_environment, write_environment

PLAIN_TRUTH = ("albedo.png", "normal.png", "roughness.png", "metallic.png")


def make_demo_capture(
    source: Path,
    target: Path,
    /,
    *,
    train_views: int = 48,
    test_views: int = 4,
    relight: tuple[str, ...] = ("studio_small_05", "kloppenheim_05"),
    environment_height_px: int = 128,
) -> None:
    """Reduce the capture SOURCE to TARGET, which must not exist.

    Args:
        source: A capture folder with scene.json, envmaps/, train_*/ and test_*/.
        target: The folder to make.
        train_views: How many training views to keep.
        test_views: How many test views to keep.
        relight: Names of the lights to keep relit test pictures of.
        environment_height_px: Height of the reduced environment maps; must divide theirs.
    """
    scene = json.loads((source / "scene.json").read_text(encoding="utf-8"))
    scene["relight_envs"] = [name for name in scene["relight_envs"] if name in relight]
    lights = [scene["train_env"], *scene["relight_envs"]]
    with atomic_folder(target) as folder:
        _write_json(folder / "scene.json", scene)
        (folder / "envmaps").mkdir()
        for name in lights:
            full = read_environment(source / "envmaps" / f"{name}.hdr")
            reduced = reduce_environment(full, environment_height_px)
            write_environment(folder / "envmaps" / f"{name}.hdr", reduced)
        for split, count in (("train", train_views), ("test", test_views)):
            views = spread_views(sorted(source.glob(f"{split}_[0-9]*")), count)
            for index, view in enumerate(views):
                copy_view(view, folder / f"{split}_{index:03d}", lights)
    print(f"{target}: {folder_bytes(target)} bytes, sha256 {folder_digest(target)}")


def reduce_environment(light: EnvironmentLight, height_px: int) -> EnvironmentLight:
    """Average blocks of pixels, weighted by the solid angle each covers: irradiance is kept."""
    height, width = light.radiance_linear.shape[:2]
    if height % height_px:
        raise SystemExit(f"--environment-height-px must divide {height}, got {height_px}")
    edges = torch.linspace(0.0, torch.pi, height + 1, dtype=torch.float64).cos()
    weight = (edges[:-1] - edges[1:]).reshape(height_px, -1, 1, 1, 1)
    factor = height // height_px
    blocks = light.radiance_linear.double().reshape(height_px, factor, width // factor, factor, 3)
    mean = (blocks * weight).sum((1, 3)) / (weight.sum((1, 3)) * factor)
    return EnvironmentLight(radiance_linear=mean.float())


def spread_views(views: list[Path], count: int) -> list[Path]:
    """Farthest-point sampling of the viewing directions, in the source's order."""
    if len(views) < count:
        raise SystemExit(f"asked for {count} views, but the source has {len(views)}")
    centers = np.stack([camera_center(view) for view in views])
    directions = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    chosen = [0]
    nearest = directions @ directions[0]
    while len(chosen) < count:
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, directions @ directions[chosen[-1]])
    return [views[index] for index in sorted(chosen)]


def camera_center(view: Path) -> np.ndarray:
    """Where the camera stood, in the world."""
    text = json.loads((view / "metadata.json").read_text(encoding="utf-8"))["cam_transform_mat"]
    return np.array([float(number) for number in text.split(",")]).reshape(4, 4)[:3, 3]


def copy_view(view: Path, target: Path, lights: list[str]) -> None:
    """Copy one view: its camera, its pictures under the kept lights, its ground truth."""
    target.mkdir()
    shutil.copyfile(view / "metadata.json", target / "metadata.json")
    for path in sorted(view.glob("*.png")):
        if path.name in PLAIN_TRUTH or any(path.name.startswith(f"rgba_{n}") for n in lights):
            recompress(path, target / path.name)
    if (view / "depth.npy").exists():
        shutil.copyfile(view / "depth.npy", target / "depth.npy")


def recompress(source: Path, target: Path) -> None:
    """The same visible pixels in fewer bytes; colours under zero alpha become black."""
    pixels = np.array(Image.open(source))
    if pixels.ndim == 3 and pixels.shape[-1] == 4:
        pixels[pixels[..., 3] == 0] = 0
    Image.fromarray(pixels).save(target, optimize=True)


def folder_bytes(folder: Path) -> int:
    """Sum of the sizes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below a folder, in the order of names."""
    digest = hashlib.sha256()
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(make_demo_capture)
