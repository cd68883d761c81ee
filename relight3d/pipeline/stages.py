"""How each stage is built from a capture: the one place that knows the rooms' constructors."""

from collections.abc import Sequence
from pathlib import Path

from relight3d.backends.interface import Rasterizer
from relight3d.backends.tracing.registry import get_tracer
from relight3d.core.job import step_generator
from relight3d.core.photos import Photo, cameras_at_one_size, cameras_of
from relight3d.core.surface import Proxy
from relight3d.core.transform import transform_splats
from relight3d.core.types import Splats
from relight3d.core.views import Capture
from relight3d.decomposition.fit import Decompose
from relight3d.decomposition.inverse.fit import InverseRendering
from relight3d.decomposition.proxy.build import build_proxy
from relight3d.decomposition.scope import Scope
from relight3d.export.ply import read_ply
from relight3d.field.splats.fit import SplatFit
from relight3d.field.splats.initialize import scene_sphere, start_splats
from relight3d.pipeline.config import TrainConfig
from relight3d.pipeline.drawing import device_of
from relight3d.shading.visibility import Sphere


def fit_job(
    capture: Capture,
    photos: Sequence[Photo],
    config: TrainConfig,
    rasterize: Rasterizer,
    start: Path | None,
) -> SplatFit:
    """The first stage: the radiance of the photos.

    Args:
        capture: Kind, sparse points and normalisation.
        photos: Its training photos.
        config: All settings.
        rasterize: The backend.
        start: A 3DGS .ply in the source's frame to begin with, or None.

    Raises:
        CaptureError: Too few photos, or nothing in common among their masks.
        FileFormatError: The .ply cannot be used.
    """
    return SplatFit(
        photos,
        config.field,
        rasterize=rasterize,
        seed=config.seed,
        start=_start(capture, photos, config, start),
        exposures=config.field.exposure and needs_exposures(capture),
        device=device_of(rasterize),
    )


def decompose_job(
    fitted: SplatFit, photos: Sequence[Photo], config: TrainConfig, rasterize: Rasterizer
) -> Decompose:
    """The second stage: materials and light, from a finished first one.

    In a scene without masks, physics is asked to explain only the middle that all cameras see.
    """
    exposures = fitted.parameters.get("log_exposure")
    return Decompose(
        photos,
        fitted.splats(),
        config.decomposition,
        rasterize=rasterize,
        seed=config.seed,
        scope=_scope(photos),
        exposures=None if exposures is None else exposures.detach().clone(),
        device=device_of(rasterize),
    )


def proxy_of(
    splats: Splats, photos: Sequence[Photo], config: TrainConfig, rasterize: Rasterizer
) -> Proxy:
    """The surface of fitted splats, without materials.

    Raises:
        SurfaceError: They show none.
    """
    device = device_of(rasterize)
    cameras = [cameras_of([photo.view]).to(device) for photo in photos]
    return build_proxy(
        splats, cameras, rasterize=rasterize, scope=_scope(photos), config=config.proxy
    )


def inverse_job(
    distilled: Decompose, proxy: Proxy, config: TrainConfig, rasterize: Rasterizer
) -> InverseRendering:
    """The third stage: the same by traced rays, from a finished second one."""
    return InverseRendering(
        distilled.photos,
        distilled.asset(),
        proxy,
        config.inverse,
        rasterize=rasterize,
        tracer=get_tracer(proxy.mesh),
        seed=config.seed,
        exposures=distilled.exposures,
        device=device_of(rasterize),
    )


def _scope(photos: Sequence[Photo]) -> Scope:
    if all(photo.coverage is not None for photo in photos):
        return Scope.everything()
    return Scope(Sphere(*scene_sphere(cameras_at_one_size([photo.view for photo in photos]))))


def needs_exposures(capture: Capture) -> bool:
    """Whether brightness may differ from photo to photo: real cameras choose it."""
    return capture.kind == "scene" or any(view.exposure is not None for view in capture.views)


def _start(
    capture: Capture, photos: Sequence[Photo], config: TrainConfig, start: Path | None
) -> Splats:
    if start is not None:
        return transform_splats(read_ply(start).splats, capture.capture_from_source)
    return start_splats(capture, photos, config.field, step_generator(config.seed, "start", 0))
