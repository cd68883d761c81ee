"""The bundled capture is whole, and the script that reduces captures keeps what it promises."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from relight3d.core.types import EnvironmentLight

if sys.version_info >= (3, 11):
    import tomllib
else:  # comes with pytest there
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "data" / "demo"


def load_script() -> ModuleType:
    path = ROOT / "scripts" / "make_demo_capture.py"
    spec = importlib.util.spec_from_file_location("make_demo_capture", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def test_the_bundled_capture_is_whole() -> None:
    manifest = tomllib.loads((ROOT / "data" / "manifest.toml").read_text(encoding="utf-8"))["demo"]
    assert script.folder_bytes(DEMO) == manifest["bytes"] < 4_000_000
    assert script.folder_digest(DEMO) == manifest["sha256"]


@pytest.mark.parametrize("change", ["content", "name", "missing"])
def test_the_digest_notices_every_change(tmp_path: Path, change: str) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    before = script.folder_digest(tmp_path)
    if change == "content":
        (tmp_path / "a").write_bytes(b"3")
    elif change == "name":
        (tmp_path / "a").rename(tmp_path / "c")
    else:
        (tmp_path / "b").unlink()
    assert script.folder_digest(tmp_path) != before


def test_reducing_a_light_keeps_its_energy(generator: torch.Generator) -> None:
    light = EnvironmentLight(torch.rand(64, 128, 3, generator=generator) ** 8 * 1000)
    reduced = script.reduce_environment(light, 16)
    assert reduced.radiance_linear.shape == (16, 32, 3)
    torch.testing.assert_close(mean_radiance(reduced), mean_radiance(light), rtol=1e-5, atol=0.0)


def mean_radiance(light: EnvironmentLight) -> torch.Tensor:
    """Mean over the sphere, by the exact solid angle of each row."""
    height = light.radiance_linear.shape[0]
    edges = torch.linspace(0, torch.pi, height + 1, dtype=torch.float64).cos()
    rows = light.radiance_linear.double().mean(1)
    return (rows * (edges[:-1] - edges[1:])[:, None]).sum(0) / 2


def test_a_height_that_does_not_divide_is_refused() -> None:
    with pytest.raises(SystemExit, match="must divide"):
        script.reduce_environment(EnvironmentLight(torch.ones(10, 20, 3)), 3)


def test_views_are_spread(tmp_path: Path) -> None:
    for index, x in enumerate([1.0, 0.99, -1.0, -0.99]):
        folder = tmp_path / f"train_{index:03d}"
        folder.mkdir()
        matrix = f"1,0,0,{x},0,1,0,0.1,0,0,1,0,0,0,0,1"
        (folder / "metadata.json").write_text(json.dumps({"cam_transform_mat": matrix}))
    chosen = script.spread_views(sorted(tmp_path.iterdir()), 2)
    assert [path.name for path in chosen] == ["train_000", "train_002"]
    with pytest.raises(SystemExit, match="has 4"):
        script.spread_views(sorted(tmp_path.iterdir()), 5)
