"""Pickles of cameras are read as numbers; everything else a pickle can do is refused, not done."""

import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from relight3d.core.errors import FileFormatError
from relight3d.files import inert_pickle
from relight3d.files.inert_pickle import read_inert_pickle


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "|u1", "<U3"])
def test_arrays_come_back_as_they_went_in(tmp_path, protocol, dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    told = ([values, np.asfortranarray(values)], (1, 2.5, "text", None, True, -70000, 1 << 40))
    read = read_inert_pickle(written(tmp_path / "a.pkl", pickle.dumps(told, protocol)))
    np.testing.assert_array_equal(read[0][0], values)
    np.testing.assert_array_equal(read[0][1], values)
    assert read[0][0].dtype == values.dtype and read[1] == told[1]


def test_a_camera_as_the_benchmark_stores_it(tmp_path):
    camera = (np.eye(4, dtype=np.float32)[:3], np.diag([800.0, 800.0, 1.0]))
    pose, intrinsics = read_inert_pickle(written(tmp_path / "a.pkl", pickle.dumps(camera)))
    np.testing.assert_array_equal(pose, camera[0])
    np.testing.assert_array_equal(intrinsics, camera[1])


class Hostile:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


CALLS = {
    "a command": Hostile(os.system, "touch {}"),
    "python": Hostile(exec, "open({!r}, 'w')"),
    "an import": Hostile(__import__, "this"),
    "a file": Hostile(open, "{}", "w"),
    "an attribute": Hostile(getattr, 1, "real"),
    "numpy's loader": Hostile(np.load, "{}"),
    "a class": complex(1, 2),
    "a dictionary": {"a": 1},
    "a set": {1, 2},
    "objects": np.array([{}, []], dtype=object),
    "a record": np.zeros(2, [("a", "f4")]),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_ever_called(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "ran"
    call = CALLS[name]
    if isinstance(call, Hostile):
        function, arguments = call.call
        told = [a.format(mark) if isinstance(a, str) else a for a in arguments]
        call = Hostile(function, *told)
    data = pickle.dumps((call, np.eye(3)), protocol)
    with pytest.raises(FileFormatError, match="is refused"):
        read_inert_pickle(written(tmp_path / "a.pkl", data))
    assert not mark.exists() and "this" not in sys.modules


HANDMADE = {
    "empty stack": b"\x80\x04.",
    "two values": b"\x80\x04K\x01K\x02.",
    "no end": b"\x80\x04K\x01",
    "no pickle": b"GIF89a",
    "a module alone": b"\x80\x04cnumpy\ndtype\n.",
    "a known module's other name": b"\x80\x04cnumpy\nfromfile\n(X\x01\x00\x00\x00atR.",
    "another codec": b"\x80\x04c_codecs\nencode\n(X\x01\x00\x00\x00aX\x06\x00\x00\x00rot_13tR.",
    "a mark inside": b"\x80\x04(K\x01\x86.",
    "a lone array": b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n)R.",
    "a state for a number": b"\x80\x04K\x01)b.",
    "append to a number": b"\x80\x04K\x01K\x02a.",
    "itself": b"\x80\x04]\x94h\x00a.",
    "unknown memo": b"\x80\x04h\x07.",
    "persistent": b"\x80\x04Pabc\n.",
    "an extension": b"\x80\x04\x82\x01.",
    "a value named exponentially often": b"\x80\x04K\x01" + b"\x94h".join(
        [b"", *(bytes([i]) + b"\x86" for i in range(40))]) + b".",
}  # fmt: skip


@pytest.mark.parametrize("name", HANDMADE)
def test_handmade_bytes_are_refused(tmp_path, name):
    with pytest.raises(FileFormatError, match=r"a\.pkl is refused"):
        read_inert_pickle(written(tmp_path / "a.pkl", HANDMADE[name]))


@pytest.mark.parametrize("cut", [1, 5, 20, 60, 120])
def test_cut_off(tmp_path, cut):
    data = pickle.dumps((np.eye(3), np.eye(4)), 4)
    with pytest.raises(FileFormatError, match=r"a\.pkl"):
        read_inert_pickle(written(tmp_path / "a.pkl", data[:-cut]))


def test_arrays_that_lie_about_their_size(tmp_path):
    data = pickle.dumps(np.zeros((3, 4)), 2)
    grown = data.replace(b"K\x03K\x04\x86", b"J" + struct.pack("<i", 1 << 30) + b"K\x04\x86")
    assert grown != data
    with pytest.raises(FileFormatError, match="refused"):
        read_inert_pickle(written(tmp_path / "a.pkl", grown))


def test_random_bytes_never_escape(tmp_path):
    generator = np.random.default_rng(0)
    good = pickle.dumps((np.eye(3), [np.array(["1", "22"])]), 4)
    for _ in range(400):
        data = bytearray(good)
        for place in generator.integers(0, len(data), 3):
            data[place] = generator.integers(0, 256)
        try:
            read_inert_pickle(written(tmp_path / "a.pkl", bytes(data)))
        except FileFormatError as error:
            assert "a.pkl" in str(error)


def test_large_files_are_not_read(tmp_path):
    data = pickle.dumps(b"x" * inert_pickle.MAX_BYTES)
    with pytest.raises(FileFormatError, match="larger than"):
        read_inert_pickle(written(tmp_path / "a.pkl", data))


def test_many_opcodes_are_not_followed(tmp_path):
    data = pickle.dumps([None] * (inert_pickle.MAX_OPCODES + 1))
    with pytest.raises(FileFormatError, match="too many opcodes"):
        read_inert_pickle(written(tmp_path / "a.pkl", data))
