// How much light reaches points past what shadow maps saw: percentage-closer lookups.
//
// shading/shadow_map.py, whose constants these are, is the specification. Lanes run over points; the
// four texels around each are gathered one by one.
#include "abi.h"
#include "planes.h"

namespace relight3d {
namespace {

constexpr float MIN_PLANE_COSINE = 0.15f, EMPTY = 1e-4f;  // of what was drawn
constexpr float MIN_COSINE = 1e-3f, MAX_SLOPE = 6.0f;     // of the receiver's plane
constexpr float NEAREST = 1e-9f;                          // camera z, and length, divided by
constexpr int CHANNELS = 5;   // drawn: plane normal, plane offset, the centre's camera z
constexpr size_t ROWS = 16;   // of texels, taken by a thread at a time
constexpr size_t PIECE = 64;  // blocks of L points, likewise

struct Camera {  // one focal length and one principal point serve both axes
  Camera(const float *pose, const float *intrinsics)
      : pose(pose), focal(intrinsics[0]), center(intrinsics[2]) {}
  const float *pose;  // [4, 4]
  float focal, center;
};

struct Texel {  // together, for both are looked up at once
  float depth, alpha;
};

// The depth of the blended plane along the texel's ray; of the centres where it is seen edge-on.
// `drawn` is the row's start in the first channel.
void fill(const Camera &camera, const float *drawn, const float *alpha, size_t size, size_t row,
          Texel *out) {
  float y = ((float)row + 0.5f - camera.center) / camera.focal, step = 1.0f / camera.focal;
  size_t plane = size * size;
  for (size_t i = 0; i < size; i++) {
    float x = ((float)i + 0.5f - camera.center) * step;
    float nx = drawn[i], ny = drawn[plane + i], nz = drawn[2 * plane + i];
    float facing = nx * x + ny * y + nz, length2 = nx * nx + ny * ny + nz * nz;
    float limit2 = MIN_PLANE_COSINE * MIN_PLANE_COSINE * std::max(length2, EMPTY * EMPTY);
    bool steep = facing < 0.0f && facing * facing > limit2;
    float over = drawn[(steep ? 3 : 4) * plane + i], under = steep ? facing : std::max(alpha[i], EMPTY);
    out[i] = {over / under, alpha[i]};
  }
}

// Points and their normals, if any.
struct Receivers : Planes {
  Receivers(const float *points, const float *normals, size_t count)
      : Planes(6, count), oriented(normals) {
    fill(0, points, 3);
    if (normals) fill(3, normals, 3);
  }
  bool oriented;
};

inline Floats absolute(Floats x) { return vmax(x, -x); }
inline Floats clamped(Floats x, float low, float high) {
  return vmin(vmax(x, splat(low)), splat(high));
}
inline Floats floored(Floats x) {  // of numbers that 32 bits hold
  Floats whole = __builtin_convertvector(__builtin_convertvector(x, Ints), Floats);
  return whole - keep(gt(whole, x), splat(1.0f));
}

struct Lookup {
  Camera camera;
  const Texel *map;  // [size, size]
  size_t size;
  float bias;

  Floats turned(int row, const Floats *v) const {
    const float *r = camera.pose + 4 * row;
    return v[0] * r[0] + v[1] * r[1] + v[2] * r[2];
  }
  // Texels at whole, clamped columns and rows.
  void gather(Floats column, Floats row, Floats &depth, Floats &alpha) const {
    Floats last = splat((float)size - 1.0f);
    Ints at = __builtin_convertvector(vmin(vmax(row, Floats{}), last), Ints) * (int32_t)size +
              __builtin_convertvector(vmin(vmax(column, Floats{}), last), Ints);
    int32_t texel[L];
    float found[2][L];
    std::memcpy(texel, &at, sizeof at);
    for (int i = 0; i < L; i++) {
      found[0][i] = map[texel[i]].depth;
      found[1][i] = map[texel[i]].alpha;
    }
    std::memcpy(&depth, found[0], sizeof depth);
    std::memcpy(&alpha, found[1], sizeof alpha);
  }
  // The light share of a block of points; `inside` says which of them the map covers.
  Floats share(const Receivers &receivers, size_t block, Mask &inside) const {
    Floats point[3], at[3], slope_x{}, slope_y{};
    for (int k = 0; k < 3; k++) point[k] = receivers.load(k, block);
    for (int k = 0; k < 3; k++) at[k] = turned(k, point) + camera.pose[4 * k + 3];
    if (receivers.oriented) {
      Floats normal[3], plane[3];
      for (int k = 0; k < 3; k++) normal[k] = receivers.load(3 + k, block);
      for (int k = 0; k < 3; k++) plane[k] = turned(k, normal);
      Floats along = plane[0] * at[0] + plane[1] * at[1] + plane[2] * at[2];
      Floats move = select(gt(along, Floats{}), splat(-bias), splat(bias));
      for (int k = 0; k < 3; k++) at[k] += move * plane[k];  // to the lit side
      slopes(plane, at, slope_x, slope_y);
    }
    Floats z = vmax(at[2], splat(NEAREST)), scale = camera.focal / z;
    Floats x = at[0] * scale + camera.center, y = at[1] * scale + camera.center;
    Floats zero{}, side = splat((float)size);
    inside = gt(at[2], zero) & gt(x, zero) & gt(side, x) & gt(y, zero) & gt(side, y);
    // Far outside, where nothing is looked up, whole numbers would not fit.
    x = clamped(x, -1.0f, (float)size + 1.0f), y = clamped(y, -1.0f, (float)size + 1.0f);
    Floats left = floored(x - 0.5f), top = floored(y - 0.5f), shadow{};
    Floats pixel = z / camera.focal, strict = splat(1.0f / bias);
    for (int corner = 0; corner < 4; corner++) {
      Floats column = left + (float)(corner & 1), row = top + (float)(corner >> 1);
      Floats off_x = column + 0.5f - x, off_y = row + 0.5f - y;  // from the point to the texel
      Floats weight = (1.0f - absolute(off_x)) * (1.0f - absolute(off_y)), depth, alpha;
      gather(column, row, depth, alpha);
      Floats receiver = z + (slope_x * off_x + slope_y * off_y) * pixel;
      shadow += weight * clamped((receiver - depth - bias) * strict, 0.0f, 1.0f) * alpha;
    }
    return select(inside, clamped(1.0f - shadow, 0.0f, 1.0f), splat(1.0f));
  }
  // Change of depth per unit of sideways motion along the receivers' planes.
  static void slopes(const Floats *plane, const Floats *at, Floats &slope_x, Floats &slope_y) {
    Floats along = plane[0] * at[0] + plane[1] * at[1] + plane[2] * at[2];
    Floats cosine = along / vmax(at[2], splat(NEAREST)), least = splat(MIN_COSINE);
    Floats inverse = -1.0f / select(gt(least, absolute(cosine)), least, cosine);
    slope_x = plane[0] * inverse, slope_y = plane[1] * inverse;
    Floats length = vmax(vsqrt(slope_x * slope_x + slope_y * slope_y), splat(NEAREST));
    Floats limit = vmin(MAX_SLOPE / length, splat(1.0f));
    slope_x *= limit, slope_y *= limit;
  }
};

}  // namespace
}  // namespace relight3d

// lit [C, N], inside [C, N]: drawn [C, 5, S, S], alpha [C, S, S], poses [C, 4, 4] world to camera,
// intrinsics [C, 3, 3], points [N, 3], normals [N, 3] or null.
extern "C" R3D_EXPORT int r3d_lit_fraction(const float *drawn, const float *alpha,
                                           const float *poses, const float *intrinsics,
                                           const float *points, const float *normals, double bias,
                                           int64_t cameras, int64_t side, int64_t count,
                                           int64_t threads, float *lit, bool *inside) {
  using namespace relight3d;
  return guarded([&] {
    size_t size = (size_t)side;
    auto camera = [&](size_t c) { return Camera(poses + 16 * c, intrinsics + 9 * c); };
    Buffer<Texel> maps(cameras * size * size);
    parallel_pieces((int)threads, cameras * size, ROWS, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++)
        fill(camera(row / size), drawn + (row / size * CHANNELS * size + row % size) * size,
             alpha + row * size, size, row % size, maps.data() + row * size);
    });
    Receivers receivers(points, normals, count);
    size_t blocks = receivers.blocks;
    parallel_pieces((int)threads, cameras * blocks, PIECE, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) {
        size_t c = i / blocks, block = i % blocks, first = block * L;
        Lookup lookup{camera(c), maps.data() + c * size * size, size, (float)bias};
        Mask covered;
        Floats share = lookup.share(receivers, block, covered);
        size_t here = std::min<size_t>(L, receivers.count - first), at = c * receivers.count + first;
        std::memcpy(lit + at, &share, here * sizeof(float));
        for (size_t k = 0; k < here; k++) inside[at + k] = bits(covered) >> k & 1;
      }
    });
  });
}
