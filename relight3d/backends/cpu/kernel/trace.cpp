// Rays against an Embree scene: packets of eight, scattered rays sorted, on every thread.
//
// Embree comes with a Python wheel and is not linked: Python hands over the addresses of the scene
// and of rtcOccluded8 or rtcIntersect8. The structs mirror RTCRay8, RTCHit8 and RTCOccludedArguments
// (or RTCIntersectArguments) of embree4/rtcore_ray.h and rtcore_common.h.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "abi.h"
#include "pool.h"

namespace relight3d {
namespace {

constexpr int W = 8;
constexpr size_t PIECE = 1 << 12;  // rays of a thread's job; fixed, so that packets are, too
constexpr uint32_t CELLS = 32;     // along each axis; finer ones make nothing faster
constexpr size_t STEP = 17;        // from ray to ray of a survey; prime, as samples of a pixel are not
constexpr size_t AHEAD = 4 * W;    // rays between the one traced and the one fetched
constexpr uint32_t COHERENT = 1u << 16;  // RTC_RAY_QUERY_FLAG_COHERENT
constexpr int32_t INVALID = -1;          // RTC_INVALID_GEOMETRY_ID
constexpr float SAME_DIRECTION = 0.98f;  // mean cosine between neighbours

typedef float Floats8 __attribute__((vector_size(4 * W)));
typedef int32_t Ints8 __attribute__((vector_size(4 * W)));

constexpr Ints8 LANES = {0, 1, 2, 3, 4, 5, 6, 7};

struct Packet {
  Floats8 origin[3], near, direction[3], time, far;
  Ints8 mask, id, flags;
  Floats8 normal[3], u, v;  // of hits, which rtcOccluded8 does not touch
  Ints8 triangle, geometry, instance[4];  // more than any Embree 4 writes
};

struct Arguments {
  uint32_t flags, features;
  void *context, *filter, *function;
  uint64_t spare[2];
};

using Query = void (*)(const Ints8 *valid, void *scene, Packet *packet, Arguments *arguments);

struct Rays {
  const float *origins, *directions, *far;  // [R, 3], [R, 3], [R] or null
};

// Where answers go: `occluded` alone, or the other three.
struct Answers {
  uint8_t *occluded;
  float *distance;
  int64_t *triangle;
  float *barycentrics;
};

// What a few of the rays tell about all of them: their place, and how much neighbours have in common.
struct Survey {
  float low[3], scale[3];  // to cells of a grid over all origins
  bool scattered;          // too few start in the cell of the ray before, as a camera's do
  bool parallel;           // directions hardly change from ray to ray

  Survey(const Rays &rays, size_t count) {
    for (int k = 0; k < 3; k++) {
      float least = INFINITY, most = -INFINITY;
      for (size_t i = 0; i < count; i += STEP) {
        least = std::min(least, rays.origins[3 * i + k]);  // passes over NaN
        most = std::max(most, rays.origins[3 * i + k]);
      }
      low[k] = least;
      scale[k] = most > least ? (float)CELLS / (most - least) : 0.0f;
    }
    size_t pairs = 0, stays = 0;
    float cosines = 0;
    for (size_t i = 1; i < count; i += STEP, pairs++) {
      stays += code(rays.origins + 3 * i) == code(rays.origins + 3 * (i - 1));
      for (int k = 0; k < 3; k++) cosines += rays.directions[3 * i + k] * rays.directions[3 * i + k - 3];
    }
    scattered = 4 * stays < 3 * pairs;
    parallel = cosines > SAME_DIRECTION * (float)pairs;  // false for NaN
  }
  // Morton code of the cell that a ray starts in.
  uint16_t code(const float *origin) const {
    uint32_t sum = 0;
    for (int k = 0; k < 3; k++) sum |= spread(cell((origin[k] - low[k]) * scale[k])) << k;
    return (uint16_t)sum;
  }

 private:
  static uint32_t cell(float x) {  // 0 for NaN
    return x > 0.0f ? (uint32_t)std::min(x, (float)(CELLS - 1)) : 0;
  }
  static uint32_t spread(uint32_t x) {  // abcde to a00b00c00d00e
    x = (x | x << 8) & 0x100f;
    x = (x | x << 4) & 0x10c3;
    return (x | x << 2) & 0x1249;
  }
};

// The rays along a Morton curve of the cells they start in.
Buffer<uint32_t> along_curve(const Survey &survey, const float *origins, size_t count, int threads) {
  Buffer<uint16_t> codes(count);
  parallel_pieces(threads, count, PIECE, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) codes[i] = survey.code(origins + 3 * i);
  });
  std::vector<uint32_t> starts(CELLS * CELLS * CELLS + 1, 0);
  for (size_t i = 0; i < count; i++) starts[codes[i] + 1]++;
  for (size_t c = 1; c < starts.size(); c++) starts[c] += starts[c - 1];
  Buffer<uint32_t> order(count);
  for (size_t i = 0; i < count; i++) order[starts[codes[i]]++] = (uint32_t)i;
  return order;
}

// Scattered rays lie all over memory.
void prefetch(const Rays &rays, const uint32_t *ray) {
  for (int i = 0; i < W; i++) {
    __builtin_prefetch(rays.origins + 3 * ray[i]);
    __builtin_prefetch(rays.directions + 3 * ray[i]);
  }
}

// Fills the packet with the rays of these numbers; tells which may hit something, -1, and not, 0.
//
// Lane by lane into registers: what is written to memory in parts cannot be read at once as a whole.
Ints8 load(const Rays &rays, const size_t *ray, Packet &packet) {
  Floats8 far, sum{};
  for (int k = 0; k < 3; k++) {
    Floats8 origin, direction;
    for (int i = 0; i < W; i++) origin[i] = rays.origins[3 * ray[i] + k];
    for (int i = 0; i < W; i++) direction[i] = rays.directions[3 * ray[i] + k];
    packet.origin[k] = origin;
    packet.direction[k] = direction;
    sum += 0.0f * origin + 0.0f * direction;  // NaN unless both are finite
  }
  for (int i = 0; i < W; i++) far[i] = rays.far ? rays.far[ray[i]] : INFINITY;
  packet.far = far;
  packet.geometry = Ints8{} + INVALID;
  return (sum == 0.0f) & (far > 0.0f);
}

void store(const Packet &packet, Ints8 valid, int lane, size_t ray, const Answers &out) {
  if (out.occluded) {
    out.occluded[ray] = valid[lane] && packet.far[lane] < 0.0f;  // Embree's sign of a hit
    return;
  }
  bool hit = valid[lane] && packet.geometry[lane] != INVALID;
  out.distance[ray] = hit ? packet.far[lane] : INFINITY;
  out.triangle[ray] = hit ? packet.triangle[lane] : -1;
  out.barycentrics[2 * ray] = hit ? packet.u[lane] : 0.0f;
  out.barycentrics[2 * ray + 1] = hit ? packet.v[lane] : 0.0f;
}

}  // namespace
}  // namespace relight3d

// `query` is the address of rtcOccluded8 where `occluded` is given, else of rtcIntersect8.
extern "C" R3D_EXPORT int r3d_trace(int64_t query, int64_t scene, const float *origins,
                                    const float *directions, const float *far, int64_t count,
                                    int64_t sorts, int64_t threads, uint8_t *occluded,
                                    float *distance, int64_t *triangle, float *barycentrics) {
  using namespace relight3d;
  return guarded([&] {
    const Rays rays{origins, directions, far};
    const Answers out{occluded, distance, triangle, barycentrics};
    const Survey survey(rays, (size_t)count);
    const bool sorted = sorts && survey.scattered && count > (int64_t)PIECE && count < int64_t(1) << 32;
    Buffer<uint32_t> order;
    if (sorted) order = along_curve(survey, origins, (size_t)count, (int)threads);
    parallel_pieces((int)threads, (size_t)count, PIECE, [&](size_t begin, size_t end) {
      Arguments arguments{survey.parallel ? COHERENT : 0, ~0u, nullptr, nullptr, nullptr, {0, 0}};
      Packet packet{};
      packet.mask = Ints8{} - 1;
      for (size_t first = begin; first < end; first += W) {
        const int lanes = (int)std::min<size_t>(W, end - first);
        size_t ray[W];
        for (int k = 0; k < W; k++) {  // the last one again, and not asked, where there are fewer
          size_t place = std::min(first + k, end - 1);
          ray[k] = sorted ? order[place] : place;
        }
        if (sorted) prefetch(rays, &order[std::min(first + AHEAD, end - W)]);
        const Ints8 valid = load(rays, ray, packet) & (LANES < lanes);
        ((Query)query)(&valid, (void *)scene, &packet, &arguments);
        for (int k = 0; k < lanes; k++) store(packet, valid, k, ray[k], out);
      }
    });
  });
}
