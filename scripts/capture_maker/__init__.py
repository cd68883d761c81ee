"""Path-traced captures with ground truth, in TensoIR-Synthetic's and NRHints' layouts.

`gltf` and `scenes` give surfaces, `lights` and `cameras` what shines and looks, `tracer` renders
with Mitsuba 3, `maps` gives what is true, `plan` says what has to be made, `job` makes it.
"""
