"""What triangles are joined to what: pieces, holes, and whether a mesh bounds a body."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from relight3d.core.surface import Mesh

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
        components=len(np.unique(labels(faces, len(vertices))[used])),
        open_edges=int((uses == 1).sum()),
        pinched_edges=int(((uses > 2) | ((uses == 2) & (balance != 0))).sum()),
        euler=len(used) - len(edges) + len(faces),
        volume=float(volumes(vertices, faces).sum()),
    )


def compact(
    vertices: Vertices, faces: Faces, kept: Bool[np.ndarray, " _"]
) -> tuple[Vertices, Faces]:
    """Some of the triangles, and the vertices they use."""
    used, inverse = np.unique(faces[kept], return_inverse=True)
    return vertices[used], inverse.reshape(-1, 3)


def pieces_with(mesh: Mesh, marked: Bool[Tensor, " V"]) -> tuple[Mesh, Int[Tensor, " _"]]:
    """The pieces that have a marked vertex, and which of the vertices they keep."""
    faces = mesh.faces.cpu().numpy()
    piece = torch.from_numpy(labels(faces, len(mesh.vertices))).to(mesh.faces.device).long()
    kept = torch.zeros(int(piece.max()) + 1, dtype=torch.bool, device=piece.device)
    kept[piece[marked]] = True
    rows = kept[piece].nonzero()[:, 0]
    new = torch.full_like(piece, -1)
    new[rows] = torch.arange(len(rows), device=rows.device)
    faces = new[mesh.faces]
    return Mesh(mesh.vertices[rows], faces[faces[:, 0] >= 0]), rows


def mended(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Without triangles of no area and pinched edges; the holes this leaves are closed.

    Around each hole runs a loop of edges, which a new vertex in its middle joins to a fan. Every
    edge then has two triangles, whatever was broken.
    """
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    _, uses, balance, which = _edges(faces)
    pinched = (uses > 2) | ((uses == 2) & (balance != 0))
    torn = np.logical_or.reduce(pinched[which].reshape(3, -1))
    vertices, faces = compact(vertices, faces, ~torn)
    rim = _rim(faces)
    for _ in range(MOST_ROUNDS):  # where holes meet in a vertex, make them one
        starts, times = np.unique(rim[:, 0], return_counts=True)
        if not (times > 1).any():
            break
        meeting = np.logical_or.reduce(np.isin(faces, starts[times > 1]), axis=1)
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
    joined = coo_array((np.ones(len(rim)), (arriving, leaving)), (len(rim), len(rim)))
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


def labels(faces: Faces, count: int) -> Int[np.ndarray, " _"]:
    """Which piece each of `count` vertices belongs to."""
    return connected_components(adjacency(faces, count), directed=False)[1]


def adjacency(faces: Faces, count: int) -> csr_array:
    """Where an edge runs from one of `count` vertices to another, as triangles run."""
    rows, columns = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    return coo_array((np.ones(len(rows)), (rows, columns)), (count, count)).tocsr()


def areas(vertices: Vertices, faces: Faces) -> Float[np.ndarray, " _"]:
    """Of the triangles."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=-1)


def volumes(vertices: Vertices, faces: Faces) -> Float[np.ndarray, " _"]:
    """Signed volumes of the tetrahedra over the triangles, from the vertices' mean."""
    a, b, c = (vertices - vertices.mean(0))[faces].transpose(1, 0, 2)
    return np.einsum("fi,fi->f", a, np.cross(b, c)) / 6.0
