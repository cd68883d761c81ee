"""Planar Gaussians: where they start, what they minimise, how they grow, the loop."""
