// Split-sum shading of many pixels under a blurred environment, and its gradient.
//
// shading/deferred.py without multiple scattering, irradiance given. Lanes run over pixels, whose
// channels are planes. The backward pass computes anew what it needs: that costs less than to keep
// it. Where a value is cut to a range, no gradient flows, as in torch.
#include "abi.h"
#include "lookup.h"
#include "pool.h"
#include "simd.h"

namespace relight3d {
namespace {

constexpr size_t PIECE = 2048;  // pixels that a thread takes at a time in the forward pass
constexpr size_t MOST_SHARES = 8, SMALLEST_SHARE = 4096;  // pixels: in the backward pass
constexpr float INV_PI = 0.318309886f, TINY = 1e-12f;  // TINY: see shading/latlong.py

inline Floats dot(const Floats *a, const Floats *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// Channels of pixels as planes [channels, count].
struct Surface {
  const float *albedo, *roughness, *metallic, *normal, *view, *irradiance;
  const float *visibility;  // null: all is seen
  size_t count;
};

struct SurfaceGradient {  // null: not wanted
  float *albedo, *roughness, *metallic, *normal, *irradiance, *visibility;
};

struct Constants {
  float cosine, sine;    // of the turn from the world to the map
  float dielectric_f0, min_cosine;
};

// L pixels of a surface. WHOLE: none lies beyond the last; otherwise those that do are zero.
template <bool WHOLE> struct Pixels {
  size_t first, stride;
  Floats read(const float *planes, int channel = 0) const {
    const float *p = planes + channel * stride + first;
    if constexpr (WHOLE) return load(p);
    Floats values{};
    std::memcpy(&values, p, (stride - first) * sizeof(float));
    return values;
  }
  void write(float *planes, int channel, Floats values) const {
    if (!planes) return;
    float *p = planes + channel * stride + first;
    std::memcpy(p, &values, (WHOLE ? L : stride - first) * sizeof(float));
  }
};

// f(pixels) for all of [begin, end), which is a whole number of blocks or ends with the last pixel.
template <class F> void in_blocks(size_t begin, size_t end, size_t count, F f) {
  size_t i = begin;
  for (; i + L <= end; i += L) f(Pixels<true>{i, count});
  if (i < end) f(Pixels<false>{i, count});
}

struct Material {
  Floats albedo[3], roughness, metallic, normal[3], view[3], irradiance[3], visibility;
  template <class P> Material(const Surface &of, const P &at)
      : roughness(at.read(of.roughness)), metallic(at.read(of.metallic)),
        visibility(of.visibility ? at.read(of.visibility) : splat(1)) {
    for (int k = 0; k < 3; k++) {
      albedo[k] = at.read(of.albedo, k), normal[k] = at.read(of.normal, k);
      view[k] = at.read(of.view, k), irradiance[k] = at.read(of.irradiance, k);
    }
  }
};

// A direction in the environment's own frame, and where its map is looked up.
struct Direction {
  Floats x, y, z, azimuth_x, horizontal, column, row;
  Mask at_pole;

  Direction(const Floats *world, const Constants &k, const Atlas &atlas)
      : x(k.cosine * world[0] - k.sine * world[1]), y(k.sine * world[0] + k.cosine * world[1]), z(world[2]) {
    Floats squared = x * x + y * y;
    at_pole = gt(splat(TINY), squared);
    azimuth_x = select(at_pole, splat(1), x);
    horizontal = vsqrt(squared + TINY);
    Floats u = atan2v(y, azimuth_x) * (-0.5f * INV_PI);
    u += keep(gt(Floats{}, u), splat(1));
    column = u * (float)(atlas.width - 2) + 0.5f;
    row = atan2v(horizontal, z) * ((float)atlas.height * INV_PI) - 0.5f;
  }
  // v_world from the gradients by column and row.
  void differentiate(Floats v_column, Floats v_row, const Constants &k, const Atlas &atlas, Floats *v_world) const {
    Mask inside = ge(row, Floats{}) & ge(splat(atlas.height - 1.0f), row);
    Floats v_azimuth = v_column * ((float)(atlas.width - 2) * -0.5f * INV_PI) / (azimuth_x * azimuth_x + y * y);
    Floats v_polar = keep(inside, v_row) * ((float)atlas.height * INV_PI) / (horizontal * horizontal + z * z);
    Floats outward = v_polar * z / horizontal;
    Floats v_x = outward * x - select(at_pole, Floats{}, v_azimuth * y), v_y = outward * y + v_azimuth * azimuth_x;
    v_world[0] = k.cosine * v_x + k.sine * v_y;
    v_world[1] = k.cosine * v_y - k.sine * v_x;
    v_world[2] = -v_polar * horizontal;
  }
};

class Shading {
 public:
  Shading(const Surface &surface, const float *surroundings, Atlas &&atlas, BrdfTable &&table, const float *constants)
      : surface_(surface), atlas_(std::move(atlas)), table_(std::move(table)),
        k_{constants[0], constants[1], constants[2], constants[3]} {
    for (int k = 0; k < 3; k++) occluder_[k] = surroundings ? surroundings[k] : 0.0f;
  }

  void forward(float *diffuse, float *specular, int threads) const {
    parallel_pieces(threads, surface_.count, PIECE, [&](size_t begin, size_t end) {
      in_blocks(begin, end, surface_.count, [&](auto pixels) { shade(pixels, diffuse, specular); });
    });
  }

  // v_surroundings [3] and v_atlas as the atlas, or null.
  void backward(const float *v_diffuse, const float *v_specular, const SurfaceGradient &out, float *v_surroundings,
                float *v_atlas, int threads) const {
    // Shares of the pixels do not depend on threads, so that sums keep their order. Each has an atlas of
    // its own to clear and to add, hence pixels that are worth it.
    size_t share = std::max({SMALLEST_SHARE, (surface_.count + MOST_SHARES - 1) / MOST_SHARES, atlas_.size() / 4});
    share = (share + 15) / 16 * 16;
    size_t shares = (surface_.count + share - 1) / share, texels = Atlas::PADDED * atlas_.size();
    Buffer<float> of_atlas(v_atlas ? shares * texels : 0);
    std::vector<float> of_occluder(3 * shares);
    parallel_pieces(threads, surface_.count, share, [&](size_t begin, size_t end) {
      float *scattered = v_atlas ? of_atlas.data() + begin / share * texels : nullptr;
      if (scattered) std::memset(scattered, 0, texels * sizeof(float));
      Floats v_occluder[3] = {};
      in_blocks(begin, end, surface_.count, [&](auto pixels) {
        differentiate(pixels, v_diffuse, v_specular, out, v_occluder, scattered);
      });
      for (int k = 0; k < 3; k++) of_occluder[begin / share * 3 + k] = total(v_occluder[k]);
    });
    if (v_surroundings)
      for (int k = 0; k < 3; k++) {
        v_surroundings[k] = 0;
        for (size_t s = 0; s < shares; s++) v_surroundings[k] += of_occluder[3 * s + k];
      }
    if (v_atlas) add_up(of_atlas.data(), shares, v_atlas, threads);
  }

 private:
  typedef BrdfTable B;
  // What of a surface does not depend on the light.
  struct Lobe {
    Floats n_dot_v, cosine, reflection[3], center[3], f0[3], reflectance[3], table[B::PADDED];
    Floats base;  // what the diffuse part is over albedo, 1 - f0 and irradiance
  };
  Lobe lobe(const Material &m, Floats *by_cosine, Floats *by_roughness) const {
    Lobe l;
    l.n_dot_v = dot(m.normal, m.view);
    l.cosine = cut(l.n_dot_v, k_.min_cosine, 1);
    table_.at(l.cosine, m.roughness, l.table, by_cosine, by_roughness);
    l.base = (1 - m.metallic) * (1 - l.table[B::SCHLICK]) * INV_PI;
    for (int k = 0; k < 3; k++) {
      l.reflection[k] = 2 * l.n_dot_v * m.normal[k] - m.view[k];
      l.center[k] = l.table[B::ALONG_NORMAL] * m.normal[k] + l.table[B::ALONG_REFLECTION] * l.reflection[k];
      l.f0[k] = k_.dielectric_f0 + m.metallic * (m.albedo[k] - k_.dielectric_f0);
      l.reflectance[k] = l.f0[k] * l.table[B::SCALE] + l.table[B::BIAS];
    }
    return l;
  }
  AtlasPlace place(const Direction &toward, Floats width) const {
    Floats column = cut(toward.column, 0, atlas_.width - 1.0f), row = cut(toward.row, 0, atlas_.height - 1.0f);
    return atlas_.place(column, row, cut(width, 0, 1) * (atlas_.levels - 1.0f));
  }

  template <class P> void shade(const P &at, float *diffuse, float *specular) const {
    Material m(surface_, at);
    Lobe l = lobe(m, nullptr, nullptr);
    Floats reflected[Atlas::PADDED];
    Direction toward(l.center, k_, atlas_);
    atlas_.at(place(toward, m.roughness * l.table[B::WIDTH]), reflected);
    for (int k = 0; k < 3; k++) {
      Floats arriving = occluder_[k] + m.visibility * (reflected[k] - occluder_[k]);
      at.write(specular, k, l.reflectance[k] * arriving);
      at.write(diffuse, k, m.albedo[k] * l.base * (1 - l.f0[k]) * m.irradiance[k]);
    }
  }

  template <class P>
  void differentiate(const P &at, const float *v_diffuse, const float *v_specular, const SurfaceGradient &out,
                     Floats *v_occluder, float *scattered) const {
    Floats by_cosine[B::PADDED], by_roughness[B::PADDED], v_table[B::PADDED] = {};
    Material m(surface_, at);
    Lobe l = lobe(m, by_cosine, by_roughness);
    Floats width = m.roughness * l.table[B::WIDTH];
    Direction toward(l.center, k_, atlas_);
    AtlasPlace looked = place(toward, width);
    Floats reflected[Atlas::PADDED], by_column[Atlas::PADDED], by_row[Atlas::PADDED], by_level[Atlas::PADDED];
    atlas_.at(looked, reflected, by_column, by_row, by_level);

    Floats v_reflected[Atlas::PADDED] = {}, v_visibility{}, v_base{}, v_metallic{};
    for (int k = 0; k < 3; k++) {
      Floats v = v_specular ? at.read(v_specular, k) : Floats{}, w = v_diffuse ? at.read(v_diffuse, k) : Floats{};
      Floats unoccluded = reflected[k] - occluder_[k];
      Floats v_reflectance = v * (occluder_[k] + m.visibility * unoccluded), v_arriving = v * l.reflectance[k];
      v_visibility += v_arriving * unoccluded;
      v_reflected[k] = v_arriving * m.visibility;
      v_occluder[k] += v_arriving - v_reflected[k];
      v_table[B::SCALE] += v_reflectance * l.f0[k];
      v_table[B::BIAS] += v_reflectance;
      Floats dielectric = 1 - l.f0[k], lit = w * m.irradiance[k];
      Floats v_f0 = v_reflectance * l.table[B::SCALE] - lit * m.albedo[k] * l.base;
      v_base += lit * m.albedo[k] * dielectric;
      v_metallic += v_f0 * (m.albedo[k] - k_.dielectric_f0);
      at.write(out.albedo, k, lit * l.base * dielectric + v_f0 * m.metallic);
      at.write(out.irradiance, k, w * m.albedo[k] * l.base * dielectric);
    }
    at.write(out.visibility, 0, v_visibility);
    at.write(out.metallic, 0, v_metallic - v_base * INV_PI * (1 - l.table[B::SCHLICK]));
    if (scattered) atlas_.scatter(looked, v_reflected, scattered);
    if (!out.roughness && !out.normal) return;

    Floats v_center[3], v_level = dot(v_reflected, by_level) * (atlas_.levels - 1.0f);
    v_level = keep(ge(width, Floats{}) & ge(splat(1), width), v_level);
    toward.differentiate(dot(v_reflected, by_column), dot(v_reflected, by_row), k_, atlas_, v_center);
    v_table[B::SCHLICK] = -v_base * INV_PI * (1 - m.metallic);
    v_table[B::ALONG_NORMAL] = dot(v_center, m.normal);
    v_table[B::ALONG_REFLECTION] = dot(v_center, l.reflection);
    v_table[B::WIDTH] = v_level * m.roughness;
    Floats v_cosine{}, v_roughness{};
    for (int c = 0; c < B::CHANNELS; c++) {
      v_cosine += v_table[c] * by_cosine[c];
      v_roughness += v_table[c] * by_roughness[c];
    }
    v_roughness = keep(gt(m.roughness, Floats{}) & gt(splat(1), m.roughness), v_roughness);
    at.write(out.roughness, 0, v_roughness + v_level * l.table[B::WIDTH]);
    if (!out.normal) return;

    Floats v_n_dot_v = keep(ge(l.n_dot_v, splat(k_.min_cosine)) & gt(splat(1), l.n_dot_v), v_cosine);
    v_n_dot_v += 2 * l.table[B::ALONG_REFLECTION] * dot(v_center, m.normal);
    Floats along = l.table[B::ALONG_NORMAL] + 2 * l.n_dot_v * l.table[B::ALONG_REFLECTION];
    for (int k = 0; k < 3; k++) at.write(out.normal, k, along * v_center[k] + v_n_dot_v * m.view[k]);
  }

  void add_up(const float *shares, size_t count, float *v_atlas, int threads) const {
    size_t size = atlas_.size();
    parallel_pieces(threads, size, PIECE, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) {
        Texel<Atlas::PADDED>::Values sum{};
        for (size_t s = 0; s < count; s++) sum += Texel<Atlas::PADDED>::load(shares + (s * size + i) * Atlas::PADDED);
        for (int k = 0; k < Atlas::CHANNELS; k++) v_atlas[k * size + i] = sum[k];
      }
    });
  }

  Surface surface_;
  Atlas atlas_;
  BrdfTable table_;
  Constants k_;
  float occluder_[3];
};

}  // namespace
}  // namespace relight3d

using namespace relight3d;

// Planes over `pixels`: albedo [3], roughness, metallic, normal [3], view [3], irradiance [3],
// visibility or null; diffuse [3] and specular [3] are written. surroundings [3] or null for black,
// atlas [3, rows, columns], table [6, size, size], constants [4]: cosine and sine of the turn from
// world to map, reflectance of dielectrics, least n.v.
extern "C" R3D_EXPORT int r3d_shade(const float *albedo, const float *roughness, const float *metallic,
                                    const float *normal, const float *view, const float *irradiance,
                                    const float *visibility, const float *surroundings, const float *atlas,
                                    const float *table, const float *constants, int64_t pixels, int64_t levels,
                                    int64_t rows, int64_t columns, int64_t size, int64_t threads, float *diffuse,
                                    float *specular) {
  return guarded([&] {
    Surface surface{albedo, roughness, metallic, normal, view, irradiance, visibility, (size_t)pixels};
    Shading(surface, surroundings, Atlas(atlas, levels, rows, columns), BrdfTable(table, size), constants)
        .forward(diffuse, specular, (int)threads);
  });
}

// The same inputs, v_diffuse and v_specular as their values, either may be null. Gradients are
// written, not added to, as planes like what they belong to; null where not wanted.
extern "C" R3D_EXPORT int r3d_shade_backward(const float *albedo, const float *roughness, const float *metallic,
                                             const float *normal, const float *view, const float *irradiance,
                                             const float *visibility, const float *surroundings, const float *atlas,
                                             const float *table, const float *constants, int64_t pixels,
                                             int64_t levels, int64_t rows, int64_t columns, int64_t size,
                                             int64_t threads, const float *v_diffuse, const float *v_specular,
                                             float *v_albedo, float *v_roughness, float *v_metallic, float *v_normal,
                                             float *v_irradiance, float *v_visibility, float *v_surroundings,
                                             float *v_atlas) {
  return guarded([&] {
    Surface surface{albedo, roughness, metallic, normal, view, irradiance, visibility, (size_t)pixels};
    SurfaceGradient out{v_albedo, v_roughness, v_metallic, v_normal, v_irradiance, v_visibility};
    Shading(surface, surroundings, Atlas(atlas, levels, rows, columns), BrdfTable(table, size), constants)
        .backward(v_diffuse, v_specular, out, v_surroundings, v_atlas, (int)threads);
  });
}
