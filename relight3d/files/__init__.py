"""The door to files: pictures, light, video. No room opens, decodes or writes these otherwise."""
