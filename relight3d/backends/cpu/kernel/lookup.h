// Bilinear lookups of many pixels at once: in the BRDF's table, and in the levels of a blurred
// environment. Lanes run over pixels; a texel's channels lie side by side, so that one load finds
// them all, and change places with the lanes afterwards.
#pragma once
#include "pool.h"
#include "simd.h"

namespace relight3d {

// x within [low, high]; not a number stays that.
inline Floats cut(Floats x, float low, float high) {
  return vmin(splat(high), vmax(splat(low), x));
}
inline Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }

// A place between nodes 0 .. last of an axis, at least two: the node before it, and how far behind.
struct Between {
  Ints node;
  Floats fraction;
  Between(Floats x, int last)
      : node(__builtin_convertvector(vmin(vmax(x, Floats{}), splat(last - 1.0f)), Ints)),
        fraction(x - to_floats(node)) {}
};

// K floats for each of L pixels: pixel by pixel, or as K vectors over pixels.
template <int K> class Records {
 public:
  float *of(int lane) { return at_ + (K < L ? lane % K * L + lane / K * K : lane * K); }
  void to_lanes(Floats *out) const {
    for (int part = 0; part < K; part += ROWS) {
      for (int i = 0; i < ROWS; i++) out[part + i] = load(at_ + i * STEP + part);
      butterfly<ROWS>(out + part);
    }
  }
  void from_lanes(const Floats *in) {
    for (int part = 0; part < K; part += ROWS) {
      Floats rows[ROWS];
      for (int i = 0; i < ROWS; i++) rows[i] = in[part + i];
      butterfly<ROWS>(rows);
      for (int i = 0; i < ROWS; i++) store(at_ + i * STEP + part, rows[i]);
    }
  }

 private:
  static constexpr int ROWS = K < L ? K : L, STEP = K < L ? L : K;
  alignas(64) float at_[L * K];
};

template <int K> struct Texel {
  typedef float Values __attribute__((vector_size(K * 4)));
  static Values load(const float *p) {
    Values values;
    std::memcpy(&values, p, sizeof values);
    return values;
  }
  static void store(float *p, Values values) { std::memcpy(p, &values, sizeof values); }
};

// `channels` planes of `size` texels each as texels of K floats, and back.
template <int K> void to_texels(const float *planes, size_t channels, size_t size, float *texels) {
  for (size_t i = 0; i < size; i++)
    for (size_t k = 0; k < K; k++) texels[K * i + k] = k < channels ? planes[k * size + i] : 0.0f;
}

// The BRDF's table, see shading/environment_brdf.py: rows of roughness, columns of n.v.
class BrdfTable {
 public:
  enum { SCALE, BIAS, SCHLICK, ALONG_NORMAL, ALONG_REFLECTION, WIDTH, CHANNELS };
  static constexpr int PADDED = 8;

  BrdfTable(const float *planes, size_t size) : size_(size), texels_(PADDED * size * size) {
    to_texels<PADDED>(planes, CHANNELS, size * size, texels_.data());
  }

  // Fills value and, unless null, its derivatives, each [PADDED].
  void at(Floats cosine, Floats roughness, Floats *value, Floats *by_cosine, Floats *by_roughness) const {
    const int last = (int)size_ - 1;
    Between x(cut(cosine * (float)last, 0, last), last), y(cut(roughness * (float)last, 0, last), last);
    alignas(64) int32_t first[L];
    Ints texel = PADDED * (y.node * (int32_t)size_ + x.node);
    std::memcpy(first, &texel, sizeof texel);
    alignas(64) float across[L], down[L];
    store(across, x.fraction), store(down, y.fraction);
    Records<PADDED> values, slopes_x, slopes_y;
    typedef Texel<PADDED> T;
    for (int i = 0; i < L; i++) {
      const float *upper = texels_.data() + first[i], *lower = upper + PADDED * size_;
      auto a = T::load(upper), b = T::load(lower);
      auto slope_a = T::load(upper + PADDED) - a, slope_b = T::load(lower + PADDED) - b;
      auto top = a + across[i] * slope_a, step = b + across[i] * slope_b - top;
      T::store(values.of(i), top + down[i] * step);
      if (!by_cosine) continue;
      T::store(slopes_x.of(i), (float)last * (slope_a + down[i] * (slope_b - slope_a)));
      T::store(slopes_y.of(i), (float)last * step);
    }
    values.to_lanes(value);
    if (!by_cosine) return;
    slopes_x.to_lanes(by_cosine), slopes_y.to_lanes(by_roughness);
  }

 private:
  size_t size_;
  Buffer<float> texels_;
};

// Where pixels look into the levels, and what the four texels of either level count there.
struct AtlasPlace {
  alignas(64) int32_t first[L];
  alignas(64) float across[L], down[L], between[L];
};

// The blurred levels of an environment one above the other, see shading/prefilter.py.
class Atlas {
 public:
  static constexpr int CHANNELS = 3, PADDED = 4;
  const size_t levels, height, width;  // rows of one level; columns, two of them wrapped

  Atlas(const float *planes, size_t levels, size_t rows, size_t width)
      : levels(levels), height(rows / levels), width(width), texels_(PADDED * rows * width) {
    to_texels<PADDED>(planes, CHANNELS, rows * width, texels_.data());
  }
  size_t size() const { return levels * height * width; }

  // column in [0, width - 1), row in [0, height - 1], level in [0, levels - 1].
  AtlasPlace place(Floats column, Floats row, Floats level) const {
    Between x(column, (int)width - 1), y(row, (int)height - 1), z(level, (int)levels - 1);
    AtlasPlace place;
    Ints texel = PADDED * ((z.node * (int32_t)height + y.node) * (int32_t)width + x.node);
    std::memcpy(place.first, &texel, sizeof texel);
    store(place.across, x.fraction), store(place.down, y.fraction), store(place.between, z.fraction);
    return place;
  }

  void at(const AtlasPlace &p, Floats *value) const {
    Records<PADDED> values;
    for (int i = 0; i < L; i++) {
      const float *near = texels_.data() + p.first[i], *far = near + PADDED * height * width;
      auto a = bilinear(near, p.across[i], p.down[i]), b = bilinear(far, p.across[i], p.down[i]);
      T::store(values.of(i), a + p.between[i] * (b - a));
    }
    values.to_lanes(value);
  }

  // Radiance and its derivatives by column, row and level, each [PADDED].
  void at(const AtlasPlace &p, Floats *value, Floats *by_column, Floats *by_row, Floats *by_level) const {
    Records<PADDED> values, columns, rows, deeper;
    for (int i = 0; i < L; i++) {
      float x = p.across[i], y = p.down[i], z = p.between[i];
      const float *near = texels_.data() + p.first[i], *far = near + PADDED * height * width;
      T::Values texel[2][2], step[2][2];
      for (int row = 0; row < 2; row++)
        for (int column = 0; column < 2; column++) {
          size_t offset = PADDED * (row * width + column);
          auto first = T::load(near + offset);
          step[row][column] = T::load(far + offset) - first;
          texel[row][column] = first + z * step[row][column];
        }
      auto slope_top = texel[0][1] - texel[0][0], slope_bottom = texel[1][1] - texel[1][0];
      auto top = texel[0][0] + x * slope_top, down = texel[1][0] + x * slope_bottom - top;
      auto step_top = step[0][0] + x * (step[0][1] - step[0][0]);
      auto step_bottom = step[1][0] + x * (step[1][1] - step[1][0]);
      T::store(values.of(i), top + y * down);
      T::store(columns.of(i), slope_top + y * (slope_bottom - slope_top));
      T::store(rows.of(i), down);
      T::store(deeper.of(i), step_top + y * (step_bottom - step_top));
    }
    values.to_lanes(value), columns.to_lanes(by_column);
    rows.to_lanes(by_row), deeper.to_lanes(by_level);
  }

  // Adds what was found at p, as gradients v [PADDED], to texels [size, PADDED].
  void scatter(const AtlasPlace &p, const Floats *v, float *texels) const {
    Records<PADDED> records;
    records.from_lanes(v);
    for (int i = 0; i < L; i++) {
      float x = p.across[i], y = p.down[i];
      auto of_pixel = T::load(records.of(i)), far = p.between[i] * of_pixel, near = of_pixel - far;
      float *at = texels + p.first[i];
      for (auto &level : {near, far}) {
        auto bottom = y * level, top = level - bottom, right = x * top, low_right = x * bottom;
        add(at, top - right), add(at + PADDED, right);
        add(at + PADDED * width, bottom - low_right), add(at + PADDED * (width + 1), low_right);
        at += PADDED * height * width;
      }
    }
  }

 private:
  typedef Texel<PADDED> T;
  T::Values bilinear(const float *texel, float x, float y) const {
    const float *below = texel + PADDED * width;
    auto a = T::load(texel), b = T::load(below);
    auto top = a + x * (T::load(texel + PADDED) - a), bottom = b + x * (T::load(below + PADDED) - b);
    return top + y * (bottom - top);
  }
  static void add(float *p, T::Values values) { T::store(p, T::load(p) + values); }

  Buffer<float> texels_;
};

}  // namespace relight3d
