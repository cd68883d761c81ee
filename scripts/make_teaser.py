"""The picture of the README: one test view of a run, its maps, and new lights.

    python scripts/make_teaser.py RUN ENV.hdr [ENV.hdr ...] --view 3

Writes data/pictures/teaser.png.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from relight3d.files.images import read_image
from relight3d.files.pictures import contact_sheet, encode_png, over

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "data" / "pictures" / "teaser.png"
MAPS = {"rgb": "under its own light", "albedo": "albedo", "normal": "normal",
        "roughness": "roughness"}  # fmt: skip


def main() -> None:
    """Render what is needed and put it side by side."""
    parser = argparse.ArgumentParser(description="Make the README's picture.")
    parser.add_argument("run", type=Path)
    parser.add_argument("environments", nargs="+", type=Path)
    parser.add_argument("--view", type=int, default=0, help="which test view")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        own = render(options.run, Path(scratch) / "own", ",".join(MAPS))
        shown = {label: frame(own, name, options.view) for name, label in MAPS.items()}
        for path in options.environments:
            lit = render(options.run, Path(scratch) / path.stem, "rgb", "--env", str(path))
            shown[path.stem.replace("_", " ")] = frame(lit, "rgb", options.view)
    sheet = contact_sheet([list(shown.values())], column_labels=list(shown))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(encode_png(sheet))
    print(f"The picture is {OUT.relative_to(ROOT)}")


def render(run: Path, out: Path, aovs: str, *options: str) -> Path:
    """Test views of a run."""
    command = [sys.executable, "-m", "relight3d.cli", "render", str(run), "--views", "test"]
    subprocess.run([*command, "--aovs", aovs, "--out", str(out), *options], check=True)
    return out


def frame(folder: Path, aov: str, index: int) -> np.ndarray:
    """One rendered picture over white, 8-bit."""
    image = read_image(folder / aov / f"{index:03d}.png")
    assert image.alpha is not None
    pixels = np.concatenate([image.pixels, image.alpha], -1)
    return over((pixels * 255 + 0.5).astype(np.uint8))


if __name__ == "__main__":
    main()
