// What passes through the C ABI, and what a forward pass leaves for the backward pass.
#pragma once
#include <cstdint>
#include <vector>

#include "pool.h"

// Arrays are dense, row-major and owned by the caller. Mirrored in library.py: change both.
struct R3dScene {
  int64_t splats;                   // N
  int64_t cameras;                  // C
  int64_t channels;                 // F
  int64_t feature_stride;           // floats from one camera's features to the next; 0: shared
  int64_t width, height;            // pixels
  const float *means;               // [N, 3]
  const float *quats_wxyz;          // [N, 4], any length
  const float *scales;              // [N, 3]
  const float *opacities;           // [N]
  const float *features;            // [N, F] or [C, N, F]
  const double *world_to_camera;    // [C, 4, 4]
  const double *intrinsics;         // [C, 3, 3]
  double near, far, eps2d;
  int64_t antialias;
  int64_t threads;
  int64_t row_bytes;                // budget of the gradient rows, see tiles_backward.h
};

struct R3dGradients {
  float *means, *quats_wxyz, *scales, *opacities, *features;
};

namespace relight3d {

constexpr float LOG2_E = 1.44269504088896f;
constexpr float LOG2_THRESHOLD = -7.99435343685886f;  // log2(1/255)
constexpr float ALPHA_THRESHOLD = 1.0f / 255.0f;
constexpr float TRANSMITTANCE_STOP = 1e-4f;
constexpr float ALPHA_MAX = 0.999f;
// Outlines are widened by this (in log2 of alpha), so that rounding never loses a pixel.
constexpr float OUTLINE_MARGIN = 2e-3f;

constexpr int TILE = 16;
constexpr size_t READ_AHEAD = 12;  // entries of `position` read ahead to prefetch rows
constexpr int MAX_CHANNELS = 32;  // composited at once; more are done in passes

struct Camera {
  double R[9], t[3];                // world to camera
  float r[9];                       // R, rounded
  double fx, fy, cx, cy;
  float left, right, up, down;      // limits of x/z and y/z in the Jacobian
  float near, far, eps2d;
  int width, height, tiles_x, tiles_y;
  bool antialias;

  Camera(const R3dScene &scene, int64_t index) {
    const double *V = scene.world_to_camera + 16 * index, *K = scene.intrinsics + 9 * index;
    for (int a = 0; a < 3; a++) {
      for (int b = 0; b < 3; b++) r[3 * a + b] = (float)(R[3 * a + b] = V[4 * a + b]);
      t[a] = V[4 * a + 3];
    }
    fx = K[0], fy = K[4], cx = K[2], cy = K[5];
    width = (int)scene.width, height = (int)scene.height;
    tiles_x = (width + TILE - 1) / TILE, tiles_y = (height + TILE - 1) / TILE;
    double border_x = 0.15 * width / fx, border_y = 0.15 * height / fy;
    left = (float)(cx / fx + border_x), right = (float)((width - cx) / fx + border_x);
    up = (float)(cy / fy + border_y), down = (float)((height - cy) / fy + border_y);
    near = (float)scene.near, far = (float)scene.far, eps2d = (float)scene.eps2d;
    antialias = scene.antialias != 0;
  }
};

// A splat on the screen. With d = pixel - mean,
//   log2(alpha) = peak - (narrow (dx - lean dy))^2 - (tall dy)^2,
// a sum of squares: A dx^2 + B dx dy + C dy^2 loses four digits to cancellation on a long, slanted
// splat, and costs the same.
struct Projected {
  float x, y;              // pixels
  float lean;              // x per y of the line through the middles of the outline's rows
  float narrow, tall;      // per pixel
  float peak;              // log2 of opacity
  float reach_x, reach_y;  // half width and height of the outline alpha = 1/255
};

// One camera's forward pass. A splat's intersections with tiles are numbered first[i] .. first[i+1].
struct View {
  Camera camera;
  Buffer<Projected> splats;          // by splat
  Buffer<uint32_t> first;            // N + 1
  Buffer<uint32_t> position;         // by intersection: its place in `list` (only for a backward pass)
  std::vector<uint32_t> tile_start;  // tiles + 1, into `list`
  Buffer<uint32_t> list;             // splats of each tile, front to back
  Buffer<float> transmittance;       // by pixel, after the last contribution
  Buffer<int32_t> last;              // by pixel: last contribution, counted in the tile's list; or -1
  explicit View(const Camera &c) : camera(c) {}
};

struct Context {
  std::vector<View> views;
};

}  // namespace relight3d
