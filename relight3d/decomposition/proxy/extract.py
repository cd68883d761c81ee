"""A signed distance to triangles: marching cubes, floaters off, smoothed, reduced, checked."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from relight3d.core.errors import SurfaceError
from relight3d.core.surface import Mesh
from relight3d.decomposition.proxy.tsdf import Volume

SHRINK, GROW = 0.5, -0.53
"""Steps of a round of Taubin smoothing ("A Signal Processing Approach to Fair Surface Design",
1995): what the first takes from low frequencies, the second gives back."""
MOST_ROUNDS = 8
"""Of joining holes that meet in a vertex."""

Vertices = Float[np.ndarray, "_ 3"]
Faces = Int[np.ndarray, "_ 3"]


@dataclasses.dataclass(frozen=True)
class MeshCheck:
    """How far a mesh is the boundary of a body."""

    components: int
    open_edges: int
    """Edges of a single triangle: the rims of holes."""
    pinched_edges: int
    """Edges of more than two triangles, or of two that disagree which side is out."""
    euler: int
    """Vertices - edges + triangles: 2 for every sphere, 0 for every torus."""
    volume: float
    """World units; positive when the triangles face outward."""

    @property
    def watertight(self) -> bool:
        """Whether every edge joins two triangles that agree."""
        return not self.open_edges and not self.pinched_edges


def check(mesh: Mesh) -> MeshCheck:
    """Count what keeps a mesh from being watertight."""
    vertices, faces = mesh.vertices.double().cpu().numpy(), mesh.faces.cpu().numpy()
    edges, uses, balance, _ = _edges(faces)
    used = np.unique(faces)
    return MeshCheck(
        components=len(np.unique(_labels(faces, len(vertices))[used])),
        open_edges=int((uses == 1).sum()),
        pinched_edges=int(((uses > 2) | ((uses == 2) & (balance != 0))).sum()),
        euler=len(used) - len(edges) + len(faces),
        volume=float(_volumes(vertices, faces).sum()),
    )


def extract(
    volume: Volume, *, level: float = 0.0, floater_share: float, smoothing: int, triangles: int
) -> Mesh:
    """The surface where the distance changes its sign, facing outward.

    Args:
        volume: What lies beyond its box counts as outside.
        floater_share: Pieces with a smaller share of the largest one's area are removed, and so
            are the walls of cavities, which nothing outside ever sees.
        smoothing: Rounds of Taubin smoothing.
        triangles: Most triangles of the result, but for the few that close what reducing broke.
        level: Distance at which the surface is taken, world units.

    Raises:
        SurfaceError: The distance nowhere changes its sign.
    """
    vertices, faces = march(volume, level)
    vertices, faces = without_floaters(vertices, faces, floater_share)
    vertices = smoothed(vertices, faces, smoothing)
    vertices, faces = reduced(vertices, faces, triangles)
    origin, device = volume.grid.origin, volume.distance.device
    world = torch.from_numpy(vertices).to(device) * volume.grid.voxel + origin.double()
    return Mesh(world.to(volume.distance.dtype), torch.from_numpy(faces).to(device).long())


def march(volume: Volume, level: float = 0.0) -> tuple[Vertices, Faces]:
    """Marching cubes (Lewiner et al., 2003), in voxels from the grid's lower corner.

    Raises:
        SurfaceError: The distance nowhere changes its sign.
    """
    from skimage.measure import marching_cubes

    distance = volume.distance.float().cpu().numpy() - level
    outside = float(max(np.abs(distance).max(initial=0.0), 1e-12))
    padded = np.pad(distance, 1, constant_values=outside)
    if not (padded < 0).any():
        raise SurfaceError(
            "A mesh was asked of the splats' surface, but no voxel lies inside it: what the views "
            "show as near is seen through by others. Light cannot be traced without. Fit the "
            "photos with more steps (field.steps), and look whether poses and masks are right."
        )
    # A vertex on a grid point belongs to several cells, whose triangles there have no area.
    padded = np.where(np.abs(padded) < 1e-4 * outside, 1e-4 * outside, padded)
    vertices, faces, _, _ = marching_cubes(
        padded, 0.0, gradient_direction="descent", allow_degenerate=False
    )
    return vertices.astype(np.float64) - 0.5, faces.astype(np.int64)


def without_floaters(vertices: Vertices, faces: Faces, share: float) -> tuple[Vertices, Faces]:
    """The pieces that are bodies of some size."""
    labels = _labels(faces, len(vertices))[faces[:, 0]]
    areas = np.bincount(labels, _areas(vertices, faces))
    volumes = np.bincount(labels, _volumes(vertices, faces))
    kept = (volumes > 0) & (areas >= share * areas[volumes > 0].max(initial=0.0))
    return compact(vertices, faces, kept[labels])


def compact(
    vertices: Vertices, faces: Faces, kept: Bool[np.ndarray, " _"]
) -> tuple[Vertices, Faces]:
    """Some of the triangles, and the vertices they use."""
    used, inverse = np.unique(faces[kept], return_inverse=True)
    return vertices[used], inverse.reshape(-1, 3)


def pieces_with(mesh: Mesh, marked: Bool[Tensor, " V"]) -> tuple[Mesh, Int[Tensor, " _"]]:
    """The pieces that have a marked vertex, and which of the vertices they keep."""
    faces = mesh.faces.cpu().numpy()
    labels = torch.from_numpy(_labels(faces, len(mesh.vertices))).to(mesh.faces.device).long()
    kept = torch.zeros(int(labels.max()) + 1, dtype=torch.bool, device=labels.device)
    kept[labels[marked]] = True
    rows = kept[labels].nonzero()[:, 0]
    new = torch.full_like(labels, -1)
    new[rows] = torch.arange(len(rows), device=rows.device)
    faces = new[mesh.faces]
    return Mesh(mesh.vertices[rows], faces[faces[:, 0] >= 0]), rows


def smoothed(vertices: Vertices, faces: Faces, rounds: int) -> Vertices:
    """Taubin's smoothing with uniform weights."""
    mean = _neighbours(faces, len(vertices))
    for _ in range(rounds):
        for step in (SHRINK, GROW):
            vertices = vertices + step * (mean @ vertices - vertices)
    return vertices


def reduced(vertices: Vertices, faces: Faces, triangles: int) -> tuple[Vertices, Faces]:
    """At most so many triangles, by quadric error; then what that broke is taken out."""
    if len(faces) > triangles:
        from fast_simplification import simplify

        points, corners = simplify(
            vertices.astype(np.float32), faces.astype(np.int32), target_count=triangles
        )
        vertices, faces = points.astype(np.float64), corners.astype(np.int64)
    return mended(vertices, faces)


def mended(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Without triangles of no area and pinched edges; the holes this leaves are closed.

    Around each hole runs a loop of edges, which a new vertex in its middle joins to a fan. Every
    edge then has two triangles, whatever was broken.
    """
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    _, uses, balance, which = _edges(faces)
    pinched = (uses > 2) | ((uses == 2) & (balance != 0))
    vertices, faces = compact(vertices, faces, ~pinched[which].reshape(3, -1).any(0))
    rim = _rim(faces)
    for _ in range(MOST_ROUNDS):  # where holes meet in a vertex, make them one
        starts, times = np.unique(rim[:, 0], return_counts=True)
        if not (times > 1).any():
            break
        meeting = np.isin(faces, starts[times > 1]).any(1)
        vertices, faces = compact(vertices, faces, ~meeting)
        rim = _rim(faces)
    if not len(rim):
        return vertices, faces
    loop = _loops(rim)
    count = loop.max() + 1
    weight = np.bincount(loop, minlength=count)[:, None]
    middle = np.stack([np.bincount(loop, x, count) for x in vertices[rim[:, 0]].T], 1) / weight
    fans = np.column_stack([rim, len(vertices) + loop])
    return np.concatenate([vertices, middle]), np.concatenate([faces, fans])


def _rim(faces: Faces) -> Int[np.ndarray, "R 2"]:
    """Edges of one triangle, the way the triangle that is missing would run along them."""
    edges, uses, balance, _ = _edges(faces)
    return np.where((balance > 0)[:, None], edges[:, ::-1], edges)[uses == 1]


def _loops(rim: Int[np.ndarray, "R 2"]) -> Int[np.ndarray, " R"]:
    """Which closed loop each directed edge belongs to. As many begin as end at every vertex."""
    leaving, arriving = np.argsort(rim[:, 0], kind="stable"), np.argsort(rim[:, 1], kind="stable")
    joined = coo_matrix((np.ones(len(rim)), (arriving, leaving)), (len(rim), len(rim)))
    return connected_components(joined, directed=False)[1]


def _edges(
    faces: Faces,
) -> tuple[
    Int[np.ndarray, "E 2"], Int[np.ndarray, " E"], Int[np.ndarray, " E"], Int[np.ndarray, " C"]
]:
    """Edges, how many triangles use each, how many more run up than down, and which is which.

    The last, C = 3 F: of the first edges of all triangles, then the second, then the third.
    """
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    turned = np.sort(directed, 1)
    edges, which, uses = np.unique(turned, axis=0, return_inverse=True, return_counts=True)
    way = np.where(directed[:, 0] == turned[:, 0], 1, -1)
    which = which.ravel()
    return edges, uses, np.bincount(which, way, len(edges)).astype(np.int64), which


def _labels(faces: Faces, count: int) -> Int[np.ndarray, " _"]:
    return connected_components(_adjacency(faces, count), directed=False)[1]


def _adjacency(faces: Faces, count: int) -> csr_matrix:
    rows, columns = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    return coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count)).tocsr()


def _neighbours(faces: Faces, count: int) -> csr_matrix:
    """Each row takes the mean of a vertex' neighbours."""
    joined = _adjacency(faces, count)
    joined = ((joined + joined.T) > 0).astype(np.float64)
    degree = np.asarray(joined.sum(1)).ravel()
    return csr_matrix(diags(1.0 / np.maximum(degree, 1.0)) @ joined)


def _areas(vertices: Vertices, faces: Faces) -> Float[np.ndarray, " _"]:
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=-1)


def _volumes(vertices: Vertices, faces: Faces) -> Float[np.ndarray, " _"]:
    """Signed volumes of the tetrahedra over the triangles, from the vertices' mean."""
    a, b, c = (vertices - vertices.mean(0))[faces].transpose(1, 0, 2)
    return np.einsum("fi,fi->f", a, np.cross(b, c)) / 6.0
