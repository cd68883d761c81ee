"""Fusion of the planes that all views saw into one signed distance, in a narrow band of voxels.

Curless & Levoy, "A Volumetric Method for Building Complex Models from Range Images" (1996), with
distances to the planes of planar splats (PGSR, arXiv:2406.06521) instead of along rays, and with
silhouettes: where no depth reaches, the surface is that of the visual hull, so that a body which
was seen from above alone is closed below.
"""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.core.errors import SurfaceError
from relight3d.core.planes import pixel_rays
from relight3d.decomposition.proxy.views import NEAR, SurfaceView
from relight3d.decomposition.scope import Scope

CHUNK = 1 << 18
"""Points that are looked up together: small enough for caches, and about 30 MB of them."""
BACKGROUND_TRUST = 1.0
"""What a view that sees past a point counts; a surface seen face on counts 1."""
SURE_BEHIND = 0.5
"""Voxels behind a surface up to which a view is as sure as in front; from there to the truncation
it counts ever less, since a thin sheet may have ended (as in Bylow et al., RSS 2013)."""
START_RESOLUTION = 48
"""Cells along the first, generous box."""
STRAY_SHARE = 0.001
"""Share of the seen points at either end of each axis that may be astray."""
CROSS = [(3, 1, 1), (1, 3, 1), (1, 1, 3)]
UNSEEN = 1e-3
"""Weight below which no view has told a point its distance."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Cubic voxels in a box."""

    origin: Float[Tensor, "3"]
    """The box's lower corner."""
    voxel: float
    """Edge."""
    shape: tuple[int, int, int]
    """Voxels along x, y and z."""

    def centers(self, index: Int[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """The middle of voxels."""
        return self.origin + (index + 0.5) * self.voxel

    def cells_of(self, points: Float[Tensor, "n 3"]) -> Int[Tensor, "m 3"]:
        """The voxel each point lies in; points outside the box are left out."""
        index = ((points - self.origin) / self.voxel).floor()
        limits = torch.tensor(self.shape, device=points.device)
        return index[((index >= 0) & (index < limits)).all(-1)].long()

    def all_cells(self) -> Int[Tensor, "n 3"]:
        """Every voxel, z fastest."""
        axes = [torch.arange(n, device=self.origin.device) for n in self.shape]
        return torch.cartesian_prod(*axes)


@dataclasses.dataclass(frozen=True)
class Volume:
    """A signed distance in every voxel of a grid."""

    grid: Grid
    distance: Float[Tensor, "X Y Z"]
    """At the voxels' middles, world units, positive outside, limited to the truncation."""


def fuse(
    blocks: Float[Tensor, "B 3"],
    within: Float[Tensor, "K 3"],
    views: Sequence[SurfaceView],
    scope: Scope,
    truncation: float,
    voxel: float,
) -> Float[Tensor, "B K"]:
    """Signed distance at points, positive outside, within +-truncation.

    The mean over the views of the distance to the planes they saw, weighted by alpha and cosine.
    A view that sees nothing behind a point says how far the silhouette is. Points that all views
    see hidden behind a surface are inside, but no deeper than the silhouettes tell; points that no
    view frames are outside.

    Args:
        blocks: Middles of blocks of points, in the world.
        within: The points of each block, from its middle.
        views: From `draw_views`.
        scope: What lies outside it is free.
        truncation: World units.
        voxel: Distance between the points, world units.
    """
    radius = float(within.norm(dim=-1).amax())
    deepest = [view.deepest(_reach_px(view, blocks, radius + truncation)) for view in views]
    parts = []
    for some in blocks.split(max(1, CHUNK // len(within))):
        sums = torch.zeros(2, len(some), len(within), device=blocks.device, dtype=blocks.dtype)
        hull = torch.full_like(sums[0], -torch.inf)
        for view, depth in zip(views, deepest, strict=True):
            middle = view.look_up(some.t())
            hidden = middle.framed & (middle.z - depth[middle.pixel] > radius + truncation)
            hull[hidden] = hull[hidden].clamp_min(-truncation)  # and deeper, but framed
            rows = (~hidden).nonzero()[:, 0]
            points = (some[rows, None] + within).flatten(0, 1).t().contiguous()
            told, rim = _told(view, points, truncation, voxel)
            shape = (len(rows), len(within))
            sums.index_add_(1, rows, told.view(2, *shape))
            hull[rows] = torch.maximum(hull[rows], rim.view(shape))
        parts.append(_settled(sums, hull, truncation))
    distance = torch.cat(parts)
    if scope.sphere is None:
        return distance
    points = blocks[:, None] + within
    outside = (points - scope.sphere.center.to(points)).norm(dim=-1) - scope.sphere.radius
    return torch.maximum(distance, outside).clamp_max(truncation)


def _reach_px(view: SurfaceView, blocks: Float[Tensor, "B 3"], reach: float) -> int:
    """How many pixels a length may span at the block nearest to the camera."""
    pose = view.camera.world_to_camera[0]
    nearest = float((blocks @ pose[2, :3] + pose[2, 3]).clamp_min(NEAR).amin())
    widest = max(view.camera.width_px, view.camera.height_px)
    return min(widest, int(float(view.camera.intrinsics[0, 0, 0]) * reach / nearest) + 2)


def _told(
    view: SurfaceView, points: Float[Tensor, "3 n"], truncation: float, voxel: float
) -> tuple[Float[Tensor, "2 n"], Float[Tensor, " n"]]:
    """What one view says: weighted distance and weight; and how far the silhouette's rim is.

    The rim's distance is positive outside, and -infinity for points off the frame.
    """
    seen, sure = view.look_up(points), SURE_BEHIND * voxel
    distance = seen.along - seen.plane
    # Depth behind the plane along the ray: z (1 - plane / along), both being negative.
    shown = seen.z * distance >= truncation * seen.along
    fading = (distance + truncation).mul_(1.0 / (truncation - sure)).clamp_(0.0, 1.0)
    weight = seen.trust * fading * shown
    rim = seen.z * seen.edge * (1.0 / float(view.camera.intrinsics[0, 0, 0]))
    past = seen.edge > 0
    distance = torch.where(past, rim, distance).clamp_(-truncation, truncation)
    weight = torch.where(past, BACKGROUND_TRUST, weight) * seen.framed
    return torch.stack([weight * distance, weight]), rim.masked_fill_(~seen.framed, -torch.inf)


def _settled(
    sums: Float[Tensor, "2 B K"], hull: Float[Tensor, "B K"], truncation: float
) -> Float[Tensor, "B K"]:
    hull = hull.where(hull > -torch.inf, truncation).clamp(-truncation, truncation)
    return (sums[0] / sums[1].clamp_min(UNSEEN)).where(sums[1] > UNSEEN, hull)


def fuse_volume(
    views: Sequence[SurfaceView],
    scope: Scope,
    *,
    resolution: int,
    coarse_resolution: int,
    truncation_voxels: float,
) -> Volume:
    """Find the surface's box and its band of voxels, and fuse the views there.

    Memory: 4 bytes per voxel of the box (resolution^3 at most), 40 per voxel of the band.

    Args:
        views: From `draw_views`.
        scope: Where to look.
        resolution: Voxels along the longest side of the surface's box.
        coarse_resolution: Cells along that side of the grid that finds the band; divides it.
        truncation_voxels: Fine voxels.

    Raises:
        SurfaceError: No view sees a surface inside the scope.
    """
    points = seen_points(views, scope)
    coarse = tight_grid(points, views, scope, coarse_resolution)
    ratio = resolution // coarse_resolution
    distance = _fuse_grid(coarse, views, scope)
    band = _band(coarse, distance, points).nonzero()
    x, y, z = coarse.shape
    grid = Grid(coarse.origin, coarse.voxel / ratio, (x * ratio, y * ratio, z * ratio))
    truncation = truncation_voxels * grid.voxel
    fine = torch.where(distance < 0, -truncation, truncation)
    for axis in range(3):
        fine = fine.repeat_interleave(ratio, axis)
    within = torch.cartesian_prod(*[torch.arange(ratio, device=points.device)] * 3)
    offsets = (within - 0.5 * (ratio - 1)) * grid.voxel
    values = fuse(coarse.centers(band), offsets, views, scope, truncation, grid.voxel)
    x, y, z = (band[:, None] * ratio + within).unbind(-1)
    fine[x, y, z] = values
    return Volume(grid, fine)


def seen_points(views: Sequence[SurfaceView], scope: Scope) -> Float[Tensor, "n 3"]:
    """The points that the views see of the surface, those inside the scope.

    Raises:
        SurfaceError: There are none.
    """
    found = []
    for view in views:
        rows = (view.table[4] > 0).nonzero()[:, 0]
        rays = pixel_rays(view.camera).flatten(0, 1)[rows]
        normal, plane = view.table[:3, rows].t(), view.table[3, rows]
        points = view.camera.centers[0] + rays * (plane / (normal * rays).sum(-1))[:, None]
        found.append(points[scope.contains(points)[:, 0] > 0])
    points = torch.cat(found)
    if not len(points):
        where = "" if scope.sphere is None else " in the middle that all cameras see"
        raise SurfaceError(
            f"A mesh was asked of the splats' surface, but none of {len(views)} views shows any"
            f"{where}: nothing is more than half opaque. Light cannot be traced without. Fit the "
            "photos with more steps (field.steps), and look whether the masks are what they "
            "should be: white on the object."
        )
    return points


def tight_grid(
    points: Float[Tensor, "n 3"], views: Sequence[SurfaceView], scope: Scope, resolution: int
) -> Grid:
    """The box of the seen surface, with a cell to spare on every side.

    Strays are left out: points where the views together see nothing solid. What is unseen does not
    count, such as the deep hull below a floor; the box cuts it off.
    """
    ordered = points.sort(0).values
    stray = int(STRAY_SHARE * len(points))
    low, high = ordered[stray], ordered[len(points) - 1 - stray]
    spare = 0.25 * (high - low).amax()
    rough = _grid(low - spare, high + spare, START_RESOLUTION)
    near = _fuse_grid(rough, views, scope) < 0.5 * rough.voxel
    held = rough.cells_of(points)
    held = held[near[held[:, 0], held[:, 1], held[:, 2]]]
    if len(held):
        low, high = rough.centers(torch.stack([held.amin(0), held.amax(0)]))
    cell = float((high - low).amax() + rough.voxel) / (resolution - 2)
    spare = 0.5 * rough.voxel + cell
    return _grid(low - spare, high + spare, resolution)


def _grid(low: Float[Tensor, "3"], high: Float[Tensor, "3"], resolution: int) -> Grid:
    size = high - low
    cell = float(size.amax()) / resolution
    counts = [min(resolution, int(n)) for n in (size / cell - 1e-3).ceil().tolist()]
    return Grid(low, cell, (counts[0], counts[1], counts[2]))


def _fuse_grid(grid: Grid, views: Sequence[SurfaceView], scope: Scope) -> Float[Tensor, "X Y Z"]:
    centers = grid.centers(grid.all_cells())
    whole = fuse(centers, centers.new_zeros(1, 3), views, scope, 2.0 * grid.voxel, grid.voxel)
    return whole.view(grid.shape)


def _band(grid: Grid, distance: Float[Tensor, "X Y Z"], points: Float[Tensor, "n 3"]) -> Tensor:
    """Cells that the surface may touch: seen points lie there, or the sign changes beside them."""
    pool = torch.nn.functional.max_pool3d
    solid = (distance < 0).float()[None, None]
    changes = pool(solid, 3, 1, 1) + pool(1.0 - solid, 3, 1, 1) > 1.5
    touched = torch.zeros_like(solid)
    x, y, z = grid.cells_of(points).unbind(-1)
    touched[0, 0, x, y, z] = 1.0
    beside = [pool(touched, size, 1, [n // 2 for n in size]) for size in CROSS]
    return (changes | (torch.stack(beside).amax(0) > 0))[0, 0]
