// Which instruction sets this processor, and its operating system, can run. Part of the baseline build.
#include "scene.h"

extern "C" R3D_EXPORT int r3d_supports_avx2() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return 0;
#endif
}

extern "C" R3D_EXPORT int r3d_supports_avx512() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return r3d_supports_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return 0;
#endif
}
