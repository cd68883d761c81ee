"""Make a capture file by file; what an interrupted run has written is kept.

Every file is written whole or not at all and depends on the plan alone, so that a resumed run
gives the bytes of an undisturbed one.
"""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from capture_maker import files
from capture_maker.lights import environment_emitter, point_emitter, write_map
from capture_maker.maps import true_maps
from capture_maker.plan import Plan
from capture_maker.tracer import Tracer
from relight3d.core.errors import CaptureError, FileFormatError
from relight3d.core.progress import Progress
from relight3d.files.safety import read_json

UNFINISHED = "UNFINISHED.txt"
_OWN = re.compile(
    r"scene\.json|envmaps|(train|test)(_\d+)?|transforms_(train|test)\.json|UNFINISHED\.txt"
)
_ABANDONED = re.compile(r"\..*\.partial.*")
MEASURED_VIEWS, MEASURED_PX, MEASURED_SPP = 4, 64, 256


@dataclasses.dataclass(frozen=True)
class Task:
    """One step: the files it writes, and how."""

    paths: tuple[Path, ...]
    make: Callable[[], None]


def make(plan: Plan, mi: ModuleType, out: Path, overwrite: bool = False) -> None:
    """Render everything that `out` does not have yet.

    Raises:
        CaptureError: `out` holds something else.
        OutputError: A file could not be written.
    """
    measured = _prepare(plan, out, overwrite)
    tracer = Tracer(mi, plan.stage.surfaces)
    for source in plan.maps:
        if not map_path(out, source.name).exists():
            write_map(source, map_path(out, source.name), plan.mean_radiance)
    if measured is None:
        measured = measure_indirect(plan, tracer, out)
        files.write_json(out / "scene.json", {**plan.description, "measured": measured})
    tasks = _Job(plan, tracer, out).tasks()
    waiting = [task for task in tasks if not all(path.exists() for path in task.paths)]
    done = len(tasks) - len(waiting)
    progress = Progress("rendering", len(tasks), done)
    for task in waiting:
        task.make()
        done += 1
        progress.update(done, {})
    progress.close(done, {})
    (out / UNFINISHED).unlink(missing_ok=True)


def _prepare(plan: Plan, out: Path, overwrite: bool) -> dict | None:
    """Make `out` ready; what was measured before, if the same capture was begun there."""
    if out.exists() and not out.is_dir():
        raise CaptureError(f"--out {out} is a file. Name a folder.")
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    names = [name for name in names if not _ABANDONED.fullmatch(name)]
    measured = None
    problem = None
    if "scene.json" in names:
        try:
            known = read_json(out / "scene.json")
        except FileFormatError:
            known = {}
        measured = known.pop("measured", None)
        problem = _difference(known, plan.description)
    elif names:
        problem = f"holds other files ({', '.join(sorted(names)[:3])})"
    if problem:
        foreign = [name for name in names if not _OWN.fullmatch(name)]
        if not overwrite or "scene.json" not in names or foreign:
            advice = "Choose another folder"
            if "scene.json" in names and not foreign:
                advice += ", or give --overwrite to remove that capture"
            raise CaptureError(f"--out {out} {problem}; it is left as it is. {advice}.")
        for name in sorted(names, key=lambda name: name == "scene.json"):  # the sign of it last
            path = out / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        measured = None
    if measured is None:
        files.write_json(out / "scene.json", plan.description)
    files.write_text(
        out / UNFINISHED,
        "This capture is not complete. The command that began it, given again, goes on.\n",
    )
    return measured


def _difference(known: dict, asked: dict) -> str | None:
    asked = json.loads(json.dumps(asked))
    for key in sorted({*known, *asked}):
        if known.get(key) != asked.get(key):
            found, wanted = (json.dumps(d.get(key))[:60] for d in (known, asked))
            return f"holds a capture of other settings ({key}: there {found}, asked {wanted})"
    return None


def map_path(out: Path, name: str) -> Path:
    """Where the capture keeps a light's map."""
    return out / "envmaps" / f"{name}.hdr"


def measure_indirect(plan: Plan, tracer: Tracer, out: Path) -> dict:
    """The share of light that met more than one surface before it reached the camera.

    Measured as 1 - (paths of depth 2) / (all paths), summed over pixels of a few views.
    """
    split = "test" if plan.settings.test else "train"
    poses = plan.poses(split)
    chosen = np.unique(np.linspace(0, len(poses) - 1, min(MEASURED_VIEWS, len(poses))).astype(int))
    size, spp = min(MEASURED_PX, plan.settings.size), min(MEASURED_SPP, 4 * plan.spp)
    total = np.zeros(2)
    emitters = {}
    if plan.maps:
        emitter = environment_emitter(
            map_path(out, plan.maps[0].name), plan.settings.rotations[0], plan.stage.window
        )
        emitters = dict.fromkeys(chosen, emitter)
    else:
        lights = plan.light_positions(split)
        emitters = {index: point_emitter(lights[index], plan.intensity) for index in chosen}
    for column, depth in enumerate((2, plan.max_depth)):
        scene, last = None, None
        for index in chosen:
            if emitters[index] is not last:
                last = emitters[index]
                scene = tracer.scene(last, depth, hide_light=True)
            seed = plan.seed("measure", depth, index)
            picture = tracer.radiance(
                scene, poses[index], plan.stage.views.fov_x_rad, size, spp, seed
            )
            total[column] += picture[..., :3].sum(dtype=np.float64)
    share = 0.0 if total[1] <= 0 else max(0.0, 1.0 - total[0] / total[1])
    return {
        "indirect_share": round(float(share), 4),
        "indirect_share_is": "1 - (light of path depth 2) / (light of full depth), summed over "
        f"{len(chosen)} {split} views of {size} px, {spp} spp, under the first light",
    }


class _Job:
    """The steps of a capture, in the order of their lights."""

    def __init__(self, plan: Plan, tracer: Tracer, out: Path):
        self._plan, self._tracer, self._out = plan, tracer, out
        self._scene_key, self._scene = None, None

    def tasks(self) -> list[Task]:
        return self._point_tasks() if self._plan.settings.points else self._map_tasks()

    def _map_tasks(self) -> list[Task]:
        """TensoIR's layout. Pictures by light; a view's metadata.json last, as its seal."""
        plan, settings, tasks = self._plan, self._plan.settings, []
        train, *relight = (source.name for source in plan.maps)
        poses = {split: plan.poses(split) for split in ("train", "test")}
        folders = {
            split: [self._out / f"{split}_{i:03d}" for i in range(len(poses[split]))]
            for split in poses
        }
        turns = settings.rotations
        for turn_index, turn in enumerate(turns):
            name = f"rgba_{train}_{turn:03d}.png"
            for i in range(turn_index, settings.train, len(turns)):
                tasks.append(
                    self._picture(folders["train"][i] / name, poses["train"][i], train, turn)
                )
            if turn_index == 0:
                for folder, pose in zip(folders["test"], poses["test"], strict=True):
                    tasks.append(self._picture(folder / name, pose, train, turn))
        for light in relight:
            for folder, pose in zip(folders["test"], poses["test"], strict=True):
                tasks.append(self._picture(folder / f"rgba_{light}.png", pose, light, 0))
        for folder, pose in zip(folders["test"], poses["test"], strict=True):
            names = {"depth": "depth.npy"} | {key: f"{key}.png" for key in files.MAP_NAMES}
            tasks.append(self._truth({k: folder / n for k, n in names.items()}, pose))
        for split, views in poses.items():
            for i, (folder, pose) in enumerate(zip(folders[split], views, strict=True)):
                turn = turns[i % len(turns)] if split == "train" else turns[0]
                path = folder / "metadata.json"
                content = files.metadata(plan, pose, train, turn)
                tasks.append(Task((path,), lambda p=path, c=content: files.write_json(p, c)))
        return tasks

    def _point_tasks(self) -> list[Task]:
        """NRHints' layout; transforms_*.json last, as the seal."""
        plan, tasks, seals = self._plan, [], []
        for split in ("train", "test"):
            poses, lights = plan.poses(split), plan.light_positions(split)
            for i, (pose, light) in enumerate(zip(poses, lights, strict=True)):
                path = self._out / split / f"r_{i:03d}.png"
                tasks.append(self._picture(path, pose, light, 0))
                if split == "test":
                    names = {"depth": "depth.npy"} | {key: f"{key}.png" for key in files.MAP_NAMES}
                    paths = {k: path.with_name(f"{path.stem}_{n}") for k, n in names.items()}
                    tasks.append(self._truth(paths, pose))
            path = self._out / f"transforms_{split}.json"
            content = files.transforms(plan, split, poses, lights)
            seals.append(Task((path,), lambda p=path, c=content: files.write_json(p, c)))
        return tasks + seals

    def _picture(
        self, path: Path, pose: np.ndarray, light: str | np.ndarray, turn_deg: int
    ) -> Task:
        def render() -> None:
            plan, views = self._plan, self._plan.stage.views
            seed = plan.seed("picture", path.relative_to(self._out).as_posix())
            radiance = self._tracer.radiance(
                self._lit(light, turn_deg), pose, views.fov_x_rad, plan.settings.size,
                plan.spp, seed,
            )  # fmt: skip
            files.write_picture(path, radiance, plan.stage.enclosed)

        return Task((path,), render)

    def _lit(self, light: str | np.ndarray, turn_deg: int) -> object:
        """The scene under a light; the last one is kept, as its map takes time to prepare."""
        key = (light if isinstance(light, str) else tuple(light), turn_deg)
        if key != self._scene_key:
            if isinstance(light, str):
                emitter = environment_emitter(
                    map_path(self._out, light), turn_deg, self._plan.stage.window
                )
            else:
                emitter = point_emitter(light, self._plan.intensity)
            hide = not self._plan.stage.enclosed
            self._scene = self._tracer.scene(emitter, self._plan.max_depth, hide)
            self._scene_key = key
        return self._scene

    def _truth(self, paths: dict[str, Path], pose: np.ndarray) -> Task:
        def render() -> None:
            plan = self._plan
            name = paths["depth"].relative_to(self._out).as_posix()
            maps = true_maps(
                self._tracer, pose, plan.stage.views.fov_x_rad, plan.settings.size,
                plan.seed("maps", name),
            )  # fmt: skip
            files.write_maps(paths, maps)

        return Task(tuple(paths.values()), render)
