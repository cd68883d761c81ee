// Stable parallel radix sort of (depth, splat) pairs, front to back.
#pragma once
#include <vector>

#include "pool.h"

namespace relight3d {

struct DepthKey {
  uint32_t depth;  // bits of a positive float, which order as the floats do
  uint32_t splat;
};

// Three passes of 11 bits. The result is in `b` and does not depend on the number of threads.
inline void sort_by_depth(DepthKey *a, DepthKey *b, size_t n, int threads) {
  constexpr int BITS = 11, DIGITS = 1 << BITS;
  if (n < 20000) threads = 1;
  std::vector<uint32_t> counts((size_t)threads * DIGITS);
  for (int pass = 0; pass < 3; pass++, std::swap(a, b)) {
    int shift = pass * BITS;
    auto digit = [&](const DepthKey &k) { return k.depth >> shift & (DIGITS - 1); };
    parallel(threads, [&](int t) {
      uint32_t *mine = &counts[(size_t)t * DIGITS];
      std::fill(mine, mine + DIGITS, 0);
      for (size_t i = share(n, t, threads); i < share(n, t + 1, threads); i++) mine[digit(a[i])]++;
    });
    uint32_t sum = 0;
    for (int d = 0; d < DIGITS; d++)
      for (int t = 0; t < threads; t++) {
        uint32_t count = counts[(size_t)t * DIGITS + d];
        counts[(size_t)t * DIGITS + d] = sum;
        sum += count;
      }
    parallel(threads, [&](int t) {
      uint32_t *next = &counts[(size_t)t * DIGITS];
      for (size_t i = share(n, t, threads); i < share(n, t + 1, threads); i++) b[next[digit(a[i])]++] = a[i];
    });
  }
}

}  // namespace relight3d
