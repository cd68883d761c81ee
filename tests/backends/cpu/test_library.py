import pytest
import torch

from relight3d.backends.cpu import library
from relight3d.core.errors import BackendUnavailableError, ConfigurationError


def test_baseline_is_always_there():
    assert library.available_isas()[-1] == "baseline"


def test_widest_is_chosen(monkeypatch):
    monkeypatch.delenv(library.ISA_VARIABLE, raising=False)
    assert library.chosen_isa() == library.available_isas()[0]


def test_environment_overrides(monkeypatch):
    monkeypatch.setenv(library.ISA_VARIABLE, "baseline")
    assert library.chosen_isa() == "baseline"
    with library.use_isa(library.available_isas()[0]):
        assert library.chosen_isa() == library.available_isas()[0]
    assert library.chosen_isa() == "baseline"


def test_unknown_isa_names_the_known_ones(monkeypatch):
    monkeypatch.setenv(library.ISA_VARIABLE, "avx1024")
    with pytest.raises(ConfigurationError, match=r"'avx1024'.*baseline"):
        library.chosen_isa()


def test_lanes_match_the_name():
    """Each library really is compiled for its instruction set."""
    lanes = {"avx512": 16, "avx2": 8, "baseline": 4}
    for isa in library.available_isas():
        assert library._open(isa).r3d_lanes() == lanes[isa]


def test_missing_library_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "library_path", lambda isa: tmp_path / "libraster.so")
    library._open.cache_clear()
    with pytest.raises(BackendUnavailableError, match=r"python -m relight3d\.backends\.cpu\.build"):
        library._open("baseline")
    library._open.cache_clear()


def test_library_for_another_machine_says_how_to_get_it(monkeypatch, tmp_path):
    path = tmp_path / "libraster.so"
    path.write_bytes(b"not a library for this machine")
    monkeypatch.setattr(library, "library_path", lambda isa: path)
    library._open.cache_clear()
    with pytest.raises(BackendUnavailableError, match="did not load"):
        library._open("baseline")
    library._open.cache_clear()


def test_all_processors_are_used_whatever_torch_does(monkeypatch):
    """The chain gives torch one thread; the kernel must not follow."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(library.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert library.get_num_threads() == 6
    finally:
        torch.set_num_threads(before)
    for wish, expected in (("2", 2), ("40", 6), ("", 6), ("many", 6), ("0", 1), ("3,1", 3)):
        monkeypatch.setenv("OMP_NUM_THREADS", wish)
        assert library.get_num_threads() == expected, wish
    monkeypatch.setattr(library.os, "sched_getaffinity", lambda _: set(range(500)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert library.get_num_threads() == library.MAX_THREADS


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", library.MAX_THREADS), ("150000 100000", 2), ("20000 100000", 1), ("x", 16)],
)
def test_a_container_may_have_fewer_processors_than_it_sees(tmp_path, text, expected):
    path = tmp_path / "cpu.max"
    assert library._quota_in(path) == library.MAX_THREADS
    path.write_text(text + "\n")
    assert library._quota_in(path) == expected


def test_a_library_built_from_other_sources_is_refused(monkeypatch):
    library._open.cache_clear()
    monkeypatch.setattr(library, "ABI", library.ABI + 1)
    try:
        with pytest.raises(BackendUnavailableError, match="other sources"):
            library._open("baseline")
    finally:
        library._open.cache_clear()


def test_the_number_of_threads_can_be_fixed():
    library.set_num_threads(7)
    try:
        assert library.get_num_threads() == 7
    finally:
        library.set_num_threads(None)
    with pytest.raises(ConfigurationError, match="at least 1"):
        library.set_num_threads(0)
