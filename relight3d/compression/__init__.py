"""Room 4: fewer and smaller splats. Empty so far."""
