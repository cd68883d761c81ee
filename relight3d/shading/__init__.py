"""How light meets matter: BRDF, environments, visibility, deferred shading."""
