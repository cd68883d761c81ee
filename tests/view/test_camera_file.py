import json
import math

import numpy as np
import pytest
import torch

from relight3d.core.errors import FileFormatError
from relight3d.core.views import Similarity
from relight3d.view.camera_file import read_camera_file

BEHIND = [[1, 0, 0, 0], [0, 0, -1, -5], [0, 1, 0, 0], [0, 0, 0, 1]]
"""OpenGL camera to world: stands at (0, -5, 0), looks along +y, z up."""
EXPECTED = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 5], [0, 0, 0, 1]])
FILE = {"fl_x": 100, "fl_y": 110, "cx": 31, "cy": 25, "w": 64, "h": 48}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_transforms_json(tmp_path):
    frames = [{"transform_matrix": BEHIND}, {"transform_matrix": BEHIND, "fl_x": 200.0}]
    cameras = read_camera_file(write(tmp_path / "t.json", {**FILE, "frames": frames}))
    torch.testing.assert_close(cameras.world_to_camera[0], EXPECTED)
    assert (cameras.width_px, cameras.height_px) == (64, 48)
    torch.testing.assert_close(
        cameras.intrinsics[1], torch.tensor([[200.0, 0, 31], [0, 110, 25], [0, 0, 1]])
    )


def test_angle_and_default_size(tmp_path):
    content = {"camera_angle_x": math.pi / 2, "frames": [{"transform_matrix": BEHIND}]}
    path = write(tmp_path / "t.json", content)
    cameras = read_camera_file(path, default_size_px=(80, 60))
    torch.testing.assert_close(
        cameras.intrinsics[0], torch.tensor([[40.0, 0, 40], [0, 40, 30], [0, 0, 1]])
    )
    with pytest.raises(FileFormatError, match="'w' is None"):
        read_camera_file(path)


def test_nerfstudio_camera_path(tmp_path):
    frame = {"camera_to_world": np.array(BEHIND).ravel().tolist(), "fov": 90, "aspect": 2.0}
    content = {"camera_type": "perspective", "render_height": 50, "render_width": 100,
               "camera_path": [frame] * 3}  # fmt: skip
    cameras = read_camera_file(write(tmp_path / "path.json", content))
    assert len(cameras) == 3
    torch.testing.assert_close(cameras.world_to_camera[2], EXPECTED)
    torch.testing.assert_close(
        cameras.intrinsics[0], torch.tensor([[25.0, 0, 50], [0, 25, 25], [0, 0, 1]])
    )


def test_normalisation_is_applied(tmp_path):
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    path = write(tmp_path / "t.json", {**FILE, "frames": [{"transform_matrix": BEHIND}]})
    cameras = read_camera_file(path, Similarity(turn, np.array([0.0, 0, 7]), 2.0))
    torch.testing.assert_close(cameras.centers, torch.tensor([[10.0, 0, 7]]))
    torch.testing.assert_close(cameras.world_to_camera[0, 2, :3], torch.tensor([-1.0, 0, 0]))


def changed(row: int, column: int, value: float) -> list:
    matrix = np.array(BEHIND, float)
    matrix[row, column] = value
    return matrix.tolist()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "no list 'frames'"),
        ({"frames": []}, "no list 'frames'"),
        ({"frames": 3}, "no list 'frames'"),
        ({**FILE, "frames": [3]}, "frames 0 is not an object"),
        ({**FILE, "frames": [{}]}, "not a 4 x 4"),
        ({**FILE, "frames": [{"transform_matrix": [[1, 2], [3]]}]}, "not a 4 x 4"),
        ({**FILE, "frames": [{"transform_matrix": changed(0, 0, 1.1)}]}, "not a rotation"),
        ({**FILE, "frames": [{"transform_matrix": changed(0, 0, -1)}]}, "not a rotation"),
        ({**FILE, "frames": [{"transform_matrix": changed(0, 3, math.nan)}]}, "not a rotation"),
        ({**FILE, "fl_x": 0, "frames": [{"transform_matrix": BEHIND}]}, "'fl_x' is 0"),
        ({**FILE, "fl_x": 1e4, "fl_y": 1e4, "w": 1e6, "h": 1e6,
          "frames": [{"transform_matrix": BEHIND}]}, "1000000 x"),
        ({**FILE, "fl_x": 1e-9, "frames": [{"transform_matrix": BEHIND}]}, "'fl_x' is 1e-09"),
        ({**FILE, "cx": 1e6, "frames": [{"transform_matrix": BEHIND}]}, "'cx' is 1000000"),
        ({**FILE, "w": 10**400, "frames": [{"transform_matrix": BEHIND}]}, "'w' is 1000"),
        ({**FILE, "frames": [{"transform_matrix": [[10**400] * 4] * 4}]}, "not a 4 x 4"),
        ({**FILE, "frames": [{"transform_matrix": changed(0, 3, 1e300)}]}, "not a rotation"),
        ({**FILE, "w": "64", "frames": [{"transform_matrix": BEHIND}]}, "'w' is '64'"),
        (
            {**FILE, "frames": [{"transform_matrix": BEHIND, "w": w} for w in (60, 61)]},
            "several picture sizes",
        ),
        (
            {"camera_type": "fisheye", "render_height": 5, "render_width": 5,
             "camera_path": [{"camera_to_world": BEHIND, "fov": 9}]},
            "only perspective",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_once_with_the_frame(tmp_path, content, words):
    with pytest.raises(FileFormatError, match=words) as caught:
        read_camera_file(write(tmp_path / "t.json", content))
    assert "t.json" in str(caught.value)
