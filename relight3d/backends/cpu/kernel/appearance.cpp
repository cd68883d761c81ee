// What a camera sees of each splat before any drawing: colour, the normal that faces it, and the
// distance of the splat's plane. Seven floats per splat, as core/radiance.py and core/planes.py
// define them, without the forty temporaries that plain tensor operations need.
#include <cmath>
#include <cstring>

#include "abi.h"
#include "pool.h"
#include "spherical_harmonics.h"

namespace relight3d {
namespace {

constexpr size_t PIECE = 512;
constexpr int CHANNELS = 7;  // colour 3, normal 3, distance

struct Look {
  const float *dc, *rest;     // [N, 3], [N, rest_stride]
  const float *means;         // [N, 3]
  const float *quats_wxyz;    // [N, 4]
  float center[3];
  int64_t rest_stride;        // floats per splat, 3 K
  int degree;

  int used() const { return (degree + 1) * (degree + 1) - 1; }  // coefficients of `rest`
};

// basis[1..] at the direction from the camera to a point.
inline void directional_basis(const Look &s, const float *offset, float *basis) {
  float length = std::sqrt(offset[0] * offset[0] + offset[1] * offset[1] + offset[2] * offset[2]);
  float scale = 1.0f / std::max(length, 1e-12f);
  sh_basis(offset[0] * scale, offset[1] * scale, offset[2] * scale, s.degree, basis);
}

inline void raw_color(const Look &s, size_t i, const float *basis, float *color) {
  const float *dc = s.dc + 3 * i, *rest = s.rest + i * s.rest_stride;
  for (int c = 0; c < 3; c++) color[c] = 0.5f + SH_C0 * dc[c];
  for (int k = 0; k < s.used(); k++)
    for (int c = 0; c < 3; c++) color[c] += basis[k + 1] * rest[3 * k + c];
}

// A unit quaternion and the third column of its rotation matrix.
struct Axis {
  float w, x, y, z, inverse_length, n[3];
  explicit Axis(const float *q) {
    float length = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    inverse_length = 1.0f / std::max(length, 1e-12f);
    w = q[0] * inverse_length, x = q[1] * inverse_length, y = q[2] * inverse_length, z = q[3] * inverse_length;
    n[0] = 2 * (x * z + w * y), n[1] = 2 * (y * z - w * x), n[2] = 1 - 2 * (x * x + y * y);
  }
  void gradient(const float *v, float *out) const {
    float v_w = 2 * (y * v[0] - x * v[1]), v_x = 2 * (z * v[0] - w * v[1]) - 4 * x * v[2];
    float v_y = 2 * (w * v[0] + z * v[1]) - 4 * y * v[2], v_z = 2 * (x * v[0] + y * v[1]);
    float along = v_w * w + v_x * x + v_y * y + v_z * z;
    out[0] = (v_w - along * w) * inverse_length, out[1] = (v_x - along * x) * inverse_length;
    out[2] = (v_y - along * y) * inverse_length, out[3] = (v_z - along * z) * inverse_length;
  }
};

inline float dot(const float *a, const float *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

void look(const Look &s, size_t begin, size_t end, float *out) {
  float basis[SH_MAX];
  for (size_t i = begin; i < end; i++, out += CHANNELS) {
    const float *mean = s.means + 3 * i;
    float offset[3] = {mean[0] - s.center[0], mean[1] - s.center[1], mean[2] - s.center[2]};
    directional_basis(s, offset, basis);
    raw_color(s, i, basis, out);
    for (int c = 0; c < 3; c++) out[c] = std::max(out[c], 0.0f);
    Axis axis(s.quats_wxyz + 4 * i);
    float distance = dot(offset, axis.n), sign = distance > 0 ? -1.0f : 1.0f;
    for (int a = 0; a < 3; a++) out[3 + a] = sign * axis.n[a];
    out[6] = sign * distance;
  }
}

struct LookGradients {
  float *dc, *rest, *means, *quats_wxyz;
};

void look_backward(const Look &s, size_t begin, size_t end, const float *v, const LookGradients &to) {
  float basis[SH_MAX];
  for (size_t i = begin; i < end; i++, v += CHANNELS) {
    const float *mean = s.means + 3 * i;
    float offset[3] = {mean[0] - s.center[0], mean[1] - s.center[1], mean[2] - s.center[2]}, color[3], v_color[3];
    directional_basis(s, offset, basis);
    raw_color(s, i, basis, color);
    for (int c = 0; c < 3; c++) v_color[c] = color[c] >= 0.0f ? v[c] : 0.0f;  // as clamp_min
    float *rest = to.rest + i * s.rest_stride;
    for (int c = 0; c < 3; c++) to.dc[3 * i + c] = SH_C0 * v_color[c];
    for (int k = 0; k < s.used(); k++)
      for (int c = 0; c < 3; c++) rest[3 * k + c] = basis[k + 1] * v_color[c];
    for (int64_t k = 3 * s.used(); k < s.rest_stride; k++) rest[k] = 0.0f;
    Axis axis(s.quats_wxyz + 4 * i);
    float sign = dot(offset, axis.n) > 0 ? -1.0f : 1.0f, v_axis[3];
    for (int a = 0; a < 3; a++) {
      v_axis[a] = sign * (v[3 + a] + v[6] * offset[a]);
      to.means[3 * i + a] = sign * v[6] * axis.n[a];
    }
    axis.gradient(v_axis, to.quats_wxyz + 4 * i);
  }
}

}  // namespace
}  // namespace relight3d

using namespace relight3d;

// features [N, 7]: display-referred colour, facing normal, signed distance of the plane.
extern "C" R3D_EXPORT int r3d_look(const float *dc, const float *rest, const float *means, const float *quats_wxyz,
                                   const float *center, int64_t splats, int64_t rest_stride, int64_t degree,
                                   int64_t threads, float *features) {
  return guarded([&] {
    Look s{dc, rest, means, quats_wxyz, {center[0], center[1], center[2]}, rest_stride, (int)degree};
    parallel_pieces((int)threads, splats, PIECE, [&](size_t begin, size_t end) {
      look(s, begin, end, features + CHANNELS * begin);
    });
  });
}

// Gradients are written, not added to. Colour does not feel the means: directions are constants.
extern "C" R3D_EXPORT int r3d_look_backward(const float *dc, const float *rest, const float *means,
                                            const float *quats_wxyz, const float *center, int64_t splats,
                                            int64_t rest_stride, int64_t degree, int64_t threads,
                                            const float *v_features, float *v_dc, float *v_rest, float *v_means,
                                            float *v_quats_wxyz) {
  return guarded([&] {
    Look s{dc, rest, means, quats_wxyz, {center[0], center[1], center[2]}, rest_stride, (int)degree};
    LookGradients to{v_dc, v_rest, v_means, v_quats_wxyz};
    parallel_pieces((int)threads, splats, PIECE, [&](size_t begin, size_t end) {
      look_backward(s, begin, end, v_features + CHANNELS * begin, to);
    });
  });
}
