"""Public benchmarks as their makers lay them out, of a few tiny pictures."""

import pickle
from pathlib import Path

import numpy as np
import tiny_captures as tiny

from relight3d.files.exr import write_exr

SIZE = (24, 16)
ANGLE_X = tiny.ANGLE_X


def photo(path: Path, index: int, alpha: bool = True, size: tuple[int, int] = SIZE) -> Path:
    return tiny.save(path, tiny.picture(index, size, alpha))


def mask(path: Path, size: tuple[int, int] = SIZE) -> Path:
    return tiny.save(path, tiny.picture(0, size)[..., 3])


def linear(path: Path, index: int, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_exr(path, tiny.picture(index, size, False).astype(np.float32) / 100)
    return path


def pose(index: float, count: int) -> list:
    return tiny.ring_pose(index, count).tolist()


def synthetic4relight(data: Path, scene: str = "jugs", count: int = 4) -> Path:
    root = data / scene
    for split in ("train", "test"):
        frames = []
        for index in range(count if split == "train" else 2):
            stem = root / f"{split}/{index:03d}"
            if split == "train":
                linear(Path(f"{stem}_rgb.exr"), index)
                mask(Path(f"{stem}_mask.png"))
            else:
                photo(Path(f"{stem}_rgba.png"), index)
                photo(Path(f"{stem}_albedo.png"), 10 + index)
                photo(Path(f"{stem}_rough.png"), 20 + index)
                for light in ("envmap6", "envmap12"):
                    photo(root / f"test_rli/{light}_{index:03d}.png", 30 + index)
            offset = 0.5 if split == "test" else 0
            frames.append({"file_path": f"{split}/{index:03d}",
                           "transform_matrix": pose(index + offset, count)})  # fmt: skip
        tiny.rewrite(
            root, {"camera_angle_x": ANGLE_X, "frames": frames}, f"transforms_{split}.json"
        )
    for light in ("envmap3", "envmap6", "envmap12"):
        write_exr(data / f"{light}.exr", x_in_the_middle())
    return root


def x_in_the_middle() -> np.ndarray:
    """A map, 8 x 16, of (x, y, z) + 1 of each direction; the middle column looks along +x."""
    azimuth = np.pi - (np.arange(16) + 0.5) * 2 * np.pi / 16
    polar = (np.arange(8)[:, None] + 0.5) * np.pi / 8
    rows = [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)]
    return np.stack([*rows, np.broadcast_to(np.cos(polar), (8, 16))], -1).astype(np.float32) + 1


def stanford_orb(data: Path, kind: str = "LDR", count: int = 4) -> Path:
    """teapot_scene001 with test photos of teapot_scene006, and one of a scene that is not there."""
    root = data / f"blender_{kind}" / "teapot_scene001"
    novel = []
    for scene, offset in (("teapot_scene001", 0.0), ("teapot_scene006", 0.25)):
        folder, truth = root.with_name(scene), data / "ground_truth" / scene
        for split in ("train", "test"):
            frames = []
            for index in range(count if split == "train" else 2):
                name = f"{index + (4 if split == 'test' else 0):04d}"
                if kind == "LDR":
                    photo(folder / f"{split}/{name}.png", index, alpha=False)
                else:
                    linear(folder / f"{split}/{name}.exr", index)
                mask(folder / f"{split}_mask/{name}.png")
                turned = index + offset + (0.5 if split == "test" else 0)
                frames.append({"file_path": f"./{split}/{name}", "rotation": 0.01,
                               "transform_matrix": pose(turned, count)})  # fmt: skip
                if split == "train":
                    continue
                truth.joinpath("surface_normal").mkdir(parents=True, exist_ok=True)
                truth.joinpath("z_depth").mkdir(exist_ok=True)
                truth.joinpath("env_map").mkdir(exist_ok=True)
                np.save(truth / f"surface_normal/{name}.npy", np.ones((*SIZE[::-1], 3)))
                np.save(truth / f"z_depth/{name}.npy", np.ones(SIZE[::-1]))
                photo(truth / f"pseudo_gt_albedo/{name}.png", index, alpha=False)
                write_exr(truth / f"env_map/{name}.exr", seen_from_the_camera())
                if offset:
                    novel.append({**frames[-1], "scene_name": scene, "camera_angle_x": 0.5})
            content = {"camera_angle_x": ANGLE_X, "frames": frames}
            tiny.rewrite(folder, content, f"transforms_{split}.json")
    novel.append({**novel[0], "scene_name": "teapot_scene007"})
    tiny.rewrite(root, {"frames": novel}, "transforms_novel.json")
    return root


def seen_from_the_camera() -> np.ndarray:
    """A map of (right, up, back) + 1 of each direction: forward in the middle, right beside it."""
    azimuth = (np.arange(16) + 0.5) * 2 * np.pi / 16 - np.pi
    polar = (np.arange(8)[:, None] + 0.5) * np.pi / 8
    right, back = np.sin(polar) * np.sin(azimuth), -np.sin(polar) * np.cos(azimuth)
    up = np.broadcast_to(np.cos(polar), (8, 16))
    return np.stack([right, up, back], -1).astype(np.float32) + 1


def openillumination(data: Path, count: int = 4, lights: tuple[str, ...] = ("001", "013")) -> Path:
    root = data / "lighting_patterns" / "obj_01_egg"
    for split in ("train", "test"):
        frames = {}
        for index in range(count if split == "train" else 2):
            camera = f"{'C' if split == 'train' else 'N'}A{index + 1}"
            for light in lights:
                path = root / f"Lights/{light}/raw_undistorted/{camera}.JPG"
                tiny.save(path, tiny.picture(index, SIZE, False), quality=95)
            mask(root / f"output/com_masks/{camera}.png")
            mask(root / f"output/obj_masks/{camera}.png")
            offset = 0.5 if split == "test" else 0
            frames[camera] = {
                "file_path": f"./images/{camera}",
                "rotation": 0,
                "transform_matrix": pose(index + offset, count),
                "camera_angle_x": ANGLE_X,
                "calib_imgw": 2656,
                "light_idx": 0,
            }
        for folder, name in (
            (data / "others", "transforms_alignz"),
            (root / "output", "transforms"),
        ):
            tiny.rewrite(folder, {"frames": frames}, f"{name}_{split}.json")
    return root


def looking_at_the_origin(center: np.ndarray) -> np.ndarray:
    """World-to-camera, 3 x 4, OpenCV axes, z up, worked out without the poses of this project."""
    forward = -center / np.linalg.norm(center)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return np.concatenate([rotation, -(rotation @ center)[:, None]], 1)


def nero(root: Path, count: int = 16, depth: bool = True) -> Path:
    intrinsics = np.array([[30.0, 0, 12], [0, 30.0, 8], [0, 0, 1]])
    for index in range(count):
        photo(root / f"{index}.png", index, alpha=False)
        turn = 2 * np.pi * index / count
        center = np.array([3 * np.cos(turn), 3 * np.sin(turn), 1.0])
        camera = (looking_at_the_origin(center).astype(np.float32), intrinsics)
        (root / f"{index}-camera.pkl").write_bytes(pickle.dumps(camera))
        if depth:
            inside = tiny.picture(index, SIZE)[..., 3] > 0
            values = np.where(inside, 3 / 15 * 65535, 65535).astype(np.uint16)
            tiny.save(root / f"{index}-depth.png", values)
    return root


def shiny_blender(root: Path, count: int = 4, alpha: bool = True) -> Path:
    for split, total in (("train", count), ("test", 2)):
        frames = []
        for index in range(total):
            stem = root / f"{split}/r_{index}"
            photo(stem.with_suffix(".png"), index, alpha)
            mask(stem.with_name(f"r_{index}_alpha.png"))
            photo(stem.with_name(f"r_{index}_normal.png"), index, alpha=False)
            disparity = np.ones(SIZE[::-1], np.float32)
            tiny.save(stem.with_name(f"r_{index}_disp.tiff"), disparity)
            offset = 0.5 if split == "test" else 0
            frames.append({"file_path": f"./{split}/r_{index}", "rotation": 0.01,
                           "transform_matrix": pose(index + offset, count)})  # fmt: skip
        tiny.rewrite(
            root, {"camera_angle_x": ANGLE_X, "frames": frames}, f"transforms_{split}.json"
        )
    return root


def nerf_synthetic(root: Path, count: int = 4) -> Path:
    for split, total in (("train", count), ("val", 2), ("test", 2)):
        frames = []
        for index in range(total):
            photo(root / f"{split}/r_{index}.png", index)
            if split == "test":
                photo(root / f"test/r_{index}_depth_0001.png", index)
                photo(root / f"test/r_{index}_normal_0001.png", index)
            offset = {"train": 0, "val": 0.25, "test": 0.5}[split]
            frames.append({"file_path": f"./{split}/r_{index}", "rotation": 0.01,
                           "transform_matrix": pose(index + offset, count)})  # fmt: skip
        tiny.rewrite(
            root, {"camera_angle_x": ANGLE_X, "frames": frames}, f"transforms_{split}.json"
        )
    return root


def converted_nero(root: Path, count: int = 16) -> Path:
    """Glossy-Synthetic as 3DGS-DR's script writes it."""
    frames = [{"file_path": f"rgb/{i}", "transform_matrix": pose(i, count)} for i in range(count)]
    for index in range(count):
        photo(root / f"rgb/{index}.png", index)
    lens = {"w": SIZE[0], "h": SIZE[1], "fl_x": 30.0, "fl_y": 30.0, "cx": 12, "cy": 8}
    for split, every in (("train", 0), ("test", 1)):
        chosen = [f for i, f in enumerate(frames) if (i % 8 == 0) == bool(every)]
        content = {**lens, "camera_angle_x": ANGLE_X, "frames": chosen}
        tiny.rewrite(root, content, f"transforms_{split}.json")
    return root
