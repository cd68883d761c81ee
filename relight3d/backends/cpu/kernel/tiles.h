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
static_assert(BLOCKS <= 64, "a block mask has 64 bits");

typedef std::conditional_t<BLOCKS <= 32, uint32_t, uint64_t> BlockMask;
constexpr BlockMask ALL_BLOCKS = ~BlockMask(0) >> (8 * sizeof(BlockMask) - BLOCKS);

inline int first_of(BlockMask m) { return __builtin_ctzll(m); }

// Blocks are numbered down the columns, so that a column of them is consecutive bits of a mask.
constexpr int block_left(int b) { return b / BLOCKS_Y * BLOCK_W; }
constexpr int block_top(int b) { return b % BLOCKS_Y * BLOCK_H; }

// A pixel's place about the centre of its block.
constexpr float from_centre_x(int p) { return p % BLOCK_W + 0.5f - 0.5f * BLOCK_W; }
constexpr float from_centre_y(int p) { return p / BLOCK_W + 0.5f - 0.5f * BLOCK_H; }

constexpr int ROW_VECTORS = (BLOCKS_Y + L - 1) / L;  // lanes are rows of blocks here

// Constants of the tile, relative to its corner.
struct TileTables {
  Floats top[ROW_VECTORS], bottom[ROW_VECTORS];  // outer pixel centres of a row of blocks
  Floats x[BLOCKS], y[BLOCKS];                   // pixel centres

  TileTables() {
    for (int row = 0; row < ROW_VECTORS * L; row++) {
      float y0 = row < BLOCKS_Y ? float(row * BLOCK_H) : 1e9f;  // no outline reaches a row too many
      top[row / L][row % L] = y0 + 0.5f, bottom[row / L][row % L] = y0 + BLOCK_H - 0.5f;
    }
    for (int b = 0; b < BLOCKS; b++)
      for (int p = 0; p < L; p++)
        x[b][p] = block_left(b) + p % BLOCK_W + 0.5f, y[b][p] = block_top(b) + p / BLOCK_W + 0.5f;
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

// Bit b: the outline meets the rectangle of block b's pixel centres. Exact: within a row of blocks the
// outline's inside is convex, so it meets every column between its leftmost and rightmost point there.
inline BlockMask blocks_met(const Local &g, float reach_x, float reach_y) {
  const float inverse_reach = 1.0f / reach_y, y_of_right = g.lean * reach_y * (reach_y / reach_x);
  const float widest = std::sqrt(g.peak - LOG2_THRESHOLD + OUTLINE_MARGIN) / g.narrow;
  auto half_width = [&](Floats y) {  // of the outline at y
    Floats h = y * inverse_reach;
    return widest * vsqrt(vmax(1.0f - h * h, Floats{}));
  };
  BlockMask met = 0;
  for (int k = 0; k < ROW_VECTORS; k++) {
    Floats y0 = vmax(TABLES.top[k] - g.y, splat(-reach_y)), y1 = vmin(TABLES.bottom[k] - g.y, splat(reach_y));
    Floats ya = vmin(vmax(splat(y_of_right), y0), y1), yb = vmin(vmax(splat(-y_of_right), y0), y1);
    Floats right = g.x + (g.lean * ya + half_width(ya)), left = g.x + (g.lean * yb - half_width(yb));
    Mask rows = ge(y1, y0);
    for (int column = 0; column < BLOCKS_X; column++) {
      Floats first = splat(column * BLOCK_W + 0.5f), last = splat(column * BLOCK_W + BLOCK_W - 0.5f);
      met |= BlockMask(bits(rows & ge(right, first) & ge(last, left))) << (column * BLOCKS_Y + k * L);
    }
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
  int block_x(int b) const { return x0 + block_left(b); }
  int block_y(int b) const { return y0 + block_top(b); }
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

#if defined(__AVX2__) && !defined(__AVX512F__)
// The lanes whose bits are set, first.
struct CompressTable {
  alignas(16) uint16_t lanes[256][8] = {};
  CompressTable() {
    for (int m = 0; m < 256; m++)
      for (int lane = 0, count = 0; lane < 8; lane++)
        if (m >> lane & 1) lanes[m][count++] = (uint16_t)lane;
  }
};
static const CompressTable COMPRESS;
#endif

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
#elif defined(__AVX2__)
    // 8 splats at a time, likewise.
    for (int i = n; i < (n + L - 1) / L * L; i++) blocks[i] = 0;
    for (int b = 0; b < BLOCKS; b++) {
      const __m128i to_sign = _mm_cvtsi32_si128(31 - b);
      int count = 0;
      for (int i = 0; i < n; i += L) {
        __m256i masks = _mm256_sll_epi32(_mm256_load_si256((const __m256i *)(blocks + i)), to_sign);
        int m = _mm256_movemask_ps(_mm256_castsi256_ps(masks));
        __m128i lanes = _mm_load_si128((const __m128i *)COMPRESS.lanes[m]);
        _mm_storeu_si128((__m128i *)(entries[b] + count), _mm_add_epi16(lanes, _mm_set1_epi16((short)i)));
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
