"""Axes, orders, units and colour spaces, fixed once.

Frames
    Camera: OpenCV axes (x right, y down, z forward). Poses are world-to-camera, 4 x 4.
    Pixel centres lie at +0.5: the centre of the top-left pixel is (0.5, 0.5).
    World: right-handed, z up.
Orders
    Quaternions are wxyz. Spherical harmonics: real basis with the signs and order of 3DGS and
    gsplat, degree <= 3, coefficients [N, K, 3], K = (degree + 1)^2.
Colour
    Radiance is linear, Rec. 709 primaries. sRGB exists only in files and in what a person sees.
Environment maps
    Latitude-longitude: the world direction (x, y, z) lies at
    column u = fract(-atan2(y, x) / 2 pi), row v = acos(z) / pi, both in [0, 1).
    (Blender has +x in the middle of the map, half a turn from this.)
    Turning a map by +a radians moves it counter-clockwise about +z, seen from above.
Material
    glTF 2.0 metallic-roughness: alpha = roughness^2, F0 = 0.04 for dielectrics.
"""

import numpy as np

SH_MAX_DEGREE = 3
DIELECTRIC_F0 = 0.04

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Camera axes: OpenGL/Blender/nerfstudio (y up, looks along -z) to OpenCV (y down, looks along +z).

Its own inverse. world_to_camera = OPENCV_FROM_OPENGL @ inverse(camera_to_world_opengl).
"""

ALPHA_THRESHOLD = 1.0 / 255.0
"""A splat fainter than this at a pixel does not touch it (gsplat)."""

ALPHA_MAX = 0.999
"""A splat's alpha at a pixel is clamped to this (gsplat)."""

TRANSMITTANCE_STOP = 1e-4
"""Compositing of a pixel stops before transmittance would fall to this or below (gsplat)."""

EPS2D_PX2 = 0.3
"""Added to the diagonal of every projected covariance, in square pixels (gsplat)."""
