"""The whole flow on one page. Each line is a room; each value is what passes through its door."""

import dataclasses
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from relight3d.backends.interface import Rasterizer
from relight3d.core.errors import SurfaceError
from relight3d.core.job import Job
from relight3d.core.photos import Photo
from relight3d.core.types import Asset
from relight3d.core.views import Capture
from relight3d.decomposition.fit import Decompose
from relight3d.decomposition.proxy.vertex_weights import with_materials
from relight3d.files.environment import write_environment
from relight3d.pipeline import stages
from relight3d.pipeline.asset_file import save_asset
from relight3d.pipeline.config import TrainConfig
from relight3d.pipeline.loop import Cadence, run_job
from relight3d.pipeline.machine import describe_machine, peak_memory_mb, reset_peak_memory
from relight3d.pipeline.review import frames_of, write_metrics, write_report
from relight3d.pipeline.run_folder import RunFolder
from relight3d.pipeline.run_settings import decompose_settings, fit_settings, inverse_settings
from relight3d.pipeline.signals import StopRequest, stop_request


@dataclasses.dataclass(frozen=True)
class Flow:
    """One run: what is given, where it goes, and the stages in their order."""

    run: RunFolder
    capture: Capture
    photos: Sequence[Photo]
    """Its training photos."""
    config: TrainConfig
    settings: dict[str, Any]
    rasterize: Rasterizer
    cadence: Cadence

    def run_to(
        self, last_stage: Literal["fit", "decompose"], start: Path | None, review: bool
    ) -> None:
        """Do every stage that is not done yet, then score and report if `review`."""
        self.run.update_record({"machine": describe_machine(), "status": "running"})
        photos = self.photos
        with stop_request() as stop:
            fit = stages.fit_job(self.capture, photos, self.config, self.rasterize, start)
            self._finish(fit, fit_settings(self.settings), stop)
            asset = Asset(fit.splats(), materials=None, environments={})
            if last_stage == "decompose":
                parts = stages.decompose_job(fit, photos, self.config, self.rasterize)
                del fit  # its moments are no longer needed
                self._finish(parts, decompose_settings(self.settings), stop)
                asset = self._traced(parts, stop)
        save_asset(self.run.asset_path, asset)
        for name, light in asset.environments.items():
            write_environment(self.run.environments_path / f"{name}.hdr", light)
        if review:
            self._review(asset)
        self.run.update_record({"status": "finished", "last_stage": last_stage})

    def _traced(self, parts: Decompose, stop: StopRequest) -> Asset:
        """What distillation found on its proxy mesh, refined by traced rays if that is wanted."""
        asset = parts.asset()
        try:
            with self._timed("proxy"):
                proxy = stages.proxy_of(asset.splats, self.photos, self.config, self.rasterize)
        except SurfaceError as error:
            if self.config.inverse.steps:
                raise
            warnings.warn(f"{error} The asset has no proxy mesh.", stacklevel=2)
            return asset
        if self.config.inverse.steps:
            job = stages.inverse_job(parts, proxy, self.config, self.rasterize)
            self._finish(job, inverse_settings(self.settings), stop)
            asset = job.asset()
        assert asset.materials is not None
        proxy = with_materials(proxy, asset.materials, asset.splats.gaussians())
        return dataclasses.replace(asset, proxy=proxy)

    def _finish(self, job: Job, settings: dict[str, Any], stop: StopRequest) -> None:
        """Bring a stage to its end and note what it took."""
        path = self.run.checkpoint_path(job.name)
        record = run_job(job, path, settings, stop, self.cadence)
        noted = dataclasses.asdict(record)
        curves = noted.pop("curves")
        self.run.update_record({"stages": {record.name: noted}})
        self.run.update_losses({record.name: curves})

    def _review(self, asset: Asset) -> None:
        frames = frames_of(self.capture, asset, self.rasterize, self.config.score_spp)
        if self.capture.split("test"):
            with self._timed("score"):
                write_metrics(self.run, self.capture, frames)
        with self._timed("report"):
            write_report(self.run, self.capture, frames)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        reset_peak_memory()
        start = time.monotonic()
        yield
        noted = {"seconds": time.monotonic() - start, "peak_memory_mb": peak_memory_mb()}
        self.run.update_record({"stages": {name: noted}})
