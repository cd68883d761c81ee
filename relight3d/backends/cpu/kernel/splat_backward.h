// From gradient rows to the gradients of the splats: reduction, then the projection backwards.
#pragma once
#include "projection.h"
#include "tiles_backward.h"

namespace relight3d {

// Sums that outlive a band, a pass over channels or a camera.
struct Totals {
  R3dGradients out;       // features: of this camera and pass
  size_t stride;          // of out.features
  int channels;           // of this pass
  float *moments;         // [N, MOMENTS], null when one band and one pass is all there is
  uint32_t *cursor;       // [N], next intersection of each splat; null likewise
  bool moments_started;   // earlier bands or passes of this view have added to `moments`
  bool features_started;  // earlier bands, or cameras if they share features, to `out.features`
  bool splats_started;    // earlier cameras to the other outputs
};

// Adds a splat's rows of this band to `sums`, in the order of its tiles: the order of summation, and
// so every bit, is the same however the tiles were divided into bands.
template <int CP>
inline void reduce_rows(const View &view, const Rows &rows, uint32_t band_end, size_t i, Totals &to,
                        float *sums) {
  constexpr size_t ROW = MOMENTS + CP;
  uint32_t u = to.cursor ? to.cursor[i] : view.first[i], end = view.first[i + 1];
  for (; u < end && view.position[u] < band_end; u++) {
    size_t row = view.position[u] - rows.begin, ahead = view.position[u + READ_AHEAD] - rows.begin;
    const float *next = rows.data + ahead * ROW;  // may lie outside the band: only a hint
    __builtin_prefetch(rows.touched + ahead);
    for (size_t k = 0; k < ROW; k += 16) __builtin_prefetch(next + k);
    if (!rows.touched[row]) continue;
    const float *r = rows.data + row * ROW;
#pragma GCC unroll 4
    for (size_t k = 0; k < ROW; k++) sums[k] += r[k];
  }
  if (to.cursor) to.cursor[i] = u;
}

// Reduces the rows of splat i to its moments, starting from what earlier bands, passes and cameras
// have left; its features go out. Returns whether it met any tile.
template <int CP>
inline bool reduce_splat(const View &view, const Rows &rows, uint32_t band_end, size_t i, Totals &to,
                         float *moments) {
  alignas(64) float sums[MOMENTS + CP] = {};
  float *out = to.out.features + i * to.stride;
  size_t bytes = to.channels * sizeof(float);
  bool any = view.first[i + 1] > view.first[i];
  if (any) {
    if (to.moments_started) memcpy(sums, to.moments + i * MOMENTS, MOMENTS * sizeof(float));
    if (to.features_started) memcpy(sums + MOMENTS, out, bytes);
    reduce_rows<CP>(view, rows, band_end, i, to, sums);
  }
  memcpy(moments, sums, MOMENTS * sizeof(float));
  if (any || !to.features_started) memcpy(out, sums + MOMENTS, to.channels == CP ? CP * sizeof(float) : bytes);
  return any;
}

// A band that is not the view's last: sums are kept for the next.
template <int CP>
void accumulate_rows(const View &view, const Rows &rows, uint32_t band_end, size_t splats, Totals &to,
                     int threads) {
  parallel_pieces(threads, splats, 64 * L, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      float moments[MOMENTS] = {};
      reduce_splat<CP>(view, rows, band_end, i, to, moments);
      memcpy(to.moments + i * MOMENTS, moments, sizeof moments);
    }
  });
}

struct SplatGradients {
  Floats mean[3], quat[4], scale[3], opacity;
};

struct ScreenGradients {
  Floats u, v;     // of the mean
  Floats a, b, c;  // of the covariance; b counts both off-diagonal entries
};

// From the moments of v_sigma in the splat's own coordinates: with t = dx - lean dy,
// sigma = (n t^2 + h dy^2) / 2, and its derivative by the mean is -g, by the covariance -g g^T / 2,
// where g = (n t, h dy - lean n t).
inline ScreenGradients screen_gradients(const Camera &c, const Geometry &g, const Floats *moments) {
  Floats inverse = 1.0f / g.det, n = g.c * inverse, h = 1.0f / g.c, lean = g.b * h;
  Floats nt = n * moments[1], nntt = n * n * moments[3], nhty = n * h * moments[4];
  ScreenGradients v;
  v.u = -nt, v.v = lean * nt - h * moments[2];
  v.a = -0.5f * nntt;
  v.b = lean * nntt - nhty;
  v.c = lean * nhty - 0.5f * (lean * lean * nntt + h * h * moments[5]);
  if (c.antialias) {
    // log(compensation) = log(det0 / det) / 2, whose derivative by a is, without cancellation,
    // eps (c0^2 + b^2 + eps c0) / (2 det0 det).
    float e = c.eps2d;
    Floats v_log = keep(gt(g.det0, splat(0.0f)), -moments[0] * 0.5f * e * inverse / g.det0);
    Floats b2 = g.b * g.b;
    v.a += v_log * (g.c0 * (g.c0 + e) + b2);
    v.c += v_log * (g.a0 * (g.a0 + e) + b2);
    v.b -= 2.0f * v_log * g.b * (g.a0 + g.c0 + e);
  }
  return v;
}

// Through the normalisation and the rotation matrix; v_R is of the splat's axes in the world.
inline void quaternion_gradient(const Geometry &g, const Floats *v_R, Floats *out) {
  Floats w = g.w, x = g.i, y = g.j, z = g.k;
  const Floats *G = v_R;
  Floats qw = 2.f * (x * (G[7] - G[5]) + y * (G[2] - G[6]) + z * (G[3] - G[1]));
  Floats qx = 2.f * (-2.f * x * (G[4] + G[8]) + y * (G[1] + G[3]) + z * (G[2] + G[6]) + w * (G[7] - G[5]));
  Floats qy = 2.f * (x * (G[1] + G[3]) - 2.f * y * (G[0] + G[8]) + z * (G[5] + G[7]) + w * (G[2] - G[6]));
  Floats qz = 2.f * (x * (G[2] + G[6]) + y * (G[5] + G[7]) - 2.f * z * (G[0] + G[4]) + w * (G[3] - G[1]));
  Floats along = qw * w + qx * x + qy * y + qz * z;
  out[0] = (qw - along * w) * g.inverse_length, out[1] = (qx - along * x) * g.inverse_length;
  out[2] = (qy - along * y) * g.inverse_length, out[3] = (qz - along * z) * g.inverse_length;
}

inline void project_backward(const Camera &c, const Geometry &g, Floats x, Floats y, Floats opacity,
                             const Floats *moments, SplatGradients &out) {
  ScreenGradients v = screen_gradients(c, g, moments);
  out.opacity = -moments[0] / opacity;
  Floats v_j00 = {}, v_j02 = {}, v_j11 = {}, v_j12 = {}, v_axes[9], v_R[9];
  for (int k = 0; k < 3; k++) {
    Floats v_P0 = 2.f * v.a * g.P[k] + v.b * g.P[3 + k], v_P1 = 2.f * v.c * g.P[3 + k] + v.b * g.P[k];
    Floats v_M[3] = {g.j00 * v_P0, g.j11 * v_P1, g.j02 * v_P0 + g.j12 * v_P1};
    v_j00 += v_P0 * g.M[k], v_j02 += v_P0 * g.M[6 + k];
    v_j11 += v_P1 * g.M[3 + k], v_j12 += v_P1 * g.M[6 + k];
    out.scale[k] = v_M[0] * g.R[k] + v_M[1] * g.R[3 + k] + v_M[2] * g.R[6 + k];
    for (int a = 0; a < 3; a++) v_axes[3 * a + k] = v_M[a] * g.s[k];
  }
  const float *r = c.r;
  for (int a = 0; a < 3; a++)
    for (int k = 0; k < 3; k++)
      v_R[3 * a + k] = r[a] * v_axes[k] + r[3 + a] * v_axes[3 + k] + r[6 + a] * v_axes[6 + k];
  quaternion_gradient(g, v_R, out.quat);
  float fx = (float)c.fx, fy = (float)c.fy;
  Floats rz = g.inverse_z, rz2 = rz * rz, rz3 = rz2 * rz;
  Floats vx = fx * rz * v.u + keep(g.free_x, -fx * rz2 * v_j02);
  Floats vy = fy * rz * v.v + keep(g.free_y, -fy * rz2 * v_j12);
  // A clamped tx is proportional to z: one power of 1/z less.
  Floats power_x = select(g.free_x, splat(2.f), splat(1.f)), power_y = select(g.free_y, splat(2.f), splat(1.f));
  Floats vz = -(fx * x * v.u + fy * y * v.v) * rz2 - (fx * v_j00 + fy * v_j11) * rz2 +
              power_x * fx * g.tx * rz3 * v_j02 + power_y * fy * g.ty * rz3 * v_j12;
  for (int a = 0; a < 3; a++) out.mean[a] = r[a] * vx + r[3 + a] * vy + r[6 + a] * vz;
}

// Writes or adds L splats' gradients; what met no tile gets (or keeps) exactly zero.
inline void store_gradients(const SplatGradients &v, size_t first, int count, uint32_t visible, Totals &to) {
  auto put = [&](float *out, int stride, const Floats *values) {
    for (int l = 0; l < count; l++)
      for (int k = 0; k < stride; k++) {
        float value = visible >> l & 1 ? values[k][l] : 0.0f, &at = out[(first + l) * stride + k];
        at = to.splats_started ? at + value : value;
      }
  };
  put(to.out.means, 3, v.mean);
  put(to.out.quats_wxyz, 4, v.quat);
  put(to.out.scales, 3, v.scale);
  put(to.out.opacities, 1, &v.opacity);
}

// The view's last band: reduces its rows and carries the sums through the projection.
template <int CP>
void differentiate_splats(const View &view, const R3dScene &s, const Rows &rows, uint32_t band_end, Totals &to,
                          int threads) {
  const Camera &c = view.camera;
  size_t n = s.splats, blocks = (n + L - 1) / L;
  parallel_pieces(threads, blocks, 64, [&](size_t begin, size_t end) {
    for (size_t first = begin * L; first < std::min(n, end * L); first += L) {
      int count = (int)std::min<size_t>(L, n - first);
      alignas(64) float sums[L][MOMENTS] = {}, x[L], y[L], z[L];
      uint32_t visible = 0;
      for (int l = 0; l < count; l++)
        visible |= (uint32_t)reduce_splat<CP>(view, rows, band_end, first + l, to, sums[l]) << l;
      if (!to.out.means) continue;  // only the features' gradient is wanted
      SplatGradients v = {};
      if (visible) {
        Floats moments[6];
        for (int k = 0; k < 6; k++)
          for (int l = 0; l < L; l++) moments[k][l] = sums[l][k];
        for (int l = 0; l < L; l++) {
          Centre p(c, s.means + 3 * (first + (l < count ? l : 0)));
          x[l] = (float)p.x, y[l] = (float)p.y, z[l] = (float)p.z;
        }
        Geometry g;
        compute_geometry(c, s, first, count, *(Floats *)x, *(Floats *)y, *(Floats *)z, g);
        Floats opacity = load_column(s.opacities + first, 1, count, 0);
        project_backward(c, g, *(Floats *)x, *(Floats *)y, opacity, moments, v);
      }
      store_gradients(v, first, count, visible, to);
    }
  });
}

}  // namespace relight3d
