// Which splats meet which tile, front to back: one global depth sort, then a stable counting sort.
#pragma once
#include <limits>
#include <stdexcept>
#include <string>

#include "projection.h"
#include "sort.h"

namespace relight3d {

// Projects all splats; returns those on the image with their depth, in the order of the scene.
inline Buffer<DepthKey> project_splats(View &view, const R3dScene &s, int threads, size_t &visible) {
  size_t n = s.splats, blocks = (n + L - 1) / L;
  Buffer<DepthKey> keys(n + 1);
  std::vector<size_t> found(threads);
  uint32_t *counts = view.first.data() + 1;
  parallel(threads, [&](int t) {
    size_t begin = share(blocks, t, threads), end = share(blocks, t + 1, threads), out = begin * L;
    for (size_t block = begin; block < end; block++) {
      size_t first = block * L;
      int count = (int)std::min<size_t>(L, n - first);
      project_block(view.camera, s, first, count, view, counts + first, [&](size_t i, float z) {
        uint32_t depth;
        memcpy(&depth, &z, 4);
        keys[out++] = {depth, (uint32_t)i};
      });
    }
    found[t] = out - begin * L;
  });
  visible = 0;
  for (int t = 0; t < threads; t++) {
    memmove(keys.data() + visible, keys.data() + share(blocks, t, threads) * L, found[t] * sizeof(DepthKey));
    visible += found[t];
  }
  return keys;
}

// Turns counts into first intersections; 32 bits hold them or the call is refused.
inline size_t number_intersections(View &view, size_t splats) {
  uint64_t sum = view.first[0] = 0;
  for (size_t i = 1; i <= splats; i++) {
    sum += view.first[i];
    view.first[i] = (uint32_t)sum;
  }
  if (sum > std::numeric_limits<uint32_t>::max() - 64)
    throw std::length_error("the splats meet " + std::to_string(sum) +
                            " tiles in one view, more than 32-bit counters hold; many scales are far "
                            "too large for this camera. Remove or shrink the largest splats, or draw "
                            "a smaller image");
  return sum;
}

// A splat's tiles in one row of tiles, and the number of its first intersection there.
struct Span {
  uint32_t splat, intersection;
  uint16_t row, begin, end;  // tiles begin .. end, both included
};

// Spans of a share of the sorted splats, counting the entries of every tile.
inline size_t collect_spans(const View &view, const DepthKey *keys, size_t n, Span *spans, uint32_t *counts) {
  const Camera &c = view.camera;
  constexpr size_t AHEAD = 16;
  size_t m = 0;
  for (size_t r = 0; r < n; r++) {
    if (r + AHEAD < n) {
      __builtin_prefetch(&view.splats[keys[r + AHEAD].splat]);
      __builtin_prefetch(&view.first[keys[r + AHEAD].splat]);
    }
    uint32_t splat = keys[r].splat, intersection = view.first[splat];
    tile_spans(view.splats[splat], c, [&](int row, int x0, int x1) {
      spans[m++] = {splat, intersection, (uint16_t)row, (uint16_t)x0, (uint16_t)x1};
      intersection += x1 - x0 + 1;
      for (int x = x0; x <= x1; x++) counts[row * c.tiles_x + x]++;
    });
  }
  return m;
}

// At most this many spans has a share of the splats.
inline size_t count_tiles(const View &view, const DepthKey *keys, size_t n) {
  size_t sum = 0;
  for (size_t r = 0; r < n; r++) {
    if (r + 16 < n) __builtin_prefetch(&view.first[keys[r + 16].splat]);
    sum += view.first[keys[r].splat + 1] - view.first[keys[r].splat];
  }
  return sum;
}

// Fills view.list, tile_start and, if asked, position.
inline void fill_tile_lists(View &view, const DepthKey *keys, size_t n, size_t intersections, int threads,
                            bool keep_positions) {
  const Camera &c = view.camera;
  size_t tiles = (size_t)c.tiles_x * c.tiles_y;
  std::vector<uint32_t> next((size_t)threads * tiles, 0);
  std::vector<Buffer<Span>> spans(threads);
  std::vector<size_t> span_counts(threads);
  parallel(threads, [&](int t) {
    size_t begin = share(n, t, threads), count = share(n, t + 1, threads) - begin;
    spans[t].reset(count_tiles(view, keys + begin, count) + 1);
    span_counts[t] = collect_spans(view, keys + begin, count, spans[t].data(), &next[t * tiles]);
  });
  view.tile_start.resize(tiles + 1);
  uint32_t sum = 0;
  for (size_t tile = 0; tile < tiles; tile++) {
    view.tile_start[tile] = sum;
    for (int t = 0; t < threads; t++) {
      uint32_t count = next[t * tiles + tile];
      next[t * tiles + tile] = sum;
      sum += count;
    }
  }
  view.tile_start[tiles] = sum;
  view.list.reset(intersections + 1);
  if (keep_positions) view.position.reset(intersections + READ_AHEAD + 1);
  parallel(threads, [&](int t) {
    for (size_t i = 0; i < span_counts[t]; i++) {
      const Span &span = spans[t][i];
      uint32_t *cursor = &next[t * tiles + (size_t)span.row * c.tiles_x], u = span.intersection;
      for (int x = span.begin; x <= span.end; x++, u++) {
        uint32_t place = cursor[x]++;
        view.list[place] = span.splat;
        if (keep_positions) view.position[u] = place;
      }
    }
  });
}

inline void bin_splats(View &view, const R3dScene &s, int threads, bool keep_positions) {
  view.splats.reset(s.splats + 1);
  view.first.reset(s.splats + 1);
  size_t visible;
  Buffer<DepthKey> keys = project_splats(view, s, threads, visible), sorted(visible + 1);
  size_t intersections = number_intersections(view, s.splats);
  sort_by_depth(keys.data(), sorted.data(), visible, threads);
  keys.drop();
  fill_tile_lists(view, sorted.data(), visible, intersections, threads, keep_positions);
}

}  // namespace relight3d
