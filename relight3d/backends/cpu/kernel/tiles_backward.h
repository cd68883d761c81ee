// The gradient of compositing: per tile, back to front, from the saved transmittance and last index.
//
// Every (tile, splat) writes one row of gradients of its own: no atomics, and sums whose order depends
// on neither threads nor timing. Rows lie in the order of the tile lists; `splat_backward.h` reduces
// them. Tiles are done in bands, so that the rows never need more than a fixed budget.
#pragma once
#include "tiles.h"

namespace relight3d {

struct BackwardSource {
  const float *v_features;  // [used, H, W]: the pass's channels, each a plane
  size_t plane;             // H W
  const float *v_alpha;     // [H, W]; null for passes after the first, which have counted it
  bool geometry;            // false: only the features' gradient is wanted; moments stay 0
};

// Gradient rows of one band of tiles: [intersections, MOMENTS + CP].
struct Rows {
  float *data;
  uint8_t *touched;  // by intersection: whether its row was written at all
  uint32_t begin;    // first intersection of the band, in the tile lists
};

template <int CP> struct BackwardScratch {
  Chunk<CP> chunk;
  alignas(64) Floats weights[CHUNK], v_sigmas[CHUNK + L];
  uint16_t weighted[CHUNK + L];
  alignas(64) float lean[CHUNK + L], dx[CHUNK + L], dy[CHUNK + L];  // from block to splat, by entry
  alignas(64) Floats transmittance[BLOCKS], behind[BLOCKS];
  Ints last[BLOCKS];
  int block_last[BLOCKS];
  alignas(64) Floats v[BLOCKS][CP];           // gradient of the pixels, by channel
  alignas(64) float v_pixels[BLOCKS][L][CP];  // and by pixel
  alignas(64) float v_features[CHUNK][CP];
  Moments moments[CHUNK];
};

template <int CP>
inline void load_pixel_gradients(const TileFrame &frame, int b, int used, const BackwardSource &from,
                                 BackwardScratch<CP> &w) {
  for (int k = 0; k < CP; k++)
    w.v[b][k] = k < used ? load_block(frame, b, from.v_features + k * from.plane, Floats{}) : Floats{};
  if constexpr (CP >= L) {
    for (int k0 = 0; k0 < CP; k0 += L) {
      Floats rows[L];
      for (int k = 0; k < L; k++) rows[k] = w.v[b][k0 + k];
      transpose(rows);
      for (int p = 0; p < L; p++) memcpy(w.v_pixels[b][p] + k0, &rows[p], sizeof rows[p]);
    }
  } else {
    for (int p = 0; p < L; p++)
      for (int k = 0; k < CP; k++) w.v_pixels[b][p][k] = w.v[b][k][p];
  }
}

// Returns the last list entry that any pixel of the tile has seen, or -1.
template <int CP>
inline int start_tile(const View &view, const TileFrame &frame, int used, const BackwardSource &from,
                      BackwardScratch<CP> &w) {
  int tile_last = -1;
  for (int b = 0; b < BLOCKS; b++) {
    w.block_last[b] = -1;
    if (!frame.has_block(b)) continue;
    w.last[b] = load_block(frame, b, view.last.data(), splat_int(-1));
    for (int p = 0; p < L; p++) w.block_last[b] = std::max(w.block_last[b], (int)w.last[b][p]);
    if (w.block_last[b] < 0) continue;
    tile_last = std::max(tile_last, w.block_last[b]);
    w.transmittance[b] = load_block(frame, b, view.transmittance.data(), splat(1.0f));
    w.behind[b] = Floats{};
    if (from.v_alpha) w.behind[b] = -w.transmittance[b] * load_block(frame, b, from.v_alpha, Floats{});
    load_pixel_gradients<CP>(frame, b, used, from, w);
  }
  return tile_last;
}

// Walks one block's entries back to front, leaving each one's weights and v_sigma. What lies behind
// is one scalar per pixel: the gradient's product with the colour behind, less v_alpha's share.
template <int CP> inline int differentiate_block(BackwardScratch<CP> &w, int b, int offset, bool geometry) {
  const Chunk<CP> &chunk = w.chunk;
  const Floats x = TABLES.x[b], y = TABLES.y[b];
  Floats transmittance = w.transmittance[b], behind = w.behind[b], v[CP];
  Ints last = w.last[b] - offset;
#pragma GCC unroll 32
  for (int k = 0; k < CP; k++) v[k] = w.v[b][k];
  int entries = chunk.counts[b], count = 0;
  while (entries > 0 && offset + chunk.entries[b][entries - 1] > w.block_last[b]) entries--;
  for (int q = entries - 1; q >= 0; q--) {
    int i = chunk.entries[b][q];
    const float *f = chunk.features[i];
    Floats log2 = log2_alpha(x, y, chunk.splats[i]);
    Mask hit = ge(log2, splat(LOG2_THRESHOLD)) & ge(last, splat_int(i));
    Floats unclamped = keep(hit, exp2v(log2)), alpha = vmin(unclamped, splat(ALPHA_MAX));
    Floats inverse = 1.0f / (1.0f - alpha), before = transmittance * inverse, weight = alpha * before;
    transmittance = before;
    w.weights[count] = weight;
    w.weighted[count] = (uint16_t)i;
    if (geometry) {
      Floats even = {}, odd = {};
#pragma GCC unroll 32
      for (int k = 0; k < CP; k += 2) even += v[k] * f[k], odd += v[k + 1] * f[k + 1];
      Floats colour = even + odd, v_alpha = before * colour - behind * inverse;
      behind += weight * colour;
      w.v_sigmas[count] = keep(ge(splat(ALPHA_MAX), unclamped), -unclamped * v_alpha);
    }
    count++;
  }
  w.transmittance[b] = transmittance, w.behind[b] = behind;
  return count;
}

// v_features[entry] += weights[entry] . v_pixels: [entries, pixels] x [pixels, channels], the right
// factor in registers.
template <int CP> inline void gather_features(BackwardScratch<CP> &w, int b, int count) {
  constexpr int V = CP < L ? CP : L;
  typedef float Row __attribute__((vector_size(V * 4)));
  for (int k0 = 0; k0 < CP; k0 += V) {
    Row v[L];
#pragma GCC unroll 16
    for (int p = 0; p < L; p++) v[p] = *(const Row *)(w.v_pixels[b][p] + k0);
    for (int q = 0; q < count; q++) {
      Row *to = (Row *)(w.v_features[w.weighted[q]] + k0), even = *to, odd = {};
      const float *f = (const float *)&w.weights[q];
#pragma GCC unroll 16
      for (int p = 0; p < L; p += 2) even += f[p] * v[p], odd += f[p + 1] * v[p + 1];
      *to = even + odd;
    }
  }
}

// The same product for the moments of v_sigma, L entries at a time, one to a lane. They are taken about
// the block's centre and moved to the splat's own coordinates (x - lean y + dx, y + dy) at once: about
// the tile's centre the second moments of small splats, and in upright coordinates those of long,
// slanted ones, would cancel to nothing.
template <int CP> inline void gather_moments(BackwardScratch<CP> &w, int b, int count) {
  const float x = block_left(b) + 0.5f * BLOCK_W, y = block_top(b) + 0.5f * BLOCK_H;
  for (int q = 0; q < count; q++) {
    const Local &g = w.chunk.splats[w.weighted[q]];
    w.lean[q] = g.lean, w.dy[q] = y - g.y, w.dx[q] = x - g.x - g.lean * w.dy[q];
  }
  for (int q = count; q % L; q++) {  // up to a whole vector of entries, by some that add nothing
    w.weighted[q] = w.weighted[0], w.v_sigmas[q] = Floats{};
    w.lean[q] = w.dx[q] = w.dy[q] = 0;
  }
  for (int q = 0; q < count; q += L) {
    Floats v[L], one = {}, mx = {}, my = {}, xx = {}, xy = {}, yy = {};
    for (int p = 0; p < L; p++) v[p] = w.v_sigmas[q + p];
    transpose(v);
#pragma GCC unroll 16
    for (int p = 0; p < L; p++) {
      constexpr auto X = from_centre_x, Y = from_centre_y;
      one += v[p], mx += X(p) * v[p], my += Y(p) * v[p];
      xx += X(p) * X(p) * v[p], xy += X(p) * Y(p) * v[p], yy += Y(p) * Y(p) * v[p];
    }
    Floats lean = load(w.lean + q), dx = load(w.dx + q), dy = load(w.dy + q);
    mx -= lean * my, xx -= lean * (2.0f * xy - lean * yy), xy -= lean * yy;
    constexpr int PARTS = (MOMENTS + L - 1) / L;
    Floats out[PARTS * L] = {one, mx + dx * one, my + dy * one, xx + dx * (2.0f * mx + dx * one),
                             xy + dx * my + dy * (mx + dx * one), yy + dy * (2.0f * my + dy * one)};
    for (int part = 0; part < PARTS; part++) transpose(out + part * L);
    for (int p = 0; p < L; p++) {
      Moments m;
      for (int part = 0; part < PARTS; part++)
        memcpy((float *)&m + part * L, &out[part * L + p], std::min(L, MOMENTS) * sizeof(float));
      w.moments[w.weighted[q + p]] += m;
    }
  }
}

template <int CP> inline void store_rows(const BackwardScratch<CP> &w, int n, uint8_t *touched, float *rows) {
  for (int i = 0; i < n; i++, rows += MOMENTS + CP) {
    touched[i] = w.chunk.met[i];
    if (!w.chunk.met[i]) continue;
    memcpy(rows, &w.moments[i], sizeof(Moments));
    memcpy(rows + MOMENTS, w.v_features[i], CP * sizeof(float));
  }
}

template <int CP>
inline void differentiate_tile(const View &view, size_t tile, const Channels &channels,
                               const BackwardSource &from, const Rows &rows, BackwardScratch<CP> &w) {
  TileFrame frame(view.camera, tile);
  const uint32_t *list = view.list.data() + view.tile_start[tile];
  size_t row = view.tile_start[tile] - rows.begin;
  int length = int(view.tile_start[tile + 1] - view.tile_start[tile]);
  int tile_last = start_tile<CP>(view, frame, channels.used, from, w);
  memset(rows.touched + row + tile_last + 1, 0, length - tile_last - 1);
  if (tile_last < 0) return;
  for (int offset = tile_last / CHUNK * CHUNK; offset >= 0; offset -= CHUNK) {
    int n = std::min(CHUNK, tile_last + 1 - offset);
    BlockMask alive = 0;
    for (int b = 0; b < BLOCKS; b++) alive |= BlockMask(w.block_last[b] >= offset) << b;
    w.chunk.load(view, channels, list + offset, n, frame, alive);
    memset(w.v_features, 0, n * sizeof w.v_features[0]);
    memset(w.moments, 0, n * sizeof w.moments[0]);
    for (BlockMask m = alive; m; m &= m - 1) {
      int b = first_of(m);
      if (!w.chunk.counts[b]) continue;
      int count = differentiate_block<CP>(w, b, offset, from.geometry);
      gather_features<CP>(w, b, count);
      if (from.geometry) gather_moments<CP>(w, b, count);
    }
    store_rows<CP>(w, n, rows.touched + row + offset, rows.data + (row + offset) * (MOMENTS + CP));
  }
}

template <int CP>
void differentiate_tiles(const View &view, size_t first_tile, size_t end_tile, const Channels &channels,
                         const BackwardSource &from, const Rows &rows, int threads) {
  parallel_pieces(threads, end_tile - first_tile, 1, [&](size_t begin, size_t end) {
    static thread_local const auto scratch = std::make_unique<BackwardScratch<CP>>();
    for (size_t tile = begin; tile < end; tile++)
      differentiate_tile<CP>(view, first_tile + tile, channels, from, rows, *scratch);
  });
}

// End of the band of tiles that starts at `first`: as many as fit the budget, but at least one.
inline size_t band_end(const View &view, size_t first, size_t row_bytes, size_t budget) {
  size_t tiles = view.tile_start.size() - 1, end = first + 1;
  while (end < tiles && (view.tile_start[end + 1] - view.tile_start[first]) * row_bytes <= budget) end++;
  return end;
}

}  // namespace relight3d
