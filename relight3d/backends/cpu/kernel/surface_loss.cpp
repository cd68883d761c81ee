// How well drawn normals agree with the drawn surface, and with each other, with gradients.
//
// core/agreement.py, on the depth and the depth's normals of core/planes.py. The gradient is gathered,
// never scattered: no result depends on threads.
#include <cmath>

#include "abi.h"
#include "pool.h"

namespace relight3d {
namespace {

constexpr size_t ROWS = 4;  // taken by a thread at a time

struct V3 {
  float x, y, z;
};
inline V3 operator+(V3 a, V3 b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline V3 operator-(V3 a, V3 b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline V3 operator*(float s, V3 a) { return {s * a.x, s * a.y, s * a.z}; }
inline float dot(V3 a, V3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline V3 cross(V3 a, V3 b) { return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x}; }
inline float length(V3 a) { return std::sqrt(dot(a, a)); }

// Vectors of an image's pixels, each coordinate a plane.
template <class T> struct Vectors {
  T *data;
  size_t plane;
  V3 operator[](size_t i) const { return {data[i], data[plane + i], data[2 * plane + i]}; }
  void set(size_t i, V3 v) const { data[i] = v.x, data[plane + i] = v.y, data[2 * plane + i] = v.z; }
};

// What a step along the surface is made of: factors of the point before, here and after.
enum Step : uint8_t { CENTRAL, BACK, AHEAD };
constexpr float FACTOR[3][3] = {{-1, 0, 1}, {-2, 2, 0}, {0, -2, 2}};

struct Constants {
  float grazing, jump_ratio, jump_share, bend;
};

struct Pixel {  // of the inner ones: gradients by the two steps
  V3 v_down, v_across;
  Step down, across;
};

struct SurfaceLoss {
  Vectors<const float> normal;  // [H, W], premultiplied by alpha
  const float *distance;        // [H, W], premultiplied by alpha
  const float *alpha;           // [H, W]
  Vectors<const float> rays;    // [H, W], camera z = 1
  size_t height, width;
  Constants k;
  Buffer<float> depth;

  // The divisor of depth, and the part of it that holds: cosine, its bound, or a mere floor.
  enum Bound { FREE, BOUNDED, FLOORED };
  Bound divisor(size_t i, float &m) const {
    float cosine = dot(normal[i], rays[i]), limit = -k.grazing * length(normal[i]);
    m = std::min(cosine, limit);
    if (m > -1e-8f) return m = -1e-8f, FLOORED;
    return cosine < limit ? FREE : BOUNDED;
  }
  float bending(float x) const { return std::sqrt(std::max(x, 0.0f) + k.bend * k.bend) - k.bend; }
  float bending_slope(float x) const { return x < 0 ? 0.0f : 0.5f / std::sqrt(x + k.bend * k.bend); }

  template <class F> void over_rows(int threads, F f) const {
    parallel_pieces(threads, height, ROWS, [&](size_t begin, size_t end) {
      for (size_t y = begin; y < end; y++) f(y);
    });
  }
  void compute_depth(int threads) {
    depth.reset(height * width);
    over_rows(threads, [&](size_t y) {
      for (size_t i = y * width; i < (y + 1) * width; i++) {
        float m;
        divisor(i, m);
        depth[i] = distance[i] / m;
      }
    });
  }
  bool solid(size_t i) const {
    for (size_t row : {i - width, i, i + width})
      if (!(alpha[row - 1] > 0.5f && alpha[row] > 0.5f && alpha[row + 1] > 0.5f)) return false;
    return true;
  }
  V3 point(size_t i) const { return depth[i] * rays[i]; }
  // The step of two pixels along the surface through pixel i; where depth jumps, to the other side.
  V3 step(size_t i, size_t stride, Step &kind) const {
    float z = depth[i], back = std::fabs(z - depth[i - stride]), ahead = std::fabs(depth[i + stride] - z);
    bool jumps = std::max(back, ahead) > k.jump_ratio * std::min(back, ahead) + k.jump_share * z;
    kind = !jumps ? CENTRAL : back < ahead ? BACK : AHEAD;
    if (kind == CENTRAL) return point(i + stride) - point(i - stride);
    return 2.0f * (kind == BACK ? point(i) - point(i - stride) : point(i + stride) - point(i));
  }
  struct Facet {
    V3 down, across, unit;
    float inverse;  // of the length of down x across
    Step down_kind, across_kind;
  };
  Facet facet(size_t i) const {
    Facet f;
    f.down = step(i, width, f.down_kind), f.across = step(i, 1, f.across_kind);
    V3 c = cross(f.down, f.across);
    f.inverse = 1.0f / std::max(length(c), 1e-12f);
    f.unit = f.inverse * c;
    return f;
  }
  float inner_count() const { return (float)((height - 2) * (width - 2)); }
  bool inner(size_t y, size_t x) const { return y > 0 && y + 1 < height && x > 0 && x + 1 < width; }

  void values(int threads, float *out) {
    compute_depth(threads);
    std::vector<double> consistency(height), spread(height);
    over_rows(threads, [&](size_t y) {
      double agree = 0, together = 0;
      for (size_t x = 0, i = y * width; x < width; x++, i++) {
        V3 n = normal[i];
        together += bending(alpha[i] * alpha[i] - dot(n, n));
        if (inner(y, x) && solid(i)) agree += bending(length(n) - dot(n, facet(i).unit));
      }
      consistency[y] = agree, spread[y] = together;
    });
    double agree = 0, together = 0;
    for (size_t y = 0; y < height; y++) agree += consistency[y], together += spread[y];
    out[0] = (float)(agree / inner_count()), out[1] = (float)(together / (double)(height * width));
  }

  void gradients(int threads, float v_consistency, float v_spread, float *v_normal, float *v_distance, float *v_alpha) {
    const Vectors<float> v_normals{v_normal, height * width};
    compute_depth(threads);
    Buffer<Pixel> steps(height * width);
    float each = v_consistency / inner_count(), each_spread = v_spread / (float)(height * width);
    over_rows(threads, [&](size_t y) {
      for (size_t x = 0, i = y * width; x < width; x++, i++) {
        V3 n = normal[i];
        float slope = each_spread * bending_slope(alpha[i] * alpha[i] - dot(n, n));
        v_alpha[i] = 2 * slope * alpha[i];
        V3 v = -2 * slope * n;
        steps[i] = {{0, 0, 0}, {0, 0, 0}, CENTRAL, CENTRAL};
        if (inner(y, x) && solid(i)) disagreement(i, each, v, steps[i]);
        v_normals.set(i, v);
      }
    });
    over_rows(threads, [&](size_t y) {
      for (size_t x = 0, i = y * width; x < width; x++, i++) {
        V3 v = v_normals[i];
        through_depth(y, x, i, steps, v, v_distance[i]);
        v_normals.set(i, v);
      }
    });
  }

  void disagreement(size_t i, float each, V3 &v_normal, Pixel &to) const {
    V3 n = normal[i];
    Facet f = facet(i);
    float size = length(n), v = each * bending_slope(size - dot(n, f.unit));
    v_normal = v_normal + (v / std::max(size, 1e-12f)) * n - v * f.unit;
    V3 v_unit = -v * n, v_c = f.inverse * (v_unit - dot(f.unit, v_unit) * f.unit);
    to = {cross(f.across, v_c), cross(v_c, f.down), f.down_kind, f.across_kind};
  }

  void through_depth(size_t y, size_t x, size_t i, const Buffer<Pixel> &steps, V3 &v_normal, float &v_distance) const {
    const Pixel &here = steps[i];
    V3 v = FACTOR[here.down][1] * here.v_down + FACTOR[here.across][1] * here.v_across;
    auto add = [&](size_t j, bool vertical, int place) {
      const Pixel &p = steps[j];
      v = v + (vertical ? FACTOR[p.down][place] * p.v_down : FACTOR[p.across][place] * p.v_across);
    };
    if (y + 1 < height) add(i + width, true, 0);
    if (y > 0) add(i - width, true, 2);
    if (x + 1 < width) add(i + 1, false, 0);
    if (x > 0) add(i - 1, false, 2);
    float m, v_z = dot(v, rays[i]);
    Bound bound = divisor(i, m);
    v_distance = v_z / m;
    float v_m = -v_z * depth[i] / m;
    if (bound == FREE) v_normal = v_normal + v_m * rays[i];
    if (bound == BOUNDED) v_normal = v_normal - (v_m * k.grazing / std::max(length(normal[i]), 1e-12f)) * normal[i];
  }
};

SurfaceLoss surface(const float *normal, const float *distance, const float *alpha, const float *rays, int64_t height,
                    int64_t width, const float *constants) {
  Constants k{constants[0], constants[1], constants[2], constants[3]};
  size_t plane = (size_t)(height * width);
  return {{normal, plane}, distance, alpha, {rays, plane}, (size_t)height, (size_t)width, k, {}};
}

}  // namespace
}  // namespace relight3d

using namespace relight3d;

// normal and rays [3, H, W], distance and alpha [H, W]; terms [2]: consistency and spread. constants [4]: grazing, jump ratio, jump share, bend. At least 3 x 3 pixels.
extern "C" R3D_EXPORT int r3d_surface_loss(const float *normal, const float *distance, const float *alpha,
                                           const float *rays, const float *constants, int64_t height, int64_t width,
                                           int64_t threads, float *terms) {
  return guarded([&] { surface(normal, distance, alpha, rays, height, width, constants).values((int)threads, terms); });
}

// v_terms [2]. Gradients are written, not added to.
extern "C" R3D_EXPORT int r3d_surface_loss_backward(const float *normal, const float *distance, const float *alpha,
                                                    const float *rays, const float *constants, int64_t height,
                                                    int64_t width, int64_t threads, const float *v_terms,
                                                    float *v_normal, float *v_distance, float *v_alpha) {
  return guarded([&] {
    surface(normal, distance, alpha, rays, height, width, constants)
        .gradients((int)threads, v_terms[0], v_terms[1], v_normal, v_distance, v_alpha);
  });
}
