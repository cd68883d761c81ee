// The whole SIMD layer: L float lanes, a mask type and a few operations.
//
// L is the processor's own width, never more: GCC lowers comparisons and selections on vectors wider
// than the instruction set to scalar code, which costs a factor of 3 to 4.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace relight3d {

#if defined(__AVX512F__)
constexpr int L = 16;
#elif defined(__AVX2__)
constexpr int L = 8;
#else
constexpr int L = 4;
#endif

typedef float Floats __attribute__((vector_size(L * 4)));
typedef int32_t Ints __attribute__((vector_size(L * 4)));

inline Floats splat(float x) { return Floats{} + x; }
inline Floats load(const float *p) {
  Floats values;
  std::memcpy(&values, p, sizeof values);
  return values;
}
inline void store(float *p, Floats values) { std::memcpy(p, &values, sizeof values); }
inline Ints splat_int(int32_t x) { return Ints{} + x; }

#if defined(__AVX512F__)

typedef __mmask16 Mask;
inline Mask ge(Floats a, Floats b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ); }
inline Mask gt(Floats a, Floats b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ); }
inline Mask ge(Ints a, Ints b) { return _mm512_cmpge_epi32_mask((__m512i)a, (__m512i)b); }
inline Floats select(Mask m, Floats a, Floats b) {
  return (Floats)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a);
}
inline Ints select(Mask m, Ints a, Ints b) {
  return (Ints)_mm512_mask_blend_epi32(m, (__m512i)b, (__m512i)a);
}
inline Floats keep(Mask m, Floats a) { return (Floats)_mm512_maskz_mov_ps(m, (__m512)a); }
inline uint32_t bits(Mask m) { return m; }
inline Floats vsqrt(Floats a) { return (Floats)_mm512_sqrt_ps((__m512)a); }
inline Floats vmin(Floats a, Floats b) { return (Floats)_mm512_min_ps((__m512)a, (__m512)b); }
inline Floats vmax(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }

#else

typedef Ints Mask;
inline Mask ge(Floats a, Floats b) { return a >= b; }
inline Mask gt(Floats a, Floats b) { return a > b; }
inline Mask ge(Ints a, Ints b) { return a >= b; }
inline Floats select(Mask m, Floats a, Floats b) { return m ? a : b; }
inline Ints select(Mask m, Ints a, Ints b) { return m ? a : b; }
inline Floats keep(Mask m, Floats a) { return (Floats)((Ints)a & m); }

#if defined(__AVX2__)
inline uint32_t bits(Mask m) { return _mm256_movemask_ps((__m256)m); }
inline Floats vsqrt(Floats a) { return (Floats)_mm256_sqrt_ps((__m256)a); }
inline Floats vmin(Floats a, Floats b) { return (Floats)_mm256_min_ps((__m256)a, (__m256)b); }
inline Floats vmax(Floats a, Floats b) { return (Floats)_mm256_max_ps((__m256)a, (__m256)b); }
#elif defined(__SSE2__)
inline uint32_t bits(Mask m) { return _mm_movemask_ps((__m128)m); }
inline Floats vsqrt(Floats a) { return (Floats)_mm_sqrt_ps((__m128)a); }
inline Floats vmin(Floats a, Floats b) { return (Floats)_mm_min_ps((__m128)a, (__m128)b); }
inline Floats vmax(Floats a, Floats b) { return (Floats)_mm_max_ps((__m128)a, (__m128)b); }
#else  // any other processor: the compiler's vector types alone
inline uint32_t bits(Mask m) {
  const Ints weight = {1, 2, 4, 8};
  Ints w = m & weight;
  return (uint32_t)(w[0] | w[1] | w[2] | w[3]);
}
inline Floats vsqrt(Floats a) {
  Floats r;
  for (int i = 0; i < L; i++) r[i] = std::sqrt(a[i]);
  return r;
}
inline Floats vmin(Floats a, Floats b) { return a < b ? a : b; }
inline Floats vmax(Floats a, Floats b) { return a > b ? a : b; }
#endif
#endif

inline float total(Floats values) {
  float sum = 0;
  for (int i = 0; i < L; i++) sum += values[i];
  return sum;
}
inline bool any(Mask m) { return bits(m) != 0; }

// 2^x for x in [-126, 127], relative error 2.4e-7. Rounds by adding 1.5 * 2^23, which
// -fassociative-math would optimise away.
inline Floats exp2v(Floats x) {
  Floats t = x + 12582912.0f, f = x - (t - 12582912.0f);
  Floats p = 1.3395279e-3f * f + 9.6180242e-3f;
  p = p * f + 5.5503588e-2f;
  p = p * f + 2.4022652e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  return (Floats)((Ints)p + ((Ints)t << 23));
}

// The angle of (x, y) in radians, relative error 3e-7. Of the origin: 0 or pi.
inline Floats atan2v(Floats y, Floats x) {
  const Ints sign = splat_int(INT32_MIN);
  Floats ay = (Floats)((Ints)y & ~sign), ax = (Floats)((Ints)x & ~sign);
  Floats t = vmin(ax, ay) / vmax(vmax(ax, ay), splat(1e-37f)), s = t * t;
  Floats p = 2.78569828e-3f * s - 1.58660226e-2f;
  p = p * s + 4.24722321e-2f;
  p = p * s - 7.49753043e-2f;
  p = p * s + 1.06448799e-1f;
  p = p * s - 1.42070308e-1f;
  p = p * s + 1.99934542e-1f;
  p = p * s - 3.33331466e-1f;
  Floats angle = p * s * t + t;
  angle = select(gt(ay, ax), 1.57079633f - angle, angle);
  angle = select(gt(Floats{}, x), 3.14159265f - angle, angle);
  return (Floats)((Ints)angle | ((Ints)y & sign));
}

// One exchange of a butterfly: lanes whose bit H is set come from the partner row.
template <int H, int... I>
inline void exchange(Floats &a, Floats &b, std::integer_sequence<int, I...>) {
#if defined(__clang__) || __GNUC__ >= 12
  Floats low = __builtin_shufflevector(a, b, ((I & H) ? L + I - H : I)...);
  Floats high = __builtin_shufflevector(a, b, ((I & H) ? L + I : I + H)...);
#else
  Floats low = __builtin_shuffle(a, b, Ints{((I & H) ? L + I - H : I)...});
  Floats high = __builtin_shuffle(a, b, Ints{((I & H) ? L + I : I + H)...});
#endif
  a = low;
  b = high;
}
// Transposes every K x K block of K rows in place, log2(K) stages.
template <int K, int H = 1> inline void butterfly(Floats *rows) {
  if constexpr (H < K) {
    for (int i = 0; i < K; i++)
      if (!(i & H)) exchange<H>(rows[i], rows[i + H], std::make_integer_sequence<int, L>());
    butterfly<K, 2 * H>(rows);
  }
}
inline void transpose(Floats *rows) { butterfly<L>(rows); }

}  // namespace relight3d
