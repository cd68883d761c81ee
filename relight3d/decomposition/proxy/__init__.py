"""The proxy mesh: fitted splats and the cameras that saw them to triangles that rays can hit."""
