"""Which cameras `render` draws, without drawing."""

import dataclasses
import json
from pathlib import Path

import tiny_captures as tiny

from relight3d.capture import load
from relight3d.pipeline.light_file import LightRequest
from relight3d.pipeline.render import RenderRequest, shots_of

REQUEST = RenderRequest(
    run=Path("run"), out=Path("out"), views="turntable", lights=LightRequest(), trace=None,
    albedo_gain=(1.0, 1.0, 1.0), aovs=("rgb",), exr=False, frames=3, fps=24.0, backend="cpu",
)  # fmt: skip


def test_cameras_of_blender_are_as_large_as_the_photos(tmp_path):
    tiny.nerfstudio(tmp_path / "c")
    capture = load(tmp_path / "c")
    blender = {"camera_angle_x": 0.5, "frames": [tiny.frame(0, 6), tiny.frame(1, 6)]}
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(blender))
    shots = shots_of(dataclasses.replace(REQUEST, views=str(path)), capture)
    assert len(shots) == 2
    for shot in shots:
        assert (shot.camera.width_px, shot.camera.height_px) == (tiny.SIZE, tiny.SIZE)
