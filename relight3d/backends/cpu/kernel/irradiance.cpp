// Irradiance of many points past their occluders, and its gradient. One pass over the weights.
//
//   E_n = sum_d w_nd max(0, n . d) L_d
//
// Lanes run over directions. Nothing of size [points, directions] is written or copied: chosen rows
// of the weights are read where they lie.
#include <stdexcept>

#include "abi.h"
#include "planes.h"

namespace relight3d {
namespace {

constexpr int CHANNELS = 4;    // of radiance; callers with fewer pad with zeros
constexpr size_t PIECE = 256;  // points whose gradients are summed together, whatever the threads
constexpr size_t AHEAD = 2;    // points whose weights are fetched before they are needed

struct Sky : Planes {
  Sky(const float *directions, const float *radiance, size_t count) : Planes(3 + CHANNELS, count) {
    fill(0, directions, 3), fill(3, radiance, CHANNELS);
  }
};

struct Points {
  const float *weights;  // [rows, D]
  const int64_t *rows;   // which row is each point's; null: the point's own number
  const float *normals;  // [n, 3]
  size_t count, table;   // points, rows of the table
  size_t directions;

  const float *row(size_t point) const {
    int64_t at = rows ? rows[point] : (int64_t)point;
    if (at < 0 || at >= (int64_t)table) throw std::out_of_range("a row beyond the table");
    return weights + (size_t)at * directions;
  }
  // Chosen rows lie apart, where the processor does not look ahead by itself.
  const float *ahead(size_t point) const { return row(std::min(point + AHEAD, count - 1)); }
};

// A block of one point's weights; lanes beyond the last direction are 0.
inline Floats weight_at(const float *row, size_t block, size_t count) {
  Floats values{};
  if ((block + 1) * L <= count)  // of a constant size, hence one instruction
    std::memcpy(&values, row + block * L, sizeof values);
  else
    std::memcpy(&values, row + block * L, (count - block * L) * sizeof(float));
  return values;
}

void forward(const Points &points, const Sky &sky, float *out, int threads) {
  parallel_pieces(threads, points.count, PIECE, [&](size_t begin, size_t end) {
    for (size_t n = begin; n < end; n++) {
      const float *row = points.row(n), *ahead = points.ahead(n), *normal = points.normals + 3 * n;
      Floats sums[CHANNELS] = {};
      for (size_t b = 0; b < sky.blocks; b++) {
        __builtin_prefetch(ahead + b * L);
        Floats cosine =
            sky.load(0, b) * normal[0] + sky.load(1, b) * normal[1] + sky.load(2, b) * normal[2];
        Floats lit = vmax(cosine, Floats{}) * weight_at(row, b, sky.count);
        for (int k = 0; k < CHANNELS; k++) sums[k] += lit * sky.load(3 + k, b);
      }
      for (int k = 0; k < CHANNELS; k++) out[CHANNELS * n + k] = total(sums[k]);
    }
  });
}

// v_radiance [D, CHANNELS]; v_normals [n, 3] or null.
void backward(const Points &points, const Sky &sky, const float *v_out, float *v_normals,
              float *v_radiance, int threads) {
  size_t pieces = (points.count + PIECE - 1) / PIECE, stride = CHANNELS * sky.blocks;
  Buffer<float> partial(pieces * stride * L);  // one share per piece, so that sums keep their order
  std::memset(partial.data(), 0, pieces * stride * L * sizeof(float));
  parallel_pieces(threads, points.count, PIECE, [&](size_t begin, size_t end) {
    float *share = partial.data() + begin / PIECE * stride * L;
    for (size_t n = begin; n < end; n++) {
      const float *row = points.row(n), *ahead = points.ahead(n), *normal = points.normals + 3 * n;
      const float *v = v_out + CHANNELS * n;
      Floats turn[3] = {};
      for (size_t b = 0; b < sky.blocks; b++) {
        __builtin_prefetch(ahead + b * L);
        Floats axis[3] = {sky.load(0, b), sky.load(1, b), sky.load(2, b)};
        Floats cosine = axis[0] * normal[0] + axis[1] * normal[1] + axis[2] * normal[2];
        Floats weight = weight_at(row, b, sky.count);
        Floats lit = vmax(cosine, Floats{}) * weight;
        for (int k = 0; k < CHANNELS; k++) {
          float *at = share + (b * CHANNELS + k) * L;
          Floats sum;
          std::memcpy(&sum, at, sizeof sum);
          sum += lit * v[k];
          std::memcpy(at, &sum, sizeof sum);
        }
        if (!v_normals) continue;
        Floats value{};
        for (int k = 0; k < CHANNELS; k++) value += sky.load(3 + k, b) * v[k];
        value = keep(gt(cosine, Floats{}), value * weight);
        for (int k = 0; k < 3; k++) turn[k] += value * axis[k];
      }
      if (v_normals)
        for (int k = 0; k < 3; k++) v_normals[3 * n + k] = total(turn[k]);
    }
  });
  for (size_t p = 1; p < pieces; p++)
    for (size_t i = 0; i < stride * L; i++) partial[i] += partial[p * stride * L + i];
  for (size_t d = 0; d < sky.count; d++)
    for (int k = 0; k < CHANNELS; k++)
      v_radiance[CHANNELS * d + k] =
          pieces ? partial[(d / L * CHANNELS + k) * L + d % L] : 0.0f;
}

}  // namespace
}  // namespace relight3d

extern "C" {

// out [n, 4]: weights [table, D], rows [n] or null, normals [n, 3], directions [D, 3], radiance
// [D, 4].
R3D_EXPORT int r3d_irradiance(const float *weights, const int64_t *rows, const float *normals,
                              const float *directions, const float *radiance, float *out,
                              int64_t points, int64_t table, int64_t count, int64_t threads) {
  using namespace relight3d;
  return guarded([&] {
    Points of{weights, rows, normals, (size_t)points, (size_t)table, (size_t)count};
    forward(of, Sky(directions, radiance, count), out, (int)threads);
  });
}

// The same inputs, v_out [n, 4]; fills v_radiance [D, 4] and, unless null, v_normals [n, 3].
R3D_EXPORT int r3d_irradiance_backward(const float *weights, const int64_t *rows,
                                       const float *normals, const float *directions,
                                       const float *radiance, const float *v_out, float *v_normals,
                                       float *v_radiance, int64_t points, int64_t table,
                                       int64_t count, int64_t threads) {
  using namespace relight3d;
  return guarded([&] {
    Points of{weights, rows, normals, (size_t)points, (size_t)table, (size_t)count};
    backward(of, Sky(directions, radiance, count), v_out, v_normals, v_radiance, (int)threads);
  });
}

}  // extern "C"
