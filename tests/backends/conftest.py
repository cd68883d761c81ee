import pytest

from relight3d.backends.cpu import library


@pytest.fixture
def no_kernel(monkeypatch, tmp_path):
    """As if the libraries had never been built."""
    monkeypatch.setattr(library, "library_path", lambda isa: tmp_path / f"libraster_{isa}.so")
    library._open.cache_clear()
    library.available_isas.cache_clear()
    yield
    library._open.cache_clear()
    library.available_isas.cache_clear()
