"""Captures that are unlike the usual."""

import json

import pytest
import tiny_captures as tiny

from relight3d.core.errors import FileFormatError
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.proxy.config import ProxyConfig
from relight3d.field.config import FieldConfig
from relight3d.pipeline.asset_file import load_asset
from relight3d.pipeline.config import TrainConfig
from relight3d.pipeline.train import TrainRequest, train
from tests.pipeline.captures import make_capture

TINY = TrainConfig(
    backend="cpu",
    field=FieldConfig(steps=8, initial_splats=100, max_splats=110, sh_degree=1),
    decomposition=DecompositionConfig(
        specular_steps=2, diffuse_steps=2, joint_steps=1, environment_height=4,
        visibility_directions=32, shadow_map_px=16,
    ),
    proxy=ProxyConfig(resolution=32, coarse_resolution=8, triangles=500),
)  # fmt: skip
SIZES = ((16, 16), (24, 16), (16, 24), (32, 20), (20, 32), (40, 40))


def test_a_damaged_light_is_found_before_the_fit(tmp_path):
    capture = make_capture(tmp_path / "capture", train=3, test=1, size=8)
    (capture / "envmaps" / "evening.hdr").write_text("no light")
    with pytest.raises(FileFormatError, match=r"evening\.hdr is neither"):
        train(TrainRequest(capture, tmp_path / "run", TrainConfig()))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("masks", [True, False])
def test_photos_of_as_many_sizes_as_there_are(tmp_path, masks):
    content = tiny.nerfstudio(tmp_path / "c", alpha=masks)
    for index, (frame, size) in enumerate(zip(content["frames"], SIZES, strict=True)):
        tiny.save(tmp_path / "c" / frame["file_path"], tiny.picture(index, size, masks))
        focal = 1.6 * min(size)
        frame |= {"w": size[0], "h": size[1], "fl_x": focal, "fl_y": focal}
        frame |= {"cx": size[0] / 2, "cy": size[1] / 2}
    tiny.rewrite(tmp_path / "c", content)
    run = train(TrainRequest(tmp_path / "c", tmp_path / "run", TINY, review=False))
    assert json.loads(run.record_path.read_text())["status"] == "finished"
    assert load_asset(run.asset_path).materials is not None
