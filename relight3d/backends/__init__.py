"""How splats become pixels: one call (`interface.Rasterizer`), three backends behind it.

    reference    plain torch, any floating type: the specification and the oracle
    cpu          C++17 SIMD kernel, the default without a GPU
    gsplat       gsplat's CUDA kernels

`registry.get_rasterizer` chooses; nothing else imports a backend.
"""
