"""How splats become pixels: one call, `interface.Rasterizer`; `registry` picks who answers it."""
