"""What is wrong is said before a run begins."""

import pytest

from relight3d.core.errors import FileFormatError
from relight3d.pipeline.config import TrainConfig
from relight3d.pipeline.train import TrainRequest, train
from tests.pipeline.captures import make_capture


def test_a_damaged_light_is_found_before_the_fit(tmp_path):
    capture = make_capture(tmp_path / "capture", train=3, test=1, size=8)
    (capture / "envmaps" / "evening.hdr").write_text("no light")
    with pytest.raises(FileFormatError, match=r"evening\.hdr is neither"):
        train(TrainRequest(capture, tmp_path / "run", TrainConfig()))
    assert not (tmp_path / "run").exists()
