"""Frames of two ways to relight by doing nothing, to be scored by `relight3d eval --frames`.

    python scripts/do_nothing.py CAPTURE OUT
    relight3d eval --frames OUT/unrelit --capture CAPTURE --protocol scale-free
    relight3d eval --frames OUT/albedo --capture CAPTURE --protocol scale-free

unrelit: the photo under the training light passed off as the relit one. albedo: the true albedo,
unshaded, sRGB-encoded. A relighting method has to leave both far behind.
"""

import argparse
from pathlib import Path

import numpy as np

from relight3d.capture import load
from relight3d.core.views import View
from relight3d.evaluation.tasks import relit_lights
from relight3d.evaluation.truth import coverage_of, encode_srgb, true_map
from relight3d.files.images import read_image, write_png


def main() -> None:
    parser = argparse.ArgumentParser(description="Write do-nothing frames of a capture.")
    parser.add_argument("capture", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    lights = relit_lights(load(options.capture))
    for light, entries in lights.items():
        for view, _ in entries:
            name = f"relit/{light}/{view.name}.png"
            write(options.out / "unrelit" / name, *unrelit(view))
            if "albedo" in view.truth:
                write(options.out / "albedo" / name, *unshaded(view))
    print(f"{len(lights)} lights are in {options.out / 'unrelit'} and {options.out / 'albedo'}")


def unrelit(view: View) -> tuple[np.ndarray, np.ndarray]:
    """The photo and its coverage."""
    photo = read_image(view.image_path)
    coverage = coverage_of(view, photo)
    return photo.pixels, np.ones_like(photo.pixels[..., :1]) if coverage is None else coverage


def unshaded(view: View) -> tuple[np.ndarray, np.ndarray]:
    """The albedo as a picture, and the photo's coverage."""
    albedo, _ = true_map(view, "albedo")
    values = albedo.pixels if albedo.color_space == "srgb" else encode_srgb(albedo.pixels)
    return values, unrelit(view)[1]


def write(path: Path, color: np.ndarray, alpha: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.rint(np.concatenate([color, alpha], -1).clip(0, 1) * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
