"""Photos without poses to posed photos: structure from motion with several strategies.

Cheap strategies first; the next one runs only while too many photos are left out. The model with
the most photos wins. A photo counts only if enough points hold it: the global mapper places every
photo, also those that hardly match.
"""

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pycolmap

from relight3d.capture.colmap_files import ModelPoints
from relight3d.core.errors import CaptureError

MIN_POINTS_PER_PHOTO = 20
MIN_PHOTOS = 3
_EXHAUSTIVE_LIMIT = 120
_SEQUENTIAL_OVERLAP = 12
_GUIDED_PAIRS = 100


@dataclasses.dataclass(frozen=True)
class PhotoGroup:
    """Photos of one size by one camera at one focal length; they share their intrinsics."""

    names: tuple[str, ...]
    width_px: int
    height_px: int
    focal_px: float | None
    """From metadata; None if unknown."""


@dataclasses.dataclass(frozen=True)
class Posing:
    """What the search for poses found."""

    model: pycolmap.Reconstruction
    strategy: str
    left_out: dict[str, str]
    """Photos without a pose, with the reason."""


@dataclasses.dataclass(frozen=True)
class _Features:
    name: str
    peak_threshold: float
    affine: bool = False
    guided: bool = False
    masked: bool = True
    enough: float = 1.0
    """No further features are tried once this share of the photos has a pose."""


@dataclasses.dataclass(frozen=True)
class _Mapper:
    name: str
    kind: Literal["incremental", "global"]
    min_triangulation_deg: float = 16.0
    min_initial_inliers: int = 100
    min_pose_inliers: int = 30
    min_pose_inlier_ratio: float = 0.25
    max_attempts: int = 3


_FEATURES = (
    _Features("SIFT", 0.0067, enough=0.95),
    _Features("dense SIFT", 0.002, enough=0.95),
    _Features("dense SIFT, guided", 0.002, guided=True, enough=0.85),
    _Features("dense affine SIFT, guided", 0.002, affine=True, guided=True, enough=0.5),
    _Features("dense SIFT without masks", 0.002, masked=False),
)
_MAPPERS = (
    _Mapper("incremental", "incremental"),
    _Mapper("global", "global"),
    _Mapper("incremental, easier start", "incremental", 4.0, 40, 15, 0.1, 10),
)


def pose_photos(
    folder: Path, groups: Sequence[PhotoGroup], masks: Path | None, work: Path, seed: int,
    say: Callable[[str], None],
) -> Posing:  # fmt: skip
    """Find poses, intrinsics and sparse points.

    Args:
        folder: Upright photos.
        groups: Which photos share a camera.
        masks: Folder of NAME.jpg.png masks (white = object); features lie in the white only.
        work: A folder for databases and models.
        seed: For all sampling. Repeatable with the same photos and version.
        say: Told what is being tried.

    Raises:
        CaptureError: Fewer than three photos could be posed; says why and what to do.
    """
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.FATAL)
    pycolmap.set_random_seed(seed)
    names = [name for group in groups for name in group.names]
    best: Posing | None = None
    for features in _FEATURES:
        if masks is None and not features.masked:
            continue
        say(f"matching {len(names)} photos: {features.name}")
        database = work / f"{features.peak_threshold}_{features.affine}_{features.masked}.db"
        try:
            if database.exists():  # the same features, matched again, guided by the geometry
                _rematch(database, names, best, work, seed)
            else:
                _extract(database, folder, groups, masks if features.masked else None, features)
                _match(database, len(names), features, seed)
        except (RuntimeError, ValueError) as error:
            raise CaptureError(
                f"Matching the photos failed: {str(error)[:200]}. Check that the disk has room; "
                "photos with poses (nerfstudio, COLMAP) need no matching."
            ) from error
        for mapper in _MAPPERS:
            found = _map(database, folder, work, mapper, seed, names)
            if found is None:
                continue
            found = dataclasses.replace(found, strategy=f"{features.name}; {mapper.name}")
            say(f"{found.strategy}: {len(names) - len(found.left_out)} of {len(names)} posed")
            best = found if best is None or _rank(found) > _rank(best) else best
            if not best.left_out:
                return best
        if best is not None and _share(best, names) >= features.enough:
            break
    if best is None:
        raise CaptureError(
            f"No camera poses could be found for the {len(names)} photos: too few points match "
            "between them. Take photos that overlap by two thirds, all around, sharp, in even "
            "light, with some texture in view (a printed cloth under a plain object helps)."
        )
    return best


def _share(posing: Posing, names: Sequence[str]) -> float:
    return 1.0 - len(posing.left_out) / len(names)


def _rank(posing: Posing) -> tuple[int, int]:
    """More photos, then more observations."""
    return posing.model.num_reg_images(), posing.model.compute_num_observations()


def _extract(
    database: Path,
    folder: Path,
    groups: Sequence[PhotoGroup],
    masks: Path | None,
    features: _Features,
) -> None:
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.use_gpu = False
    extraction.sift.peak_threshold = features.peak_threshold
    extraction.sift.estimate_affine_shape = features.affine
    extraction.sift.domain_size_pooling = features.affine
    pycolmap.Database.open(str(database)).close()  # makes an empty one
    for group in groups:
        single, names = pycolmap.CameraMode.SINGLE, list(group.names)
        # Entered in order first: feature threads would number the photos by chance.
        pycolmap.import_images(database, folder, single, names, _reader(group, masks))
    pycolmap.extract_features(
        database,
        folder,
        [name for group in groups for name in group.names],
        reader_options=_reader(None, masks),
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )


def _match(database: Path, count: int, features: _Features, seed: int) -> None:
    """All pairs; for many photos neighbours in order, and at growing distances."""
    matching, verification = _matching(features.guided, seed)
    if count <= _EXHAUSTIVE_LIMIT:
        pycolmap.match_exhaustive(
            database, matching, verification_options=verification, device=pycolmap.Device.cpu
        )
        return
    pairing = pycolmap.SequentialPairingOptions()
    pairing.overlap = _SEQUENTIAL_OVERLAP
    pairing.quadratic_overlap = True
    pycolmap.match_sequential(
        database,
        matching,
        pairing_options=pairing,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def _rematch(
    database: Path, names: Sequence[str], best: Posing | None, work: Path, seed: int
) -> None:
    """Match pairs again under the guidance of their epipolar geometry, which is slow.

    Few photos: all pairs. Many: those with a photo that has no pose yet.
    """
    pairs = list(itertools.combinations(names, 2))
    if len(pairs) > _GUIDED_PAIRS and best is not None:
        left_out = best.left_out
        pairs = [pair for pair in pairs if pair[0] in left_out or pair[1] in left_out]
    content = pycolmap.Database.open(str(database))
    identity = {image.name: image.image_id for image in content.read_all_images()}
    for first, second in pairs:
        content.delete_matches(identity[first], identity[second])
        content.delete_two_view_geometry(identity[first], identity[second])
    content.close()
    listed = work / "pairs.txt"
    listed.write_text("\n".join(f"{first} {second}" for first, second in pairs))
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = str(listed)
    matching, verification = _matching(True, seed)
    pycolmap.match_image_pairs(
        database, matching, pairing, verification_options=verification, device=pycolmap.Device.cpu
    )


def _matching(
    guided: bool, seed: int
) -> tuple[pycolmap.FeatureMatchingOptions, pycolmap.TwoViewGeometryOptions]:
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    matching.guided_matching = guided
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    return matching, verification


def _reader(group: PhotoGroup | None, masks: Path | None) -> pycolmap.ImageReaderOptions:
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_RADIAL"
    if group is not None and group.focal_px is not None:
        reader.camera_params = f"{group.focal_px},{group.width_px / 2},{group.height_px / 2},0"
    if masks is not None:
        reader.mask_path = str(masks)
    return reader


def _map(
    database: Path, folder: Path, work: Path, mapper: _Mapper, seed: int, names: Sequence[str]
) -> Posing | None:
    """The largest model of one mapper, without photos that too few points hold."""
    output = work / "models"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    try:
        if mapper.kind == "global":
            models = _map_globally(database, folder, output, seed)
        else:
            options = _incremental_options(mapper, seed)
            models = pycolmap.incremental_mapping(database, folder, output, options)
    except (RuntimeError, ValueError):  # a mapper that cannot start is no reason to give up
        return None
    candidates = [_weeded(model, names) for model in models.values()]
    usable = [posing for posing in candidates if posing.model.num_reg_images() >= MIN_PHOTOS]
    return max(usable, key=_rank, default=None)


def _map_globally(database: Path, folder: Path, output: Path, seed: int) -> dict:
    if not hasattr(pycolmap, "global_mapping"):
        return {}
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads = options.mapper.num_threads = 1  # threads would add in another order
    options.random_seed = options.mapper.random_seed = seed
    return pycolmap.global_mapping(database, folder, output, options)


def _incremental_options(mapper: _Mapper, seed: int) -> pycolmap.IncrementalPipelineOptions:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.min_model_size = MIN_PHOTOS
    options.mapper.init_min_tri_angle = mapper.min_triangulation_deg
    options.mapper.init_min_num_inliers = mapper.min_initial_inliers
    options.mapper.abs_pose_min_num_inliers = mapper.min_pose_inliers
    options.mapper.abs_pose_min_inlier_ratio = mapper.min_pose_inlier_ratio
    options.mapper.max_reg_trials = mapper.max_attempts
    return options


def _weeded(model: pycolmap.Reconstruction, names: Sequence[str]) -> Posing:
    """Take out photos that too few points hold, and say why each absent photo is absent."""
    held = {image.name: image.num_points3D for image in model.images.values() if image.has_pose}
    weak = {name: count for name, count in held.items() if count < MIN_POINTS_PER_PHOTO}
    for image in [image for image in model.images.values() if image.name in weak]:
        model.deregister_frame(image.frame_id)
    reasons = {
        name: f"only {weak[name]} points hold it, {MIN_POINTS_PER_PHOTO} are needed"
        if name in weak
        else "too few points match the photos that have poses"
        for name in names
        if name not in held or name in weak
    }
    return Posing(model, "", reasons)


def model_points(model: pycolmap.Reconstruction) -> ModelPoints:
    """The sparse points of a model."""
    points = [point for _, point in sorted(model.points3D.items())]
    return ModelPoints(
        xyz=np.array([point.xyz for point in points], np.float64).reshape(-1, 3),
        rgb=np.array([point.color for point in points], np.float64).reshape(-1, 3) / 255.0,
        error_px=np.array([point.error for point in points], np.float64),
        track_length=np.array([point.track.length() for point in points], np.float64),
    )
