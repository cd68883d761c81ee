"""The few shapes the built-in scenes are put together from. World units, z up."""

import numpy as np

from capture_maker.surfaces import Material, Surface

_CORNERS = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], np.float64)
_SIDES = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))


def box(
    low: tuple[float, float, float], high: tuple[float, float, float], material: Material,
    turn_deg: float = 0.0,
) -> Surface:  # fmt: skip
    """A box from corner to corner, turned about the vertical through its middle."""
    corners = np.array(low) + _CORNERS * (np.array(high) - np.array(low))
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = corners.mean(0)[:2]
    corners[:, :2] = (corners[:, :2] - middle) @ turn + middle
    positions = np.concatenate([corners[list(side)] for side in _SIDES])
    halves = np.array([[0, 1, 2], [0, 2, 3]])
    triangles = (4 * np.arange(6)[:, None, None] + halves).reshape(-1, 3)
    return Surface(positions.astype(np.float32), triangles.astype(np.uint32), material)


def ball(
    centre: tuple[float, float, float], radius: float, material: Material, rings: int = 96
) -> Surface:
    """A sphere of `rings` x 2 `rings` cells with smooth normals."""
    theta = np.linspace(0.0, np.pi, rings + 1)[:, None]
    phi = np.linspace(0.0, 2.0 * np.pi, 2 * rings + 1)[None]
    grid = [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi]
    normals = np.stack(grid, -1).reshape(-1, 3)
    row, column = (index.ravel() for index in np.mgrid[:rings, : 2 * rings])
    a = row * (2 * rings + 1) + column
    b = a + 2 * rings + 1
    upper, lower = np.stack([a, b, a + 1], 1)[row > 0], np.stack([a + 1, b, b + 1], 1)
    triangles = np.concatenate([upper, lower[row < rings - 1]])
    positions = np.array(centre) + radius * normals
    return Surface(
        positions.astype(np.float32), triangles.astype(np.uint32), material,
        normals.astype(np.float32),
    )  # fmt: skip


def floor(z: float, half: float, material: Material) -> Surface:
    """A square of edge 2 `half` round the vertical axis, facing up."""
    corners = [[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]]
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.uint32)
    return Surface(np.array(corners, np.float32), triangles, material)
