"""The embedded CPU rasterizer: a C++17 SIMD kernel behind a torch operator.

kernel/      the C++ source; one library is built from it per instruction set
build.py     compiles them: `python -m relight3d.backends.cpu.build`
library.py   finds and loads the widest one this processor runs, through ctypes
torch_ops.py registers it as torch operators with gradient and fake kernels
rasterize.py the door: checks, converts, calls
"""
