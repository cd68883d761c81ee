"""Nouns and laws: types, conventions, rotations, SH, colour, errors. No formats, no training."""
