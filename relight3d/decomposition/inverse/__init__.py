"""Inverse rendering: materials and light from photos by traced light, after the distillation."""
