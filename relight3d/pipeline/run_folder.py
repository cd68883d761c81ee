"""The folder of one run: its files, its lock, and the settings it belongs to.

- `config.json`: settings, capture and versions, enough to repeat the run.
- `run.json`: what happened: stages, seconds, memory, machine.
- `checkpoints/`: one file per stage, to continue from.
- `asset.safetensors`: the result (`asset_file`); `environment/`: the recovered lights.
- `metrics.json`, `report.html`: how good it is, and how it looks.
- `eval.json`, `shown/`: scores and pictures for a suite (`bench_scoring`).
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Literal

from relight3d.core.checkpoint import require_same_settings
from relight3d.core.errors import CheckpointError, OutputError, Relight3dError
from relight3d.files.atomic import atomic_file

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are then not noticed
    fcntl = None

Mode = Literal["new", "resume", "overwrite"]
OWN_NAMES = {"config.json", "run.json", "losses.json", "checkpoints", "asset.safetensors",
             "environment", "metrics.json", "report.html", "eval.json", "shown",
             ".lock"}  # fmt: skip
_PLACES = ("capture_path", "start_path")


class RunFolder:
    """Paths and records of one run. Make it with `open_run` (to write) or directly (to read)."""

    def __init__(self, path: Path):
        """Name the files; nothing is read or made."""
        self.path = path
        self.config_path = path / "config.json"
        self.record_path = path / "run.json"
        self.losses_path = path / "losses.json"
        self.asset_path = path / "asset.safetensors"
        self.metrics_path = path / "metrics.json"
        self.report_path = path / "report.html"
        self.environments_path = path / "environment"
        self.eval_path = path / "eval.json"
        self.shown_path = path / "shown"

    def checkpoint_path(self, job: str) -> Path:
        """Where the stage `job` keeps its state."""
        return self.path / "checkpoints" / f"{job}.safetensors"

    def read_config(self) -> dict[str, Any]:
        """The settings the run was started with.

        Raises:
            CheckpointError: The folder is not a run, or its config.json is damaged.
        """
        return self._read(self.config_path)

    def read_record(self) -> dict[str, Any]:
        """What happened so far; empty before the first stage has ended."""
        if not self.record_path.exists():
            return {}
        record = self._read(self.record_path)
        if not isinstance(record.get("stages", {}), dict):
            raise CheckpointError(
                f"{self.record_path}: 'stages' is no object. {self._mend(self.record_path)}"
            )
        return record

    def update_record(self, changes: Mapping[str, Any]) -> None:
        """Merge into run.json, one level deep."""
        record = self.read_record()
        for name, value in changes.items():
            both_dicts = isinstance(value, Mapping) and isinstance(record.get(name), dict)
            record[name] = {**record[name], **value} if both_dicts else value
        write_json(self.record_path, record)

    def read_losses(self) -> dict[str, Any]:
        """Per stage and scalar, 'steps' and 'values'; empty before the first stage has ended."""
        return self._read(self.losses_path) if self.losses_path.exists() else {}

    def update_losses(self, changes: Mapping[str, Any]) -> None:
        """Replace the curves of some stages in losses.json."""
        write_json(self.losses_path, {**self.read_losses(), **changes})

    def _read(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            raise CheckpointError(
                f"{self.path} is not the folder of a run: it has no {path.name}. "
                "Give the folder that was --out of `relight3d train`."
            )
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}). {self._mend(path)}") from error
        if not isinstance(content, dict):
            raise CheckpointError(f"{path} is not a record of a run. {self._mend(path)}")
        return content

    def _mend(self, path: Path) -> str:
        if path == self.config_path:
            return "The run is damaged: restore the file, or train again with --overwrite."
        return "It only tells what happened: remove it, and continue the run with --resume."


@contextlib.contextmanager
def open_run(
    path: Path, settings: Mapping[str, Any], mode: Mode, about: Mapping[str, Any]
) -> Iterator[RunFolder]:
    """Make or continue a run folder, held by this process alone while the body runs.

    Args:
        path: The folder.
        settings: What the result depends on; a run to resume must have the same.
        mode: 'new' refuses a folder with anything in it; 'resume' continues, or begins where
            nothing was begun; 'overwrite' first removes what an earlier run left.
        about: Stored beside the settings, not compared: versions, command.

    Raises:
        OutputError: The folder is in use, holds something else, or cannot be written.
        CheckpointError: The run to resume has other settings.
    """
    try:
        if path.exists() and not path.is_dir():
            raise OutputError(f"--out {path} is a file. Name a folder that does not exist yet.")
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            run = RunFolder(path)
            _prepare(run, settings, mode)
            (path / "checkpoints").mkdir(exist_ok=True)
            is_first = not run.config_path.exists()
            _note_origin(run, settings, about)
            try:
                yield run
            except Relight3dError:
                if is_first and not any((path / "checkpoints").iterdir()):
                    _clear(run)  # nothing to resume
                    if is_new:
                        path.rmdir()
                raise
    except OSError as error:
        if not _is_about(error, path):
            raise
        raise OutputError(
            f"Could not write in the run folder {path}: {error.strerror}. "
            "Free some space, mend its permissions, or choose another --out."
        ) from error


@contextlib.contextmanager
def hold_run(path: Path) -> Iterator[RunFolder]:
    """Work in an existing run, alone.

    Raises:
        CheckpointError: The folder is not a run.
        OutputError: Another process works in it.
    """
    run = RunFolder(path)
    run.read_config()
    try:
        with _locked(path):
            yield run
    except OSError as error:
        if not _is_about(error, path):
            raise
        raise OutputError(
            f"Could not write in the run folder {path}: {error.strerror}. Free some space, or mend "
            "its permissions."
        ) from error


def _note_origin(run: RunFolder, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write config.json; in a run that is resumed, note where its capture lies by now."""
    if not run.config_path.exists():
        write_json(run.config_path, {"settings": dict(settings), **about})
        return
    known = run.read_config()
    moved = {name: about[name] for name in _PLACES if name in about}
    if {name: known.get(name) for name in moved} != moved:
        write_json(run.config_path, {**known, **moved})


def _prepare(run: RunFolder, settings: Mapping[str, Any], mode: Mode) -> None:
    present = {entry.name for entry in run.path.iterdir() if not entry.name.endswith(".partial")}
    present -= {".lock"}
    begun = run.config_path.exists()
    if mode == "resume" and begun:
        require_same_settings(
            run.config_path,
            settings,
            run.read_config().get("settings", {}),
            "A run continues only with the settings it began with: use those, "
            "or another --out, or --overwrite to start again.",
        )
    elif present and not begun:
        raise OutputError(
            f"--out {run.path} is not empty and holds no run ({', '.join(sorted(present)[:5])}); "
            "it is left as it is. Name another folder."
        )
    elif begun and mode == "new":
        raise OutputError(
            f"--out {run.path} already holds a run. Add --resume to continue it, "
            "--overwrite to replace it, or name another folder."
        )
    elif begun:
        _clear(run, keep={".lock"})


def _clear(run: RunFolder, keep: Set[str] = frozenset()) -> None:
    for name in OWN_NAMES - keep:
        remove(run.path / name)


def _is_about(error: OSError, path: Path) -> bool:
    """Whether the system refused this folder, something in it, or a folder it is in."""
    if error.filename is None:
        return False
    name = Path(os.fsdecode(error.filename))
    return name == path or path in name.parents or name in path.parents


def remove(path: Path) -> None:
    """Remove a file or a folder, if there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when the process ends, however it ends."""
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"Another process is working in {path}. Wait until it has ended, or name "
                    "another --out."
                ) from error
        yield
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
