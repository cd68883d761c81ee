"""What every test shares: one thread, a seeded generator, a device, and the `gpu` mark."""

import pytest
import torch

torch.set_num_threads(1)


def gpu_missing_reason() -> str | None:
    """Why tests marked `gpu` cannot run here, or None if they can."""
    if not torch.cuda.is_available():
        return "no NVIDIA GPU that torch can use"
    try:
        import gsplat  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        return f"gsplat did not import ({error}); it comes with the extra [cuda]"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests last; skip tests marked `gpu`, with the reason, where they cannot run."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
    reason = gpu_missing_reason()
    for item in items:
        if reason is not None and item.get_closest_marker("gpu") is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def generator() -> torch.Generator:
    """A CPU generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device this machine can test on."""
    return torch.device(request.param)
