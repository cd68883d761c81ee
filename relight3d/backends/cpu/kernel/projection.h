// Splats from the world to the screen, L at a time (EWA, gsplat's formulas), and their outlines.
#pragma once
#include "scene.h"
#include "simd.h"

namespace relight3d {

// Everything about L splats that both the forward and the backward projection need.
struct Geometry {
  Floats z, inverse_z;
  Floats inverse_length, w, i, j, k;     // of the quaternion
  Floats R[9];                           // splat axes to camera
  Floats s[3], M[9];                     // M = R diag(s)
  Floats tx, ty;                         // x and y, clamped as the Jacobian sees them
  Mask free_x, free_y;                   // not clamped
  Floats j00, j02, j11, j12;             // Jacobian of the perspective
  Floats P[6];                           // J M: covariance = P P^T
  Floats a0, b, c0, det0;                // covariance before the dilation,
  Floats a, c, det;                      // and after
  Floats compensation;
};

// Column k of `count` rows; missing rows repeat the first, so that they stay harmless.
inline Floats load_column(const float *rows, int stride, int count, int k) {
  Floats v = splat(rows[k]);
  if (count == L)
    for (int l = 0; l < L; l++) v[l] = rows[l * stride + k];
  else
    for (int l = 0; l < count; l++) v[l] = rows[l * stride + k];
  return v;
}

// Position in the camera and on the screen. In double: in float the rounding of a pixel coordinate
// near 1000 is already 6e-5 pixels, which is 1e-4 of a small splat's alpha.
struct Centre {
  double x, y, z;
  Centre(const Camera &c, const float *mean) {
    double m[3] = {mean[0], mean[1], mean[2]};
    x = c.R[0] * m[0] + c.R[1] * m[1] + c.R[2] * m[2] + c.t[0];
    y = c.R[3] * m[0] + c.R[4] * m[1] + c.R[5] * m[2] + c.t[1];
    z = c.R[6] * m[0] + c.R[7] * m[1] + c.R[8] * m[2] + c.t[2];
  }
};

inline void rotation_of(Geometry &g, Floats *Q) {
  Floats w = g.w, x = g.i, y = g.j, z = g.k;
  Q[0] = 1.0f - 2.0f * (y * y + z * z), Q[1] = 2.0f * (x * y - w * z), Q[2] = 2.0f * (x * z + w * y);
  Q[3] = 2.0f * (x * y + w * z), Q[4] = 1.0f - 2.0f * (x * x + z * z), Q[5] = 2.0f * (y * z - w * x);
  Q[6] = 2.0f * (x * z - w * y), Q[7] = 2.0f * (y * z + w * x), Q[8] = 1.0f - 2.0f * (x * x + y * y);
}

inline void covariance_on_screen(const Camera &c, Geometry &g) {
  const Floats *P = g.P;
  g.a0 = P[0] * P[0] + P[1] * P[1] + P[2] * P[2];
  g.b = P[0] * P[3] + P[1] * P[4] + P[2] * P[5];
  g.c0 = P[3] * P[3] + P[4] * P[4] + P[5] * P[5];
  // det(P P^T) as the sum of squared minors: a0 c0 - b^2 cancels for thin splats.
  Floats m0 = P[1] * P[5] - P[2] * P[4], m1 = P[2] * P[3] - P[0] * P[5], m2 = P[0] * P[4] - P[1] * P[3];
  g.det0 = m0 * m0 + m1 * m1 + m2 * m2;
  g.a = g.a0 + c.eps2d, g.c = g.c0 + c.eps2d;
  g.det = g.det0 + c.eps2d * (g.a0 + g.c);
  g.compensation = c.antialias ? vsqrt(g.det0 / g.det) : splat(1.0f);
}

inline void compute_geometry(const Camera &c, const R3dScene &s, size_t first, int count,
                             Floats x, Floats y, Floats z, Geometry &g) {
  const float *quats = s.quats_wxyz + 4 * first, *scales = s.scales + 3 * first;
  Floats q[4], Q[9];
  for (int k = 0; k < 4; k++) q[k] = load_column(quats, 4, count, k);
  for (int k = 0; k < 3; k++) g.s[k] = load_column(scales, 3, count, k);
  Floats squared = q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3];
  g.inverse_length = 1.0f / vsqrt(vmax(squared, splat(1e-24f)));
  g.w = q[0] * g.inverse_length, g.i = q[1] * g.inverse_length;
  g.j = q[2] * g.inverse_length, g.k = q[3] * g.inverse_length;
  rotation_of(g, Q);
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++) {
      g.R[3 * a + b] = c.r[3 * a] * Q[b] + c.r[3 * a + 1] * Q[3 + b] + c.r[3 * a + 2] * Q[6 + b];
      g.M[3 * a + b] = g.R[3 * a + b] * g.s[b];
    }
  Floats rz = g.inverse_z = 1.0f / z, slope_x = x * rz, slope_y = y * rz;
  g.z = z;
  g.free_x = ge(slope_x, splat(-c.left)) & ge(splat(c.right), slope_x);
  g.free_y = ge(slope_y, splat(-c.up)) & ge(splat(c.down), slope_y);
  g.tx = z * vmin(vmax(slope_x, splat(-c.left)), splat(c.right));
  g.ty = z * vmin(vmax(slope_y, splat(-c.up)), splat(c.down));
  float fx = (float)c.fx, fy = (float)c.fy;
  g.j00 = fx * rz, g.j02 = -fx * g.tx * rz * rz;
  g.j11 = fy * rz, g.j12 = -fy * g.ty * rz * rz;
  for (int b = 0; b < 3; b++) {
    g.P[b] = g.j00 * g.M[b] + g.j02 * g.M[6 + b];
    g.P[3 + b] = g.j11 * g.M[3 + b] + g.j12 * g.M[6 + b];
  }
  covariance_on_screen(c, g);
}

// floor, as an int for any x at all
inline int floor_int(float x) {
  return (int)std::floor(x > -1e9f ? std::min(x, 1e9f) : -1e9f);
}

// Calls f(tile row, first tile, last tile) for the tiles with a pixel centre inside the outline
// {alpha >= 1/255}. Exact: per row, the outline's leftmost and rightmost point within the row.
template <class F> inline void tile_spans(const Projected &g, const Camera &c, F f) {
  float t = g.peak - LOG2_THRESHOLD + OUTLINE_MARGIN;
  const float reach_y = g.reach_y, inverse_reach = 1.0f / reach_y, widest = std::sqrt(t) / g.narrow;
  const float y_of_right = g.lean * reach_y * reach_y / g.reach_x;
  auto half_width = [&](float y) {  // of the outline in its row y
    float h = y * inverse_reach;
    return widest * std::sqrt(std::max(1.0f - h * h, 0.0f));
  };
  // The pixel centres of tile row r lie at 16 r + 0.5 .. 16 r + 15.5.
  int r0 = std::max(0, floor_int((g.y - reach_y - (TILE - 0.5f)) / TILE));
  int r1 = std::min(c.tiles_y - 1, floor_int((g.y + reach_y - 0.5f) / TILE));
  for (int r = r0; r <= r1; r++) {
    float y0 = std::max(r * TILE + 0.5f - g.y, -reach_y);
    float y1 = std::min(r * TILE + (TILE - 0.5f) - g.y, reach_y);
    if (y0 > y1) continue;
    float ya = std::min(std::max(y_of_right, y0), y1), yb = std::min(std::max(-y_of_right, y0), y1);
    float right = g.lean * ya + half_width(ya), left = g.lean * yb - half_width(yb);
    int x0 = std::max(0, floor_int((g.x + left - (TILE - 0.5f)) / TILE + 0.99999f));
    int x1 = std::min(c.tiles_x - 1, floor_int((g.x + right - 0.5f) / TILE));
    if (x0 <= x1) f(r, x0, x1);
  }
}

// Projects one block of splats. Writes their number of tiles to counts; f(splat, depth) for those
// with any. Whatever is not finite, behind, too faint or off the image has none.
template <class F>
inline void project_block(const Camera &c, const R3dScene &s, size_t first, int count, View &view,
                          uint32_t *counts, F f) {
  alignas(64) float x[L], y[L], z[L], u[L], v[L], lean[L], narrow[L], tall[L], opacity[L];
  for (int l = 0; l < L; l++) {
    Centre p(c, s.means + 3 * (first + (l < count ? l : 0)));
    double rz = 1.0 / p.z;
    x[l] = (float)p.x, y[l] = (float)p.y, z[l] = (float)p.z;
    u[l] = (float)(c.fx * p.x * rz + c.cx), v[l] = (float)(c.fy * p.y * rz + c.cy);
  }
  Geometry g;
  compute_geometry(c, s, first, count, *(Floats *)x, *(Floats *)y, *(Floats *)z, g);
  Floats alpha = load_column(s.opacities + first, 1, count, 0) * g.compensation;
  *(Floats *)lean = g.b / g.c;
  *(Floats *)narrow = vsqrt(0.5f * LOG2_E * g.c / g.det);
  *(Floats *)tall = vsqrt(0.5f * LOG2_E / g.c);
  *(Floats *)opacity = alpha;
  uint32_t ok = bits(gt(g.z, splat(c.near)) & gt(splat(c.far), g.z) & gt(g.det, splat(0.f)) &
                     gt(splat(1e36f), g.det) & ge(alpha, splat(ALPHA_THRESHOLD)) & ge(splat(1e9f), alpha));
  for (int l = 0; l < count; l++) {
    counts[l] = 0;
    if (!(ok >> l & 1)) continue;
    Projected p{u[l], v[l], lean[l], narrow[l], tall[l], std::log2(opacity[l]), 0, 0};
    float t = p.peak - LOG2_THRESHOLD + OUTLINE_MARGIN;
    p.reach_x = std::sqrt(2 / LOG2_E * t * g.a[l]), p.reach_y = std::sqrt(2 / LOG2_E * t * g.c[l]);
    // False for NaN and infinite sizes too.
    bool on_image = p.x + p.reach_x > 0 && p.x - p.reach_x < c.width && p.y + p.reach_y > 0 &&
                    p.y - p.reach_y < c.height && p.narrow > 0 && p.tall > 0;
    if (!on_image) continue;
    uint64_t tiles = 0;
    tile_spans(p, c, [&](int, int x0, int x1) { tiles += x1 - x0 + 1; });
    if (!tiles) continue;
    counts[l] = (uint32_t)tiles;
    view.splats[first + l] = p;
    f(first + l, z[l]);
  }
}

}  // namespace relight3d
