// Compositing: per tile, chunk by chunk front to back; a block stops when all its pixels are opaque.
#pragma once
#include "tiles.h"

namespace relight3d {

struct ForwardTarget {
  float *features;       // [used, H, W]: the pass's channels, each a plane
  size_t plane;          // H W
  float *alpha;          // [H, W]
  float *transmittance;  // [H, W] and
  int32_t *last;         // [H, W], or both null when no backward pass follows
};

template <int CP> struct ForwardScratch {
  Chunk<CP> chunk;
  alignas(64) Floats weights[CHUNK];
  uint16_t weighted[CHUNK];
  alignas(64) Floats running[BLOCKS], final[BLOCKS];  // transmittance: never stopped, and where it counts
  Ints last[BLOCKS];
  alignas(64) Floats sums[BLOCKS][CP];
};

// Accumulators of all channels fit in registers next to the rest only with 32 wide registers.
template <int CP> constexpr bool FUSED = L == 16 && CP <= 16;

template <int CP> inline BlockMask start_tile(const TileFrame &frame, ForwardScratch<CP> &w) {
  BlockMask alive = ALL_BLOCKS;
  for (int b = 0; b < BLOCKS; b++) {
    w.running[b] = w.final[b] = splat(1.0f);
    w.last[b] = splat_int(-1);
    for (int k = 0; k < CP; k++) w.sums[b][k] = Floats{};
    if (frame.whole) continue;
    if (!frame.has_block(b)) alive &= ~(BlockMask(1) << b);
    for (int p = 0; p < L; p++)
      if (!frame.has_pixel(b, p)) w.running[b][p] = 0;  // as if opaque
  }
  return alive;
}

// Adds the buffered weights times their features, a few channels at a time.
template <int CP> inline void add_weighted(ForwardScratch<CP> &w, int b, int count) {
  constexpr int GROUP = CP < 8 ? CP : L == 16 ? 16 : 8;
  for (int k0 = 0; k0 < CP; k0 += GROUP) {
    Floats sum[GROUP];
#pragma GCC unroll 16
    for (int k = 0; k < GROUP; k++) sum[k] = w.sums[b][k0 + k];
    for (int q = 0; q < count; q++) {
      const float *f = w.chunk.features[w.weighted[q]] + k0;
      Floats weight = w.weights[q];
#pragma GCC unroll 16
      for (int k = 0; k < GROUP; k++) sum[k] += weight * f[k];
    }
#pragma GCC unroll 16
    for (int k = 0; k < GROUP; k++) w.sums[b][k0 + k] = sum[k];
  }
}

// Composites one block's entries of the chunk that starts at `offset` in the tile's list. Returns
// true when no pixel can change any more. The running transmittance goes on past the stop: it only
// falls, so "would stay above the stop" needs no memory of having stopped.
template <int CP> inline bool composite_block(ForwardScratch<CP> &w, int b, int offset) {
  const Chunk<CP> &chunk = w.chunk;
  const Floats x = TABLES.x[b], y = TABLES.y[b];
  Floats running = w.running[b], final = w.final[b], sums[CP];
  Ints last = w.last[b];
  if constexpr (FUSED<CP>) {
#pragma GCC unroll 32
    for (int k = 0; k < CP; k++) sums[k] = w.sums[b][k];
  }
  bool done = false;
  int count = 0;
  for (int q = 0; q < chunk.counts[b] && !done; q++) {
    int i = chunk.entries[b][q];
    Floats log2 = log2_alpha(x, y, chunk.splats[i]);
    Mask hit = ge(log2, splat(LOG2_THRESHOLD));
    Floats alpha = keep(hit, vmin(exp2v(log2), splat(ALPHA_MAX)));
    Floats next = running - running * alpha;
    Mask active = gt(next, splat(TRANSMITTANCE_STOP));
    Floats weight = keep(active, alpha * running);
    final = select(active, next, final);
    last = select(active & hit, splat_int(offset + i), last);
    running = next;
    if constexpr (FUSED<CP>) {
#pragma GCC unroll 32
      for (int k = 0; k < CP; k++) sums[k] += weight * chunk.features[i][k];
    } else {
      w.weights[count] = weight;
      w.weighted[count++] = (uint16_t)i;
    }
    done = !any(active);
  }
  if constexpr (FUSED<CP>) {
#pragma GCC unroll 32
    for (int k = 0; k < CP; k++) w.sums[b][k] = sums[k];
  } else {
    add_weighted<CP>(w, b, count);
  }
  w.running[b] = running, w.final[b] = final, w.last[b] = last;
  return done;
}

template <int CP>
inline void store_tile(const TileFrame &frame, ForwardScratch<CP> &w, int used, const ForwardTarget &to) {
  for (int b = 0; b < BLOCKS; b++) {
    if (!frame.has_block(b)) continue;
    store_block(frame, b, to.alpha, 1.0f - w.final[b]);
    if (to.last) {
      store_block(frame, b, to.transmittance, w.final[b]);
      store_block(frame, b, to.last, w.last[b]);
    }
    for (int k = 0; k < used; k++) store_block(frame, b, to.features + k * to.plane, w.sums[b][k]);
  }
}

template <int CP>
void composite_tiles(const View &view, const Channels &channels, const ForwardTarget &to, int threads) {
  size_t tiles = (size_t)view.camera.tiles_x * view.camera.tiles_y;
  parallel_pieces(threads, tiles, 1, [&](size_t begin, size_t end) {
    static thread_local const auto scratch = std::make_unique<ForwardScratch<CP>>();
    ForwardScratch<CP> &w = *scratch;
    for (size_t tile = begin; tile < end; tile++) {
      TileFrame frame(view.camera, tile);
      BlockMask alive = start_tile<CP>(frame, w);
      const uint32_t *list = view.list.data() + view.tile_start[tile];
      int length = int(view.tile_start[tile + 1] - view.tile_start[tile]);
      for (int offset = 0; offset < length && alive; offset += CHUNK) {
        w.chunk.load(view, channels, list + offset, std::min(CHUNK, length - offset), frame, alive);
        for (BlockMask m = alive; m; m &= m - 1) {
          int b = first_of(m);
          if (w.chunk.counts[b] && composite_block<CP>(w, b, offset)) alive &= ~(BlockMask(1) << b);
        }
      }
      store_tile<CP>(frame, w, channels.used, to);
    }
  });
}

}  // namespace relight3d
