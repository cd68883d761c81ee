"""Anybody's frames: found in every layout, and refused when they are not what they must be."""

import shutil

import numpy as np
import pytest

from relight3d.core.errors import CaptureError, FileFormatError
from relight3d.evaluation.evaluate import evaluate
from relight3d.evaluation.folder_frames import FolderFrames
from relight3d.evaluation.protocols import RELIGHT3D
from relight3d.files.exr import write_exr

from .hand import SIZE, Look, disc, flat, make_capture, write


@pytest.fixture
def capture(tmp_path):
    maps = {"albedo": flat(0.6), "roughness": flat(0.5)}
    looks = [Look(flat(0.4 + 0.1 * i), maps=maps, relit={"sun": flat(0.6)}) for i in range(3)]
    return make_capture(tmp_path / "scene", looks)


def scores(capture, folder):
    source = FolderFrames(folder, capture)
    result = evaluate(capture, source, [RELIGHT3D], perceptual=False)
    return result["results"]["relight3d"]


NAMES = {
    "numbers": lambda i, view: f"{i}",
    "padded": lambda i, view: f"{i:05d}",
    "prefixed": lambda i, view: f"r_{i}",
    "views": lambda i, view: view.name,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("folder", ["rgb", "."])
def test_frames_are_matched_to_views(capture, tmp_path, name, folder):
    frames = tmp_path / "frames"
    for i, view in enumerate(capture.split("test")):
        target = frames / folder / f"{name(i, view)}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(view.image_path, target)
    found = scores(capture, frames)
    assert found["novel"]["psnr"] == "inf"
    assert set(found["absent"]) >= {"albedo", "roughness", "relit", "relit/sun"}


def test_order_is_by_number_not_by_text(tmp_path):
    looks = [Look(flat(0.02 * i)) for i in range(12)]
    capture = make_capture(tmp_path / "twelve", looks)
    (tmp_path / "frames").mkdir()
    for i, view in enumerate(capture.split("test")):
        shutil.copy(view.image_path, tmp_path / "frames" / f"{i}.png")
    assert scores(capture, tmp_path / "frames")["novel"]["psnr"] == "inf"


def test_the_capture_itself_is_a_folder_of_frames(capture):
    found = scores(capture, capture.root)
    assert found["novel"]["psnr"] == found["relit"]["lights"]["sun"]["psnr"] == "inf"
    assert found["albedo"]["psnr_raw"] == "inf"
    assert found["roughness"]["mse"] == 0


@pytest.mark.parametrize("folder", ["relit/sun", "sun"])
def test_relit_frames(capture, tmp_path, folder):
    for i in range(3):
        write(tmp_path / "frames" / folder / f"{i:03d}.png", flat(0.5), disc())
    found = scores(capture, tmp_path / "frames")
    step = (153 - 128) / 255  # 0.6 and 0.5 in bytes
    expected = -10 * np.log10(disc().mean() * step**2)
    assert found["relit"]["lights"]["sun"]["psnr"] == pytest.approx(expected, abs=1e-3)
    assert "novel" in found["absent"]


def frames_of(capture, folder):
    for i, view in enumerate(capture.split("test")):
        (folder / "rgb").mkdir(parents=True, exist_ok=True)
        shutil.copy(view.image_path, folder / "rgb" / f"{i:03d}.png")
    return folder


def test_missing_frames(capture, tmp_path):
    frames = frames_of(capture, tmp_path / "frames")
    (frames / "rgb" / "001.png").unlink()
    with pytest.raises(FileFormatError, match=r"rgb are missing for 1 of 3 .*test_001"):
        scores(capture, frames)


def test_more_frames_than_views(capture, tmp_path):
    frames = frames_of(capture, tmp_path / "frames")
    shutil.copy(frames / "rgb" / "000.png", frames / "rgb" / "003.png")
    with pytest.raises(FileFormatError, match=r"frame number 3.* 3 test views, 0 to 2"):
        scores(capture, frames)


def test_another_size(capture, tmp_path):
    frames = frames_of(capture, tmp_path / "frames")
    write(frames / "rgb" / "002.png", flat(0.4)[: SIZE // 2])
    with pytest.raises(FileFormatError, match=r"002.png is 24 x 12 .* 24 x 24.*Nothing is resized"):
        scores(capture, frames)


def test_another_bit_depth(capture, tmp_path):
    frames = frames_of(capture, tmp_path / "frames")
    (frames / "rgb" / "000.png").unlink()
    write_exr(frames / "rgb" / "000.exr", flat(0.4), ("R", "G", "B"))
    with pytest.raises(FileFormatError, match=r"000.exr has 32-bit floats.* 8 bits a channel"):
        scores(capture, frames)


def test_of_two_precisions_the_one_of_the_truth_counts(capture, tmp_path):
    frames = frames_of(capture, tmp_path / "frames")
    for i in range(3):
        write_exr(frames / "rgb" / f"{i:03d}.exr", flat(0.9), ("R", "G", "B"))
    assert scores(capture, frames)["novel"]["psnr"] == "inf"


def test_two_frames_of_one_view(capture, tmp_path):
    frames = frames_of(capture, tmp_path / "frames")
    shutil.copy(frames / "rgb" / "000.png", frames / "rgb" / "r_0.png")
    with pytest.raises(FileFormatError, match=r"2 frames for the view test_000"):
        scores(capture, frames)


def test_nan_pixels(capture, tmp_path):
    looks = [Look()]
    linear = make_capture(tmp_path / "linear", looks)
    view = linear.split("test")[0]
    photo = view.image_path.with_suffix(".exr")
    write_exr(photo, np.dstack([flat(0.4), disc()]), ("R", "G", "B", "A"))
    view.image_path.unlink()
    views = tuple(_with(v, image_path=photo) if v is view else v for v in linear.views)
    linear = _with(linear, views=views)
    bad = flat(0.4)
    bad[3, 4] = np.nan
    (tmp_path / "frames").mkdir()
    write_exr(tmp_path / "frames" / "0.exr", bad, ("R", "G", "B"))
    with pytest.raises(FileFormatError, match=r"0.exr has NaN"):
        scores(linear, tmp_path / "frames")


def test_a_light_the_capture_does_not_know(capture, tmp_path):
    frames = frames_of(capture, tmp_path / "frames")
    write(frames / "relit" / "moon" / "000.png", flat(0.5))
    with pytest.raises(CaptureError, match=r"under moon.* It has: sun"):
        scores(capture, frames)
    with pytest.raises(CaptureError, match=r"no test pictures under moon. It has: sun"):
        evaluate(capture, FolderFrames(capture.root, capture), [RELIGHT3D], lights=["moon"])


def test_views_without_truth(tmp_path):
    looks = [Look(relit={"sun": flat(0.6)}), Look()]
    capture = make_capture(tmp_path / "partly", looks)
    with pytest.raises(CaptureError, match=r"1 of 2 test views have no truth of relit/sun"):
        scores(capture, capture.root)
    looks = [Look(maps={"albedo": flat(0.6)}), Look()]
    capture = make_capture(tmp_path / "partly2", looks)
    with pytest.raises(CaptureError, match=r"1 of 2 test views have no truth of albedo"):
        scores(capture, capture.root)


def test_no_test_views_and_no_frames(capture, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match=r"no frame of scene.*rgb/"):
        FolderFrames(tmp_path / "empty", capture)
    with pytest.raises(FileFormatError, match="does not exist"):
        FolderFrames(tmp_path / "nowhere", capture)
    bare = _with(capture, views=capture.split("train"))
    with pytest.raises(CaptureError, match=r"no test views.*hold-out"):
        evaluate(bare, FolderFrames(capture.root, capture), [RELIGHT3D])


def test_depth_and_light(tmp_path):
    capture = make_capture(tmp_path / "deep", [Look()])
    view = capture.split("test")[0]
    folder = view.image_path.parent
    np.save(folder / "depth.npy", np.full((SIZE, SIZE), 2.0, np.float16))
    view = _with(view, truth={"depth": folder / "depth.npy"})
    capture = _with(capture, views=(view, *capture.split("train")))
    frames = tmp_path / "frames" / "depth"
    frames.mkdir(parents=True)
    np.save(frames / "0.npy", np.full((SIZE, SIZE), 2.5, np.float32))
    found = scores(capture, tmp_path / "frames")["depth"]
    assert (found["mae"], found["relative"]) == pytest.approx((0.5, 0.25))
    assert (found["scale"], found["mae_scaled"]) == pytest.approx((0.8, 0.0), abs=1e-6)
    assert found["chamfer"] > 0
    np.save(frames / "0.npy", np.full((SIZE, 7), 2.5, np.float32))
    with pytest.raises(FileFormatError, match="shape"):
        scores(capture, tmp_path / "frames")
    np.save(frames / "0.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="npy"):
        scores(capture, tmp_path / "frames")


def _with(value, **changes):
    import dataclasses

    return dataclasses.replace(value, **changes)
