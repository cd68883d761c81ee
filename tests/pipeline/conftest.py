"""A capture and a finished run of it, one for each module of tests."""

import pytest

from tests.pipeline.captures import make_capture, train


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return make_capture(tmp_path_factory.mktemp("capture"))


@pytest.fixture(scope="module")
def run(capture, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert train(capture, out) == 0
    return out
