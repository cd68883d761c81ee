"""Hand-made captures and frames whose scores are known in closed form."""

import dataclasses
from pathlib import Path

import numpy as np

from relight3d.core.views import Capture, View, ViewLight
from relight3d.evaluation.alignment import NO_GAIN
from relight3d.files.images import Image, read_image, write_png

SIZE = 24


def disc(radius=8):
    """Alpha of a disc, 0 or 1."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    return (x**2 + y**2 < radius**2).astype(np.float32)[..., None]


def flat(*color):
    values = color * 3 if len(color) == 1 else color
    return np.broadcast_to(np.array(values, np.float32), (SIZE, SIZE, 3)).copy()


def write(path, color, alpha=None):
    """A PNG of values in [0, 1]; returns its path."""
    planes = color if alpha is None else np.concatenate([color, alpha], -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.rint(planes * 255).astype(np.uint8))
    return path


@dataclasses.dataclass
class Look:
    """Values in [0, 1] of the pictures of one view."""

    photo: np.ndarray = dataclasses.field(default_factory=lambda: flat(0.4))
    alpha: np.ndarray | None = dataclasses.field(default_factory=disc)
    maps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    relit: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def make_capture(root: Path, looks: list[Look], albedo_space="linear") -> Capture:
    """A capture in TensoIR's folders with one test view a look and three training views."""
    views = []
    for index, look in enumerate(looks):
        folder = root / f"test_{index:03d}"
        truth = {
            name: write(folder / f"{name}.png", values, look.alpha)
            for name, values in look.maps.items()
        }
        for name, values in look.relit.items():
            truth[f"relit/{name}"] = write(folder / f"rgba_{name}.png", values, look.alpha)
        photo = write(folder / "rgba_sky.png", look.photo, look.alpha)
        views.append(_view(folder.name, photo, "test", truth, albedo_space))
    for index in range(3):
        folder = root / f"train_{index:03d}"
        photo = write(folder / "rgba_sky.png", flat(0.5), disc())
        views.append(_view(folder.name, photo, "train", {}, albedo_space))
    names = sorted({name for look in looks for name in look.relit})
    lights = {name: root / "envmaps" / f"{name}.hdr" for name in names}
    return Capture(root.resolve(), tuple(views), "object", environments=lights)


def _view(name, photo, split, truth, albedo_space):
    light = ViewLight("sky")
    intrinsics = np.array([[30.0, 0, SIZE / 2], [0, 30.0, SIZE / 2], [0, 0, 1]])
    return View(name, photo, SIZE, SIZE, intrinsics, np.eye(4), split, light=light, truth=truth,
                albedo_space=albedo_space)  # fmt: skip


class Given:
    """A `FrameSource`: the truth, changed by functions of (values, view's index)."""

    applies_gain = False

    def __init__(self, capture, **changes):
        """`changes`: map ('relit': all lights) -> function to new values, or (values, alpha)."""
        self.changes = changes
        self.order = {view.name: i for i, view in enumerate(capture.split("test"))}
        self.gains = []

    def why_not(self, what):
        return "not given" if what in ("physics", "depth") else None

    def draw(self, view, what, truth, gain=NO_GAIN):
        self.gains.append(gain)
        image = read_image(truth)
        change = self.changes.get(what.split("/")[0])
        if change is None:
            return image
        changed = change(image.pixels, self.order[view.name])
        values, alpha = changed if isinstance(changed, tuple) else (changed, image.alpha)
        return Image(np.asarray(values, np.float32), alpha, image.color_space, image.bits)

    def depth(self, view):
        raise AssertionError("not given")

    def environment(self, name):
        return None
