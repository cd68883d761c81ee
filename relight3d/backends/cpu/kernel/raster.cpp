// Rasterization through the C ABI: one forward and one backward call for a batch of cameras.
#include "abi.h"
#include "binning.h"
#include "splat_backward.h"
#include "tiles_forward.h"

namespace relight3d {
namespace {

std::atomic<int64_t> live_contexts{0};

// Calls f(constant) with the narrowest compiled number of channels that holds `used`.
template <class F> void with_width(int used, F f) {
  if (used <= 4)
    f(std::integral_constant<int, 4>());
  else if (used <= 8)
    f(std::integral_constant<int, 8>());
  else if (used <= 16)
    f(std::integral_constant<int, 16>());
  else if (L <= 8 && used <= 24)  // whole registers only
    f(std::integral_constant<int, L <= 8 ? 24 : 32>());
  else
    f(std::integral_constant<int, 32>());
}

// Calls f(first channel, channels) for every pass.
template <class F> void for_passes(const R3dScene &s, F f) {
  for (int64_t k = 0; k < s.channels; k += MAX_CHANNELS) f(k, (int)std::min<int64_t>(MAX_CHANNELS, s.channels - k));
}

Channels channels_of(const R3dScene &s, int64_t camera, int64_t k, int used) {
  return {s.features + camera * s.feature_stride + k, (size_t)s.channels, used};
}

void draw(const R3dScene &s, int64_t camera, View &view, float *features, float *alpha, bool keep) {
  size_t pixels = (size_t)s.width * s.height;
  int threads = (int)s.threads;
  if (keep) view.transmittance.reset(pixels), view.last.reset(pixels);
  for_passes(s, [&](int64_t k, int used) {
    ForwardTarget to{features + (camera * s.channels + k) * pixels, pixels, alpha + camera * pixels,
                     keep ? view.transmittance.data() : nullptr, keep ? view.last.data() : nullptr};
    with_width(used, [&](auto width) {
      composite_tiles<decltype(width)::value>(view, channels_of(s, camera, k, used), to, threads);
    });
  });
}

void forward(const R3dScene &s, float *features, float *alpha, uint8_t *visible, Context *context) {
  size_t pixels = (size_t)s.width * s.height;
  advise_huge(features, sizeof(float) * pixels * s.channels * s.cameras);
  advise_huge(alpha, sizeof(float) * pixels * s.cameras);
  for (int64_t camera = 0; camera < s.cameras; camera++) {
    View view{Camera(s, camera)};
    bin_splats(view, s, (int)s.threads, context != nullptr);
    draw(s, camera, view, features, alpha, context != nullptr);
    uint8_t *seen = visible + camera * s.splats;
    for (int64_t i = 0; i < s.splats; i++) seen[i] = view.first[i + 1] > view.first[i];
    if (context) context->views.push_back(std::move(view));
  }
}

// One camera's gradient, in passes over channels and, within each, in bands of tiles.
void backward_view(const R3dScene &s, int64_t camera, const View &view, const float *v_features,
                   const float *v_alpha, const R3dGradients &out) {
  size_t pixels = (size_t)s.width * s.height, tiles = view.tile_start.size() - 1;
  int threads = (int)s.threads;
  bool own_features = s.feature_stride != 0;
  Buffer<float> moments;
  Buffer<uint32_t> cursor;
  bool moments_started = false;
  for_passes(s, [&](int64_t k, int used) {
    with_width(used, [&](auto width) {
      constexpr int CP = decltype(width)::value;
      constexpr size_t ROW_BYTES = sizeof(float) * (MOMENTS + CP);
      bool last_pass = k + MAX_CHANNELS >= s.channels;
      Channels channels = channels_of(s, camera, k, used);
      BackwardSource from{v_features + (camera * s.channels + k) * pixels, pixels,
                          k == 0 ? v_alpha + camera * pixels : nullptr, out.means != nullptr};
      Totals to{};
      to.out = out;
      to.out.features = out.features + camera * s.feature_stride + k;
      to.stride = s.channels, to.channels = used;
      to.features_started = !own_features && camera > 0, to.splats_started = camera > 0;
      Buffer<float> data;
      Buffer<uint8_t> touched;
      size_t held = 0;
      for (size_t begin = 0; begin < tiles;) {
        size_t end = band_end(view, begin, ROW_BYTES, (size_t)s.row_bytes);
        bool last_band = end == tiles;
        size_t rows_needed = view.tile_start[end] - view.tile_start[begin];
        if (rows_needed > held || !data.data()) {
          data.reset((rows_needed + 1) * (MOMENTS + CP)), touched.reset(rows_needed + 1);
          held = rows_needed;
        }
        if (!(last_band && begin == 0) && !cursor.data()) cursor.reset(s.splats + 1);
        if (!(last_band && last_pass) && !moments.data()) moments.reset(MOMENTS * (s.splats + 1));
        if (begin == 0 && cursor.data()) memcpy(cursor.data(), view.first.data(), sizeof(uint32_t) * s.splats);
        to.moments = moments.data(), to.cursor = cursor.data();
        to.moments_started = moments_started;
        Rows rows{data.data(), touched.data(), view.tile_start[begin]};
        differentiate_tiles<CP>(view, begin, end, channels, from, rows, threads);
        if (last_band && last_pass)
          differentiate_splats<CP>(view, s, rows, view.tile_start[end], to, threads);
        else
          accumulate_rows<CP>(view, rows, view.tile_start[end], s.splats, to, threads);
        moments_started = to.features_started = true;
        begin = end;
      }
    });
  });
}

}  // namespace
}  // namespace relight3d

extern "C" {

// features [C, F, H, W], alpha [C, H, W], visible [C, N]. With `context`, keeps what backward needs.
R3D_EXPORT int r3d_forward(const R3dScene *scene, float *features, float *alpha, uint8_t *visible, void **context) {
  using namespace relight3d;
  return guarded([&] {
    std::unique_ptr<Context> kept(context ? new Context : nullptr);
    forward(*scene, features, alpha, visible, kept.get());
    if (context) {
      live_contexts++;
      *context = kept.release();
    }
  });
}

// The scene must be the forward pass's. Gradients are written, not added to. Those of the geometry may
// all be null: those of the features alone cost half as much.
R3D_EXPORT int r3d_backward(const void *context, const R3dScene *scene, const float *v_features, const float *v_alpha,
                 const R3dGradients *out) {
  using namespace relight3d;
  return guarded([&] {
    const auto &views = ((const Context *)context)->views;
    for (int64_t camera = 0; camera < (int64_t)views.size(); camera++)
      backward_view(*scene, camera, views[camera], v_features, v_alpha, *out);
  });
}

R3D_EXPORT void r3d_free(void *context) {
  delete (relight3d::Context *)context;
  relight3d::live_contexts--;
}

R3D_EXPORT int64_t r3d_live_contexts() { return relight3d::live_contexts; }
R3D_EXPORT const char *r3d_last_error() { return relight3d::last_error().c_str(); }
R3D_EXPORT int r3d_abi() { return R3D_ABI; }
R3D_EXPORT int r3d_lanes() { return relight3d::L; }

}  // extern "C"
