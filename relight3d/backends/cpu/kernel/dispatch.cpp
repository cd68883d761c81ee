// Which instruction sets this processor, and its operating system, can run. Part of the baseline build.
//
// By CPUID itself: __builtin_cpu_supports needs a compiler runtime that zig does not link.
#include "abi.h"

#if defined(__x86_64__)
#include <cpuid.h>

namespace {

struct Processor {
  bool avx2 = false, avx512 = false;
  Processor() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = c >> 12 & 1, saves_state = c >> 27 & 1;
    if (!saves_state || !fma || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    unsigned kept, high;  // the registers that the operating system saves: XCR0
    __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
    avx2 = (kept & 0x06) == 0x06 && (b >> 5 & 1);
    const unsigned F = 1u << 16, DQ = 1u << 17, BW = 1u << 30, VL = 1u << 31, all = F | DQ | BW | VL;
    avx512 = avx2 && (kept & 0xe6) == 0xe6 && (b & all) == all;
  }
};

}  // namespace

extern "C" R3D_EXPORT int r3d_supports_avx2() { return Processor().avx2; }
extern "C" R3D_EXPORT int r3d_supports_avx512() { return Processor().avx512; }

#else

extern "C" R3D_EXPORT int r3d_supports_avx2() { return 0; }
extern "C" R3D_EXPORT int r3d_supports_avx512() { return 0; }

#endif
