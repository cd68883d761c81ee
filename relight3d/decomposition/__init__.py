"""Room 3: `Splats` to materials and light, and back to pictures under any light."""
