// Rows of a few floats each, turned into planes so that lanes run over the rows.
#pragma once
#include "pool.h"
#include "simd.h"

namespace relight3d {

// [channels, padded]: whole vectors, zero beyond the last row.
struct Planes {
  Planes(int channels, size_t count) : count(count), blocks((count + L - 1) / L), data(channels * blocks * L) {
    std::memset(data.data(), 0, channels * blocks * L * sizeof(float));
  }
  // Channels first .. first + channels from rows [count, channels].
  void fill(int first, const float *rows, int channels) {
    for (size_t n = 0; n < count; n++)
      for (int k = 0; k < channels; k++) data[(first + k) * blocks * L + n] = rows[channels * n + k];
  }
  Floats load(int channel, size_t block) const {
    return relight3d::load(data.data() + (channel * blocks + block) * L);
  }
  size_t count, blocks;
  Buffer<float> data;
};

}  // namespace relight3d
