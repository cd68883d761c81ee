// (1 - w) L1 + w (1 - SSIM) of two images with its gradient, in three passes over the rows.
//
// SSIM as core/ssim.py defines it: Gaussian window 11 x 11, sigma 1.5, zeros outside. Channels are
// planes of their own; rows are counted through all of them.
#include <cmath>

#include "abi.h"
#include "pool.h"

namespace relight3d {
namespace {

constexpr int WINDOW = 11, HALF = WINDOW / 2;
constexpr float C1 = 0.01f * 0.01f, C2 = 0.03f * 0.03f;
constexpr size_t ROWS = 4;  // taken by a thread at a time

struct Taps {
  float at[WINDOW];
  Taps() {
    double weights[WINDOW], sum = 0;
    for (int k = 0; k < WINDOW; k++) sum += weights[k] = std::exp(-0.5 * (k - HALF) * (k - HALF) / (1.5 * 1.5));
    for (int k = 0; k < WINDOW; k++) at[k] = (float)(weights[k] / sum);
  }
};

// Several maps of the image's size.
struct Maps {
  Buffer<float> data;
  size_t size, width;
  Maps(int count, size_t rows, size_t width) : data(count * rows * width), size(rows * width), width(width) {}
  float *row(int map, size_t y) { return data.data() + map * size + y * width; }
};

struct PhotoLoss {
  const float *image, *target;  // [channels, H, W]
  size_t height, width, rows;    // rows: of all channels
  float dssim_weight;
  Taps taps;
  Maps blurred, partials;        // along rows: of x, y, xx, yy, xy; of the derivatives by their blurs
  std::vector<double> l1, similarity;  // per row

  PhotoLoss(const float *x, const float *y, size_t h, size_t w, size_t ch, float weight, bool differentiate)
      : image(x), target(y), height(h), width(w), rows(ch * h), dssim_weight(weight), blurred(5, rows, w),
        partials(differentiate ? 3 : 0, rows, w), l1(rows), similarity(rows) {}

  // `padded` holds HALF zeros, a row, and HALF zeros.
  void along_row(const float *__restrict padded, float *__restrict out) const {
    for (size_t j = 0; j < width; j++) {
      float sum = 0;
#pragma GCC unroll 11
      for (int k = 0; k < WINDOW; k++) sum += taps.at[k] * padded[j + k];
      out[j] = sum;
    }
  }

  // Blurs map `m` across rows; rows outside the channel are zero.
  void across_rows(Maps &maps, int m, size_t y, float *__restrict out) const {
    size_t top = y / height * height, first = std::max(top + HALF, y) - HALF;
    size_t last = std::min(top + height - 1, y + HALF);
    if (last - first == WINDOW - 1) {
      const float *__restrict in = maps.row(m, first);
      for (size_t j = 0; j < width; j++) {
        float sum = 0;
#pragma GCC unroll 11
        for (int k = 0; k < WINDOW; k++) sum += taps.at[k] * in[j + k * width];
        out[j] = sum;
      }
      return;
    }
    std::fill(out, out + width, 0.0f);
    for (size_t r = first; r <= last; r++) {
      const float *__restrict in = maps.row(m, r);
      float tap = taps.at[r + HALF - y];
      for (size_t j = 0; j < width; j++) out[j] += tap * in[j];
    }
  }

  void blur_row(size_t y, float *padded) {
    const float *__restrict a = image + y * width, *__restrict b = target + y * width;
    float *__restrict to = padded + HALF;
    double difference = 0;
    for (size_t j = 0; j < width; j++) difference += std::fabs(a[j] - b[j]);
    l1[y] = difference;
    for (int map = 0; map < 5; map++) {
      for (size_t j = 0; j < width; j++)
        to[j] = map == 0 ? a[j] : map == 1 ? b[j] : map == 2 ? a[j] * a[j] : map == 3 ? b[j] * b[j] : a[j] * b[j];
      along_row(padded, blurred.row(map, y));
    }
  }

  // All there is where SSIM does not count.
  void l1_row(size_t y, float *v_image, float *v_target) {
    const float each = 1.0f / (float)(rows * width);
    double difference = 0;
    for (size_t i = y * width; i < (y + 1) * width; i++) {
      difference += std::fabs(image[i] - target[i]);
      float slope = image[i] > target[i] ? each : image[i] < target[i] ? -each : 0.0f;
      if (v_image) v_image[i] = slope;
      if (v_target) v_target[i] = -slope;
    }
    l1[y] = difference;
  }

  // SSIM of one row, and its derivatives by the blurred x, xx and xy, blurred along the row.
  void compare_row(size_t y, float *padded, float *scratch, bool differentiate) {
    float *__restrict mx = scratch, *__restrict my = mx + width, *__restrict xx = my + width;
    float *__restrict yy = xx + width, *__restrict xy = yy + width;
    for (int map = 0; map < 5; map++) across_rows(blurred, map, y, scratch + map * width);
    double sum = 0;
    for (size_t j = 0; j < width; j++) {
      float a1 = 2 * mx[j] * my[j] + C1, a2 = 2 * (xy[j] - mx[j] * my[j]) + C2;
      float b1 = mx[j] * mx[j] + my[j] * my[j] + C1, b2 = (xx[j] - mx[j] * mx[j]) + (yy[j] - my[j] * my[j]) + C2;
      float inverse = 1 / (b1 * b2), value = a1 * a2 * inverse;
      float d_mean = 2 * my[j] * (a2 - a1) * inverse - 2 * mx[j] * value * (b2 - b1) * inverse;
      sum += value;
      mx[j] = d_mean, xx[j] = -value * b1 * inverse, xy[j] = 2 * a1 * inverse;
    }
    similarity[y] = sum;
    if (!differentiate) return;
    const float *maps[3] = {mx, xx, xy};
    for (int map = 0; map < 3; map++) {
      std::copy(maps[map], maps[map] + width, padded + HALF);
      along_row(padded, partials.row(map, y));
    }
  }

  void differentiate_row(size_t y, float *scratch, float *__restrict v, float *v_target) {
    const float *__restrict a = image + y * width, *__restrict b = target + y * width;
    float *__restrict d_mean = scratch, *__restrict d_xx = d_mean + width, *__restrict d_xy = d_xx + width;
    for (int map = 0; map < 3; map++) across_rows(partials, map, y, scratch + map * width);
    float each = 1.0f / (float)(rows * width), l1_each = (1 - dssim_weight) * each, ssim_each = -dssim_weight * each;
    for (size_t j = 0; j < width; j++) {
      float sign = a[j] > b[j] ? 1.0f : a[j] < b[j] ? -1.0f : 0.0f;
      v[j] = l1_each * sign + ssim_each * (d_mean[j] + 2 * a[j] * d_xx[j] + b[j] * d_xy[j]);
      if (v_target) v_target[j] = -l1_each * sign;
    }
  }

  double run(int threads, float *v_image, float *v_target) {
    auto over_rows = [&](auto work) {
      parallel_pieces(threads, rows, ROWS, [&](size_t begin, size_t end) {
        std::vector<float> padded(width + 2 * HALF), scratch(5 * width);
        for (size_t y = begin; y < end; y++) work(y, padded.data(), scratch.data());
      });
    };
    if (dssim_weight == 0) {
      over_rows([&](size_t y, float *, float *) { l1_row(y, v_image, v_target); });
    } else {
      over_rows([&](size_t y, float *padded, float *) { blur_row(y, padded); });
      over_rows([&](size_t y, float *padded, float *scratch) { compare_row(y, padded, scratch, v_image != nullptr); });
    }
    if (v_image && dssim_weight != 0)
      over_rows([&](size_t y, float *, float *scratch) {
        differentiate_row(y, scratch, v_image + y * width, v_target ? v_target + y * width : nullptr);
      });
    double difference = 0, similar = 0, values = (double)(rows * width);
    for (size_t y = 0; y < rows; y++) difference += l1[y], similar += similarity[y];
    return (1 - dssim_weight) * difference / values + dssim_weight * (1 - similar / values);
  }
};

}  // namespace
}  // namespace relight3d

// loss [1], images [channels, H, W]; v_image, likewise, or null: the loss's gradient by the image;
// v_target, likewise or null: by the target, for which SSIM is a constant.
extern "C" R3D_EXPORT int r3d_photo_loss(const float *image, const float *target, int64_t height, int64_t width,
                                         int64_t channels, double dssim_weight, int64_t threads, float *loss,
                                         float *v_image, float *v_target) {
  using namespace relight3d;
  return guarded([&] {
    PhotoLoss work(image, target, height, width, channels, (float)dssim_weight, v_image != nullptr);
    *loss = (float)work.run((int)threads, v_image, v_target);
  });
}
