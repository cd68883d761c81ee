"""Rays against a mesh: one interface (`interface.Tracer`), a backend for every machine."""
