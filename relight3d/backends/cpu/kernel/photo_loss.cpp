// (1 - w) L1 + w (1 - SSIM) of two images with its gradient, in three passes over the rows.
//
// SSIM as core/ssim.py defines it: Gaussian window 11 x 11, sigma 1.5, zeros outside. Rows stay
// interleaved: a tap along a row lies `channels` floats further, whatever the channel.
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
  Maps(int count, size_t height, size_t row) : data(count * height * row), size(height * row), width(row) {}
  float *row(int map, size_t y) { return data.data() + map * size + y * width; }
};

struct PhotoLoss {
  const float *image, *target;  // [H, W, channels]
  size_t height, row, channels;  // row: floats
  float dssim_weight;
  Taps taps;
  Maps blurred, partials;        // along rows: of x, y, xx, yy, xy; of the derivatives by their blurs
  std::vector<double> l1, similarity;  // per row

  PhotoLoss(const float *x, const float *y, size_t h, size_t w, size_t ch, float weight, bool differentiate)
      : image(x), target(y), height(h), row(w * ch), channels(ch), dssim_weight(weight), blurred(5, h, row),
        partials(differentiate ? 3 : 0, h, row), l1(h), similarity(h) {}

  // `padded` holds HALF zero pixels, a row, and HALF zero pixels.
  void along_row(const float *__restrict padded, float *__restrict out) const {
    for (size_t j = 0; j < row; j++) {
      float sum = 0;
#pragma GCC unroll 11
      for (int k = 0; k < WINDOW; k++) sum += taps.at[k] * padded[j + k * channels];
      out[j] = sum;
    }
  }

  // Blurs map `m` across rows; rows outside the image are zero.
  void across_rows(Maps &maps, int m, size_t y, float *__restrict out) const {
    size_t first = y < HALF ? 0 : y - HALF, last = std::min(height - 1, y + HALF);
    if (last - first == WINDOW - 1) {
      const float *__restrict in = maps.row(m, first);
      for (size_t j = 0; j < row; j++) {
        float sum = 0;
#pragma GCC unroll 11
        for (int k = 0; k < WINDOW; k++) sum += taps.at[k] * in[j + k * row];
        out[j] = sum;
      }
      return;
    }
    std::fill(out, out + row, 0.0f);
    for (size_t r = first; r <= last; r++) {
      const float *__restrict in = maps.row(m, r);
      float tap = taps.at[r + HALF - y];
      for (size_t j = 0; j < row; j++) out[j] += tap * in[j];
    }
  }

  void blur_row(size_t y, float *padded) {
    const float *__restrict a = image + y * row, *__restrict b = target + y * row;
    float *__restrict to = padded + HALF * channels;
    double difference = 0;
    for (size_t j = 0; j < row; j++) difference += std::fabs(a[j] - b[j]);
    l1[y] = difference;
    for (int map = 0; map < 5; map++) {
      for (size_t j = 0; j < row; j++)
        to[j] = map == 0 ? a[j] : map == 1 ? b[j] : map == 2 ? a[j] * a[j] : map == 3 ? b[j] * b[j] : a[j] * b[j];
      along_row(padded, blurred.row(map, y));
    }
  }

  // All there is where SSIM does not count.
  void l1_row(size_t y, float *v_image, float *v_target) {
    const float each = 1.0f / (float)(height * row);
    double difference = 0;
    for (size_t i = y * row; i < (y + 1) * row; i++) {
      difference += std::fabs(image[i] - target[i]);
      float slope = image[i] > target[i] ? each : image[i] < target[i] ? -each : 0.0f;
      if (v_image) v_image[i] = slope;
      if (v_target) v_target[i] = -slope;
    }
    l1[y] = difference;
  }

  // SSIM of one row, and its derivatives by the blurred x, xx and xy, blurred along the row.
  void compare_row(size_t y, float *padded, float *scratch, bool differentiate) {
    float *__restrict mx = scratch, *__restrict my = mx + row, *__restrict xx = my + row;
    float *__restrict yy = xx + row, *__restrict xy = yy + row;
    for (int map = 0; map < 5; map++) across_rows(blurred, map, y, scratch + map * row);
    double sum = 0;
    for (size_t j = 0; j < row; j++) {
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
      std::copy(maps[map], maps[map] + row, padded + HALF * channels);
      along_row(padded, partials.row(map, y));
    }
  }

  void differentiate_row(size_t y, float *scratch, float *__restrict v, float *v_target) {
    const float *__restrict a = image + y * row, *__restrict b = target + y * row;
    float *__restrict d_mean = scratch, *__restrict d_xx = d_mean + row, *__restrict d_xy = d_xx + row;
    for (int map = 0; map < 3; map++) across_rows(partials, map, y, scratch + map * row);
    float each = 1.0f / (float)(height * row), l1_each = (1 - dssim_weight) * each, ssim_each = -dssim_weight * each;
    for (size_t j = 0; j < row; j++) {
      float sign = a[j] > b[j] ? 1.0f : a[j] < b[j] ? -1.0f : 0.0f;
      v[j] = l1_each * sign + ssim_each * (d_mean[j] + 2 * a[j] * d_xx[j] + b[j] * d_xy[j]);
      if (v_target) v_target[j] = -l1_each * sign;
    }
  }

  double run(int threads, float *v_image, float *v_target) {
    auto rows = [&](auto work) {
      parallel_pieces(threads, height, ROWS, [&](size_t begin, size_t end) {
        std::vector<float> padded(row + 2 * HALF * channels), scratch(5 * row);
        for (size_t y = begin; y < end; y++) work(y, padded.data(), scratch.data());
      });
    };
    if (dssim_weight == 0) {
      rows([&](size_t y, float *, float *) { l1_row(y, v_image, v_target); });
    } else {
      rows([&](size_t y, float *padded, float *) { blur_row(y, padded); });
      rows([&](size_t y, float *padded, float *scratch) { compare_row(y, padded, scratch, v_image != nullptr); });
    }
    if (v_image && dssim_weight != 0)
      rows([&](size_t y, float *, float *scratch) {
        differentiate_row(y, scratch, v_image + y * row, v_target ? v_target + y * row : nullptr);
      });
    double difference = 0, similar = 0, values = (double)(height * row);
    for (size_t y = 0; y < height; y++) difference += l1[y], similar += similarity[y];
    return (1 - dssim_weight) * difference / values + dssim_weight * (1 - similar / values);
  }
};

}  // namespace
}  // namespace relight3d

// loss [1]; v_image [H, W, channels] or null: the loss's gradient by the image; v_target, likewise or
// null: by the target, for which SSIM is a constant.
extern "C" R3D_EXPORT int r3d_photo_loss(const float *image, const float *target, int64_t height, int64_t width,
                                         int64_t channels, double dssim_weight, int64_t threads, float *loss,
                                         float *v_image, float *v_target) {
  using namespace relight3d;
  return guarded([&] {
    PhotoLoss work(image, target, height, width, channels, (float)dssim_weight, v_image != nullptr);
    *loss = (float)work.run((int)threads, v_image, v_target);
  });
}
