"""Where splats start: sparse points, the visual hull of the masks, or at random."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.core import sh
from relight3d.core.errors import CaptureError
from relight3d.core.photos import Photo, cameras_at_one_size, cameras_of
from relight3d.core.types import Cameras, Splats
from relight3d.core.views import Capture
from relight3d.field.config import FieldConfig

INITIAL_OPACITY = 0.2
FAR_SHELL = 30.0
"""Random background points reach this many radii out."""
THICKNESS = 0.15
"""Thin axis relative to the mean of the others at the start."""


def scene_sphere(cameras: Cameras) -> tuple[Float[Tensor, "3"], float]:
    """Centre and radius of what the cameras look at together.

    The point nearest to all optical axes, and the largest sphere about it that the median camera
    sees whole, at most as far as the camera itself.
    """
    axes = cameras.world_to_camera[:, 2, :3].double()
    centers = cameras.centers.double()
    projector = torch.eye(3, dtype=torch.float64) - axes[:, :, None] * axes[:, None, :]
    # A little ridge: parallel axes have no nearest point.
    system = projector.sum(0) + 1e-6 * len(cameras) * torch.eye(3, dtype=torch.float64)
    about = centers.mean(0)
    focus = about + torch.linalg.solve(
        system, (projector @ (centers - about)[..., None]).sum(0)[:, 0]
    )
    distance = (focus - centers).norm(dim=-1)
    focal = cameras.intrinsics[:, [0, 1], [0, 1]].double()
    half = torch.tensor([cameras.width_px, cameras.height_px], dtype=torch.float64) / 2
    sine = torch.sin(torch.atan((half / focal).amin(-1)))
    return focus.float(), float((distance * sine).median().clamp_max(float(distance.median())))


def project(
    points: Float[Tensor, "n 3"], cameras: Cameras, index: int
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, " n"]]:
    """Pixel coordinates (x, y) and camera z of world points."""
    pose = cameras.world_to_camera[index]
    in_camera = points @ pose[:3, :3].T + pose[:3, 3]
    depth = in_camera[:, 2]
    pixels = in_camera @ cameras.intrinsics[index].T
    return pixels[:, :2] / depth.clamp_min(1e-6)[:, None], depth


def sample_image(
    image: Float[Tensor, "H W ch"], pixels: Float[Tensor, "n 2"]
) -> Float[Tensor, "n ch"]:
    """Bilinear lookup at pixel coordinates; zero outside."""
    height, width = image.shape[:2]
    grid = pixels / pixels.new_tensor([width, height]) * 2 - 1
    found = torch.nn.functional.grid_sample(
        image.movedim(-1, 0)[None], grid[None, None], align_corners=False, padding_mode="zeros"
    )
    return found[0, :, 0].T


def carve(
    points: Float[Tensor, "n 3"], photos: Sequence[Photo], tolerance: float = 0.02
) -> Bool[Tensor, " n"]:
    """Which points lie inside every mask that sees them (visual hull), give or take a few photos.

    Args:
        points: World points.
        photos: Photos with coverage.
        tolerance: Fraction of the photos in which a point may fall outside the mask.
    """
    outside = torch.zeros(len(points))
    seen = torch.zeros(len(points))
    open_rows = torch.arange(len(points))  # those not yet ruled out, whatever is still to come
    for photo in photos:
        cameras = cameras_of([photo.view])
        pixels, depth = project(points.index_select(0, open_rows), cameras, 0)
        size = pixels.new_tensor([cameras.width_px, cameras.height_px])
        inside_frame = ((pixels >= 0) & (pixels < size)).all(-1) & (depth > 0)
        alpha = photo.alpha()
        assert alpha is not None
        # A pixel of slack, so that thin parts survive the resolution of the masks.
        grown = torch.nn.functional.max_pool2d(alpha.movedim(-1, 0), 3, 1, 1).movedim(0, -1)
        beside = inside_frame & (sample_image(grown, pixels)[:, 0] < 0.3)
        outside.index_add_(0, open_rows, beside.float())
        seen.index_add_(0, open_rows, inside_frame.float())
        open_rows = open_rows[outside[open_rows] <= tolerance * len(photos)]
    return (outside <= tolerance * seen) & (seen >= min(3, len(photos)))


def visual_hull(
    photos: Sequence[Photo],
    center: Float[Tensor, "3"],
    radius: float,
    count: int,
    generator: torch.Generator,
    resolution: int = 96,
) -> tuple[Float[Tensor, "count 3"], Float[Tensor, "count 3"], float]:
    """Points near the hull's surface, with outward normals, and the typical spacing.

    Raises:
        CaptureError: if the masks agree on nothing.
    """  # fmt: skip
    axis = (torch.arange(resolution) + 0.5) / resolution * 2 - 1
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    chosen = photos[:: max(1, len(photos) // 48)]
    solid = carve((grid.view(-1, 3) * radius + center), chosen).view(grid.shape[:3]).float()
    if solid.sum() < 8:
        raise CaptureError(
            f"The masks of {len(photos)} photos agree on no volume within {radius:.3g} of the "
            "point "
            f"{[round(float(x), 3) for x in center]} that the cameras look at. Splats have nowhere "
            "to start. Check that masks are white on the object and that the poses are right."
        )
    blurred = solid[None, None]
    for _ in range(2):
        blurred = torch.nn.functional.avg_pool3d(blurred, 5, 1, 2)
    blurred = blurred[0, 0]
    gradient = torch.stack(torch.gradient(blurred), -1)
    # What lies beyond the grid counts as empty: a body that fills it still has a surface.
    empty = torch.nn.functional.pad(1 - solid[None, None], (1,) * 6, value=1.0)
    shell = torch.nn.functional.max_pool3d(empty, 3, 1)[0, 0] * solid
    cells = shell.nonzero()
    picked = cells[torch.randint(len(cells), (count,), generator=generator)]
    jitter = torch.rand(count, 3, generator=generator)
    points = ((picked + jitter) / resolution * 2 - 1) * radius + center
    normals = -gradient[picked[:, 0], picked[:, 1], picked[:, 2]]
    area = len(cells) * (2 * radius / resolution) ** 2
    return points, torch.nn.functional.normalize(normals, dim=-1, eps=1e-8), math.sqrt(area / count)


def quaternion_to_axis(normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 4"]:
    """Some rotation (wxyz) that takes local z to each normal; zero normals give the identity."""
    x, y, z = normals.unbind(-1)
    half = torch.stack([1 + z, -y, x, torch.zeros_like(x)], -1)
    flipped = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand_as(half)
    quats = torch.where(half.norm(dim=-1, keepdim=True) < 1e-3, flipped, half)
    return torch.nn.functional.normalize(quats, dim=-1)


def nearest_spacing(points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    """Mean distance to the three nearest other points, exactly, in memory-bounded chunks."""
    distances = []
    for chunk in points.split(2048):
        found = torch.cdist(chunk, points).topk(min(4, len(points)), largest=False).values
        distances.append(found[:, 1:].mean(-1) if len(points) > 1 else found[:, 0] + 1)
    return torch.cat(distances).clamp_min(1e-6)


def colors_seen(points: Float[Tensor, "n 3"], photos: Sequence[Photo]) -> Float[Tensor, "n 3"]:
    """Mean sRGB of each point's projections, ignoring occlusion; grey where never seen."""
    total, weight = torch.full((len(points), 3), 0.5), torch.ones(len(points), 1)
    for photo in photos[:: max(1, len(photos) // 24)]:
        pixels, depth = project(points, cameras_of([photo.view]), 0)
        alpha = photo.alpha()
        ones = torch.ones_like(photo.srgb()[..., :1])
        covered = sample_image(ones if alpha is None else alpha, pixels) * (depth > 0)[:, None]
        total += sample_image(photo.srgb(), pixels) * covered
        weight += covered
    return total / weight


def make_splats(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"] | None,
    spacing: Float[Tensor, " n"],
    rgb_srgb: Float[Tensor, "n 3"],
    sh_degree: int,
    generator: torch.Generator,
) -> Splats:
    """Half-faint discs of the given spacing; random orientation where no normals are known."""
    if normals is None:
        quats = torch.nn.functional.normalize(
            torch.randn(len(points), 4, generator=generator), dim=-1
        )
    else:
        quats = quaternion_to_axis(normals)
    scales = spacing[:, None] * torch.tensor([1.0, 1.0, THICKNESS])
    coefficients = torch.zeros(len(points), (sh_degree + 1) ** 2, 3)
    coefficients[:, 0] = (rgb_srgb - 0.5) / sh.C0
    logit = math.log(INITIAL_OPACITY / (1 - INITIAL_OPACITY))
    return Splats(points, quats, scales.log(), torch.full((len(points),), logit), coefficients)


def start_splats(
    capture: Capture, photos: Sequence[Photo], config: FieldConfig, generator: torch.Generator
) -> Splats:
    """Starting splats by what the capture offers: masks, sparse points, or only cameras.

    Raises:
        CaptureError: Masks that agree on no volume.
    """
    center, radius = scene_sphere(cameras_at_one_size([photo.view for photo in photos]))
    count = min(config.initial_splats, config.max_splats)
    if all(photo.coverage is not None for photo in photos):
        points, normals, spacing = visual_hull(photos, center, radius, count, generator)
        spacings = torch.full((count,), spacing)
        colors = colors_seen(points, photos)
        return make_splats(points, normals, spacings, colors, config.sh_degree, generator)
    parts = [_sparse(capture, count - count // 5)] if capture.points is not None else []
    found = sum(len(points) for points, _ in parts)
    parts.append(_around(center, radius, count - found, photos, generator))
    points = torch.cat([part[0] for part in parts])
    colors = torch.cat([part[1] for part in parts])
    return make_splats(points, None, nearest_spacing(points), colors, config.sh_degree, generator)


def _sparse(capture: Capture, count: int) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Sparse points and their colours, thinned evenly to at most `count`."""
    assert capture.points is not None
    step = max(1, -(-len(capture.points) // count))
    points = torch.from_numpy(capture.points[::step]).float()
    if capture.points_rgb is None:
        return points, torch.full_like(points, 0.5)
    return points, torch.from_numpy(capture.points_rgb[::step]).float()


def _around(
    center: Float[Tensor, "3"],
    radius: float,
    count: int,
    photos: Sequence[Photo],
    generator: torch.Generator,
) -> tuple[Float[Tensor, "count 3"], Float[Tensor, "count 3"]]:
    """Random points: half in the middle, half in shells reaching out to the background."""
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    uniform = torch.rand(count, 1, generator=generator)
    near = radius * uniform ** (1 / 3)
    far = radius * FAR_SHELL ** torch.rand(count, 1, generator=generator)
    inner = (torch.arange(count) % 2 == 0)[:, None]
    points = center + directions * torch.where(inner, near, far)
    return points, colors_seen(points, photos)
