"""Room 2: a `Capture` to `Splats` that look like its photos. Settings in `config`."""
