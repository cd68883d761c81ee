"""Anybody's frames in a folder, matched to the test views of a capture, or refused.

Two layouts are found. By map, as `relight3d render` and most other programs write them:

    DIR/rgb/000.png ...  DIR/albedo/...  DIR/normal/...  DIR/depth/000.npy  DIR/relit/LIGHT/000.png
    (or the pictures of rgb in DIR itself; or DIR/LIGHT/... for a light that the capture knows)

Files are called after the view (test_003.png), its photo, or its number among the test views
(3.png, 003.png, r_3.png). Or by view, the layout that the capture itself has:

    DIR/test_003/rgba_LIGHT.png albedo.png ...

A map that has a frame must have one for every test view that has its truth, of the truth's size and
bit depth. Beside the maps may lie environment.hdr or .exr, the recovered light.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from relight3d.core.errors import CaptureError, FileFormatError
from relight3d.core.views import Capture, View
from relight3d.evaluation.alignment import NO_GAIN, Gain
from relight3d.evaluation.tasks import novel_views, relit_lights, truth_of
from relight3d.files.environment import read_environment
from relight3d.files.exr import read_exr_rgb
from relight3d.files.images import SUFFIXES, Image, read_image
from relight3d.files.reading import read_array

_NUMBER = re.compile(r"(\d{1,9})(?!.*\d)")
_DEPTH_SUFFIXES = (".npy", ".exr")
_SHOWN = 5


class FolderFrames:
    """A `FrameSource` of files."""

    applies_gain = False

    def __init__(self, root: Path, capture: Capture) -> None:
        """Look what is there; pictures are read when they are asked for.

        Raises:
            CaptureError: Frames under a light of which the capture has no truth.
            FileFormatError: No such folder, or no frame of this capture in it.
        """
        if not root.is_dir():
            raise FileFormatError(f"The folder of frames {root} does not exist. Check the path.")
        self._root, self._capture = root, capture
        self._views = capture.split("test")
        self._relit = relit_lights(capture)
        self._names = list(self._relit)
        self._check_lights()
        maps = ["rgb", "albedo", "normal", "roughness", "metallic", "depth"]
        maps += [f"relit/{name}" for name in self._names]
        self._found = {what: found for what in maps if (found := self._frames_of(what))}
        if not self._found:
            raise FileFormatError(
                f"{root} has no frame of {capture.root.name}. Looked for pictures in it, in rgb/, "
                f"albedo/, normal/, roughness/, metallic/, depth/, relit/LIGHT/, and for the "
                f"capture's own layout ({self._views[0].name}/...). See `relight3d eval --help`."
            )

    def why_not(self, what: str) -> str | None:
        """Why a map cannot be shown; None if it can."""
        return None if what in self._found else f"no frames of {what}"

    def draw(self, view: View, what: str, truth: Path, gain: Gain = NO_GAIN) -> Image:
        """One map of one view (see `FrameSource`)."""
        assert gain == NO_GAIN, "files cannot be relit"
        if truth.suffix == ".npy":  # numbers, not a picture: any precision will do
            wanted = Image(
                np.zeros((view.height_px, view.width_px, 3), np.float32), None, "srgb", 8
            )
        else:
            wanted = read_image(truth)
        candidates = self._found[what][view.name]
        images = [read_image(path) for path in candidates]
        fitting = [image for image in images if image.bits == wanted.bits]
        if not fitting:
            raise FileFormatError(
                f"The frame {candidates[0]} has {_depth_words(images[0])}, its truth {truth} has "
                f"{_depth_words(wanted)}. Rounding changes scores: write frames as the truth is."
            )
        if len(fitting) > 1:
            raise FileFormatError(
                f"{candidates[0].parent} has {len(fitting)} frames for the view {view.name} "
                f"({', '.join(path.name for path in candidates)}). Which one counts? Keep one."
            )
        if fitting[0].pixels.shape != wanted.pixels.shape:
            height, width = fitting[0].pixels.shape[:2]
            raise FileFormatError(
                f"The frame {candidates[0]} is {width} x {height} pixels, its truth {truth} is "
                f"{wanted.pixels.shape[1]} x {wanted.pixels.shape[0]}. Nothing is resized, for "
                "that changes scores: render at the truth's size."
            )
        return fitting[0]

    def depth(self, view: View) -> Float[np.ndarray, "H W"]:
        """World units of the source, as the truth is."""
        path = self._found["depth"][view.name][0]
        if path.suffix == ".exr":
            values = read_exr_rgb(path)[0][..., 0]
        else:
            values = read_array(path, "The depth map").astype(np.float32).squeeze()
        if values.shape != (view.height_px, view.width_px):
            raise FileFormatError(
                f"The depth map {path} has the shape {list(values.shape)}, its view is "
                f"{view.width_px} x {view.height_px} pixels. Render at the truth's size."
            )
        return values

    def environment(self, name: str) -> Float[np.ndarray, "h w 3"] | None:
        """environment.hdr or .exr, taken for the light of the photos."""
        for suffix in (".hdr", ".exr"):
            path = self._root / f"environment{suffix}"
            if path.is_file():
                return read_environment(path).radiance_linear.numpy()
        return None

    def _check_lights(self) -> None:
        folder = self._root / "relit"
        given = [p.name for p in sorted(folder.iterdir()) if p.is_dir()] if folder.is_dir() else []
        unknown = [name for name in given if name not in self._names]
        if unknown:
            known = ", ".join(self._names) or "none"
            raise CaptureError(
                f"{folder} has frames under {', '.join(unknown)}, but {self._capture.root} has no "
                f"truth under that light. It has: {known}. Rename or remove them."
            )

    def _frames_of(self, what: str) -> Mapping[str, list[Path]]:
        """Files by view, for every view whose truth of this map exists; empty if there are none."""
        truths = self._truths_of(what)
        if not truths:
            return {}
        beside = self._beside_truth(what, truths)
        if beside:
            return self._complete(what, truths, beside, self._root)
        for folder in self._folders(what):
            suffixes = _DEPTH_SUFFIXES if what == "depth" else SUFFIXES
            files = [
                path
                for path in sorted(folder.iterdir())
                if path.suffix.lower() in suffixes and path.stem != "environment"
            ]
            if files:
                return self._complete(what, truths, self._matched(files, truths), folder)
        return {}

    def _truths_of(self, what: str) -> dict[str, Path]:
        """By view, what a map is held against."""
        if what.startswith("relit/"):
            return {view.name: path for view, path in self._relit[what.removeprefix("relit/")]}
        views = novel_views(self._capture) if what == "rgb" else self._views
        return {view.name: path for view in views if (path := truth_of(view, what))}

    def _beside_truth(self, what: str, truths: Mapping[str, Path]) -> dict[str, list[Path]]:
        """Frames under the path that the truth has in the capture."""
        found = {}
        for name, path in truths.items():
            if path.is_relative_to(self._capture.root):
                frame = self._root / path.relative_to(self._capture.root)
                if frame.is_file() and (what == "depth" or frame.suffix.lower() in SUFFIXES):
                    found[name] = [frame]
        return found

    def _folders(self, what: str) -> list[Path]:
        candidates = [self._root / what]
        if what == "rgb":
            candidates.append(self._root)
        if what.startswith("relit/"):
            candidates.append(self._root / what.removeprefix("relit/"))
        return [path for path in candidates if path.is_dir()]

    def _matched(self, files: Sequence[Path], truths: Mapping[str, Path]) -> dict[str, list[Path]]:
        """Files called after views, after photos, or after numbers, whichever fits."""
        views = [view for view in self._views if view.name in truths]
        by_stem: dict[str, list[Path]] = {}
        for path in files:
            by_stem.setdefault(path.stem, []).append(path)
        for names in ([v.name for v in views], [v.image_path.stem for v in views]):
            if len(set(names)) == len(views) and not by_stem.keys().isdisjoint(names):
                pairs = zip(views, names, strict=True)
                return {view.name: by_stem[name] for view, name in pairs if name in by_stem}
        by_number: dict[int, list[Path]] = {}
        for stem, paths in by_stem.items():
            number = _NUMBER.search(stem)
            if number:
                by_number.setdefault(int(number[1]), []).extend(paths)
        if by_number and max(by_number) >= len(self._views):
            raise FileFormatError(
                f"{files[0].parent} has a frame number {max(by_number)}, but the capture has "
                f"{len(self._views)} test views, 0 to {len(self._views) - 1}. Number the frames of "
                "the test views alone, or call them after the views: "
                f"{views[0].name}{files[0].suffix} ..."
            )
        numbered = {view.name: i for i, view in enumerate(self._views)}
        return {v.name: by_number[numbered[v.name]] for v in views if numbered[v.name] in by_number}

    def _complete(
        self,
        what: str,
        truths: Mapping[str, Path],
        found: dict[str, list[Path]],
        folder: Path,
    ) -> dict[str, list[Path]]:
        missing = [name for name in truths if name not in found]
        if missing:
            shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            raise FileFormatError(
                f"{folder}: frames of {what} are missing for {len(missing)} of {len(truths)} test "
                f"views ({shown}). A score over fewer views would not be what it claims to be: "
                "add them."
            )
        return found


def _depth_words(image: Image) -> str:
    return "32-bit floats" if image.bits == 32 else f"{image.bits} bits a channel"
