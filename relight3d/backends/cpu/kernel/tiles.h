// What the forward and backward tile kernels share: 16 x 16 pixels as blocks of L, one SIMD vector each.
#pragma once
#include <memory>
#include <type_traits>

#include "scene.h"
#include "simd.h"

namespace relight3d {

constexpr int BLOCK_W = L >= 8 ? 4 : 2, BLOCK_H = L / BLOCK_W;
constexpr int BLOCKS_X = TILE / BLOCK_W, BLOCKS_Y = TILE / BLOCK_H, BLOCKS = BLOCKS_X * BLOCKS_Y;
constexpr int CHUNK = 128;  // list entries taken at a time, so that the scratch stays in L1 and L2
constexpr int MOMENTS = 8;  // 1, x, y, xx, xy, yy and two zeros
typedef float Moments __attribute__((vector_size(MOMENTS * 4)));
static_assert(BLOCKS <= 64 && BLOCKS % L == 0, "a block mask has 64 bits");

typedef std::conditional_t<BLOCKS <= 32, uint32_t, uint64_t> BlockMask;
constexpr BlockMask ALL_BLOCKS = ~BlockMask(0) >> (8 * sizeof(BlockMask) - BLOCKS);

inline int first_of(BlockMask m) { return __builtin_ctzll(m); }

// Constants of the tile, relative to its corner.
struct TileTables {
  Floats left[BLOCKS / L], right[BLOCKS / L], top[BLOCKS / L], bottom[BLOCKS / L];  // outer pixel centres
  Floats x[BLOCKS], y[BLOCKS];                                                      // pixel centres
  Moments basis[L];  // monomials of a block's pixels about its centre

  TileTables() {
    for (int b = 0; b < BLOCKS; b++) {
      float x0 = float(b % BLOCKS_X * BLOCK_W), y0 = float(b / BLOCKS_X * BLOCK_H);
      left[b / L][b % L] = x0 + 0.5f, right[b / L][b % L] = x0 + BLOCK_W - 0.5f;
      top[b / L][b % L] = y0 + 0.5f, bottom[b / L][b % L] = y0 + BLOCK_H - 0.5f;
      for (int p = 0; p < L; p++)
        x[b][p] = x0 + p % BLOCK_W + 0.5f, y[b][p] = y0 + p / BLOCK_W + 0.5f;
    }
    for (int p = 0; p < L; p++) {
      float dx = p % BLOCK_W + 0.5f - 0.5f * BLOCK_W, dy = p / BLOCK_W + 0.5f - 0.5f * BLOCK_H;
      basis[p] = Moments{1, dx, dy, dx * dx, dx * dy, dy * dy, 0, 0};
    }
  }
};
static const TileTables TABLES;

// A splat as a tile sees it: x, y relative to the tile's corner.
struct Local {
  float x, y, lean, narrow, tall, peak;
};

inline Floats log2_alpha(Floats x, Floats y, const Local &g) {
  Floats dy = y - g.y, across = g.narrow * ((x - g.x) - g.lean * dy), up = g.tall * dy;
  return (g.peak - up * up) - across * across;
}

// Bit b: the outline meets the rectangle of block b's pixel centres. Exact: the maximum over the
// rectangle lies on the edge nearest to the mean in x or in y.
inline BlockMask blocks_met(const Local &g, float reach_x, float reach_y) {
  const float aspect = reach_y / reach_x, y_of_x = g.lean * aspect * aspect;
  Floats threshold = splat(g.peak - LOG2_THRESHOLD + OUTLINE_MARGIN), zero = {};
  auto depth = [&](Floats dx, Floats dy) {  // below the peak
    Floats across = g.narrow * (dx - g.lean * dy), up = g.tall * dy;
    return across * across + up * up;
  };
  BlockMask met = 0;
  for (int k = 0; k < BLOCKS / L; k++) {
    Floats x0 = TABLES.left[k] - g.x, x1 = TABLES.right[k] - g.x;
    Floats y0 = TABLES.top[k] - g.y, y1 = TABLES.bottom[k] - g.y;
    Floats ex = vmin(vmax(zero, x0), x1), ey = vmin(vmax(zero, y0), y1);
    Floats on_x = depth(ex, vmin(vmax(y_of_x * ex, y0), y1));
    Floats on_y = depth(vmin(vmax(g.lean * ey, x0), x1), ey);
    met |= BlockMask(bits(ge(threshold, vmin(on_x, on_y)))) << (L * k);
  }
  return met;
}

// Where the pixels of a tile are, and whether all of them lie on the image.
struct TileFrame {
  int x0, y0, width, height;
  bool whole;
  TileFrame(const Camera &c, size_t tile)
      : x0(int(tile % c.tiles_x) * TILE), y0(int(tile / c.tiles_x) * TILE), width(c.width), height(c.height),
        whole(x0 + TILE <= width && y0 + TILE <= height) {}
  int block_x(int b) const { return x0 + b % BLOCKS_X * BLOCK_W; }
  int block_y(int b) const { return y0 + b / BLOCKS_X * BLOCK_H; }
  bool has_block(int b) const { return whole || (block_x(b) < width && block_y(b) < height); }
  bool has_pixel(int b, int p) const {
    return whole || (block_x(b) + p % BLOCK_W < width && block_y(b) + p / BLOCK_W < height);
  }
  size_t pixel(int b, int p) const {
    return (size_t)(block_y(b) + p / BLOCK_W) * width + block_x(b) + p % BLOCK_W;
  }
};

// One vector of a block's pixels from, or to, an image of scalars.
template <class V, class T> inline V load_block(const TileFrame &f, int b, const T *image, V missing) {
  V v = missing;
  if (f.whole)
    for (int y = 0; y < BLOCK_H; y++)
      memcpy((T *)&v + y * BLOCK_W, image + f.pixel(b, y * BLOCK_W), BLOCK_W * sizeof(T));
  else
    for (int p = 0; p < L; p++)
      if (f.has_pixel(b, p)) v[p] = image[f.pixel(b, p)];
  return v;
}
template <class V, class T> inline void store_block(const TileFrame &f, int b, T *image, const V &v) {
  if (f.whole)
    for (int y = 0; y < BLOCK_H; y++)
      memcpy(image + f.pixel(b, y * BLOCK_W), (const T *)&v + y * BLOCK_W, BLOCK_W * sizeof(T));
  else
    for (int p = 0; p < L; p++)
      if (f.has_pixel(b, p)) image[f.pixel(b, p)] = v[p];
}

// Some channels of the features: rows of `stride` floats, the `used` ones starting at `data`.
struct Channels {
  const float *data;
  size_t stride;
  int used;
};

// CP channels of a row; the ones that do not exist are 0.
template <int CP> inline void load_channels(const Channels &from, size_t row, float *to) {
  const float *f = from.data + row * from.stride;
  if (from.used == CP)
    memcpy(to, f, CP * sizeof(float));
  else
    for (int k = 0; k < CP; k++) to[k] = k < from.used ? f[k] : 0.0f;
}

// A chunk of a tile's list: its splats, their features, and per block the ones that meet it.
template <int CP> struct Chunk {
  alignas(64) Local splats[CHUNK];
  alignas(64) float features[CHUNK][CP];
  bool met[CHUNK];
  alignas(64) BlockMask blocks[CHUNK];
  uint16_t entries[BLOCKS][CHUNK + L];  // by block, and room for one whole vector more
  int counts[BLOCKS];

  void load(const View &view, const Channels &channels, const uint32_t *list, int n, const TileFrame &frame,
            BlockMask alive) {
    constexpr int AHEAD = 12;
    for (int i = 0; i < n; i++) {
      if (i + AHEAD < n) {
        __builtin_prefetch(&view.splats[list[i + AHEAD]]);
        __builtin_prefetch(channels.data + list[i + AHEAD] * channels.stride);
      }
      const Projected &g = view.splats[list[i]];
      splats[i] = {g.x - frame.x0, g.y - frame.y0, g.lean, g.narrow, g.tall, g.peak};
      blocks[i] = blocks_met(splats[i], g.reach_x, g.reach_y) & alive;
      met[i] = blocks[i] != 0;
      if (met[i]) load_channels<CP>(channels, list[i], features[i]);
    }
    list_entries(n);
  }

 private:
  // Which splats each block meets, in order.
  void list_entries(int n) {
#if defined(__AVX512F__)
    // 16 splats at a time and without branches, which a loop over the bits would mispredict.
    typedef uint16_t Half __attribute__((vector_size(32)));
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int i = n; i < (n + L - 1) / L * L; i++) blocks[i] = 0;
    for (int b = 0; b < BLOCKS; b++) {
      const __m512i bit = _mm512_set1_epi32(1 << b);
      int count = 0;
      for (int i = 0; i < n; i += L) {
        __mmask16 m = _mm512_test_epi32_mask(_mm512_load_si512(blocks + i), bit);
        __m512i indices = _mm512_add_epi32(lanes, _mm512_set1_epi32(i));
        Half packed = (Half)_mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(m, indices));
        memcpy(entries[b] + count, &packed, sizeof packed);
        count += __builtin_popcount(m);
      }
      counts[b] = count;
    }
#else
    for (int b = 0; b < BLOCKS; b++) counts[b] = 0;
    for (int i = 0; i < n; i++)
      for (BlockMask m = blocks[i]; m; m &= m - 1) {
        int b = first_of(m);
        entries[b][counts[b]++] = (uint16_t)i;
      }
#endif
  }
};

}  // namespace relight3d
