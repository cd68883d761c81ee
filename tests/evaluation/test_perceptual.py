import hashlib
import math
import sys

import numpy as np
import pytest
import torch

from relight3d.core.errors import ConfigurationError, EvaluationError, FileFormatError
from relight3d.evaluation import perceptual, perceptual_weights
from relight3d.evaluation.perceptual import SMALLEST_PX, Lpips, load_lpips, why_absent
from relight3d.evaluation.perceptual_weights import FOLDER_VARIABLE, TRUNKS, Net, read_weights

NETS = pytest.mark.parametrize("net", ["alex", "vgg"])
CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def random_weights(net: Net) -> tuple[dict, dict]:
    """He-scaled trunk, and linear layers in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    trunk = {}
    for step in perceptual._ARCHITECTURE[net]:
        shape = (step.outputs, step.inputs, step.kernel, step.kernel)
        scale = math.sqrt(2 / math.prod(shape[1:]))
        trunk[f"features.{step.index}.weight"] = scale * torch.randn(shape, generator=generator)
        trunk[f"features.{step.index}.bias"] = 0.1 * torch.randn(shape[:1], generator=generator)
    layers = {
        f"lin{i}.model.1.weight": torch.rand((1, c, 1, 1), generator=generator)
        for i, c in enumerate(CHANNELS[net])
    }
    return trunk, layers


def two_pictures(size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.random((size, size + 3, 3))
    return np.clip(truth + 0.2 * random.standard_normal(truth.shape), 0, 1), truth


def written_out(net: str, trunk: dict, layers: dict, pictures: list, stretched: bool) -> float:
    """The definition once more, from torch's layers as the published networks list them."""
    nn = torch.nn
    if net == "alex":
        kinds = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
        kinds += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
        kinds += [nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()]
        kinds += [nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()]
        kinds += [nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()]
        taps = [1, 4, 7, 9, 11]
    else:
        kinds, width = [], 3
        for entry in (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", *2 * (512, 512, 512, "M")):
            if isinstance(entry, str):
                kinds.append(nn.MaxPool2d(2, 2))
            else:
                kinds += [nn.Conv2d(width, entry, 3, padding=1), nn.ReLU()]
                width = entry
        taps = [3, 8, 15, 22, 29]
    network = nn.Sequential(*kinds)
    network.load_state_dict({k.removeprefix("features."): v for k, v in trunk.items()})
    features = []
    for picture in pictures:
        x = torch.from_numpy(picture).float().permute(2, 0, 1)[None]
        x = x * 2 - 1 if stretched else x
        shift, scale = torch.tensor([-0.03, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.45])
        x = (x - shift[:, None, None]) / scale[:, None, None]
        found = []
        for i, layer in enumerate(list(network)[: taps[-1] + 1]):
            x = layer(x)
            if i in taps:
                found.append(torch.nn.functional.normalize(x, dim=1, eps=1e-10))
        features.append(found)
    total = 0.0
    for i, (a, b) in enumerate(zip(*features, strict=True)):
        weights = layers[f"lin{i}.model.1.weight"][0, :, 0, 0]
        total += float(torch.einsum("c,chw->hw", weights, (a - b)[0] ** 2).mean())
    return total


@NETS
@pytest.mark.parametrize("stretched", [True, False])
@torch.no_grad()
def test_agrees_with_the_definition_written_out(net, stretched):
    trunk, layers = random_weights(net)
    picture, truth = two_pictures()
    found = Lpips(net, trunk, layers).distance(picture, truth, "normalised" if stretched else "raw")
    expected = written_out(net, trunk, layers, [picture, truth], stretched)
    assert found > 1e-3
    assert found == pytest.approx(expected, rel=1e-4)


@NETS
def test_zero_for_equal_pictures_and_symmetric(net):
    lpips = Lpips(net, *random_weights(net))
    picture, truth = two_pictures(32)
    assert lpips.distance(truth, truth) == 0.0
    assert lpips.distance(picture, truth) == pytest.approx(lpips.distance(truth, picture))


@NETS
def test_the_smallest_picture(net):
    lpips = Lpips(net, *random_weights(net))
    least = SMALLEST_PX[net]
    picture, truth = two_pictures(least)
    assert math.isfinite(lpips.distance(picture, truth))
    picture, truth = two_pictures(least - 1)
    with pytest.raises(EvaluationError, match=f"at least {least} pixels"):
        lpips.distance(picture, truth)


def test_nan_and_unknown_ranges_are_refused():
    lpips = Lpips("alex", *random_weights("alex"))
    picture, truth = two_pictures()
    with pytest.raises(ConfigurationError, match="input range"):
        type(lpips).distance.__wrapped__(lpips, picture, truth, "bytes")
    picture[0, 0, 0] = np.nan
    with pytest.raises(EvaluationError, match="NaN"):
        lpips.distance(picture, truth)


def test_weights_of_another_network_are_refused():
    trunk, layers = random_weights("vgg")
    with pytest.raises(FileFormatError, match=r"features\.0\.weight"):
        Lpips("alex", trunk, layers)
    alex, _ = random_weights("alex")
    with pytest.raises(FileFormatError, match=r"lin1\.model"):
        Lpips("alex", alex, layers)
    alex["features.3.bias"][0] = float("nan")
    with pytest.raises(FileFormatError, match="finite"):
        Lpips("alex", alex, random_weights("alex")[1])


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without any weights; returns the folder $RELIGHT3D_LPIPS names."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "own"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    sys.modules.pop("lpips", None)
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


@NETS
def test_without_weights_there_is_a_reason_and_no_number(nowhere, net):
    assert load_lpips(net) is None
    reason = why_absent(net)
    assert reason is not None
    assert TRUNKS[net] in reason and f"{net}.pth" in reason and FOLDER_VARIABLE in reason


def test_weights_are_found_in_the_own_folder(nowhere):
    trunk, layers = random_weights("alex")
    torch.save({**trunk, "classifier.1.weight": torch.zeros(2)}, nowhere / TRUNKS["alex"])
    assert load_lpips("alex") is None and "alex.pth" in str(why_absent("alex"))
    torch.save(layers, nowhere / "alex.pth")
    assert why_absent("alex") is None
    lpips = load_lpips("alex")
    assert lpips is not None
    picture, truth = two_pictures()
    expected = Lpips("alex", trunk, layers).distance(picture, truth)
    assert lpips.distance(picture, truth) == expected
    written = hashlib.sha256((nowhere / "alex.pth").read_bytes()).hexdigest()
    assert lpips.sha256["alex.pth"] == written
    assert not lpips.official


def test_weights_are_found_in_the_hub_cache_and_the_distribution(nowhere, monkeypatch):
    trunk, layers = random_weights("alex")
    hub, site = nowhere.parent / "hub" / "checkpoints", nowhere.parent / "site" / "lpips"
    (site / "weights" / "v0.1").mkdir(parents=True)
    hub.mkdir(parents=True)
    (site / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    torch.save(trunk, hub / TRUNKS["alex"])
    torch.save(layers, site / "weights" / "v0.1" / "alex.pth")
    digest = hashlib.sha256((site / "weights" / "v0.1" / "alex.pth").read_bytes()).hexdigest()
    monkeypatch.setitem(perceptual_weights.LAYERS_SHA256, "alex", digest)
    assert load_lpips("alex") is not None
    weights = read_weights("alex")
    assert weights is not None and not weights.official  # the trunk is not torchvision's
    assert "lpips" not in sys.modules


@pytest.mark.parametrize("content", [b"not a network", None])
def test_broken_files_are_refused(nowhere, content):
    torch.save(random_weights("alex")[0], nowhere / TRUNKS["alex"])
    if content is None:
        torch.save([1, 2], nowhere / "alex.pth")
    else:
        (nowhere / "alex.pth").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"alex\.pth"):
        load_lpips("alex")
