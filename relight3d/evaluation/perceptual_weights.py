"""Where the weights of LPIPS lie on this machine, and how they are read. Nothing is downloaded.

Two files make one network: the trunk trained on ImageNet, as torchvision publishes it, and the
five linear layers of LPIPS v0.1. Both are looked for in the folder $RELIGHT3D_LPIPS first, then the
trunk in torch's hub cache and the layers inside the installed distribution `lpips`, which is not
imported.
"""

import dataclasses
import hashlib
import importlib.util
import io
import os
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from relight3d.core.errors import FileFormatError
from relight3d.files.reading import read_whole

Net = Literal["vgg", "alex"]
FOLDER_VARIABLE = "RELIGHT3D_LPIPS"

TRUNKS: dict[Net, str] = {"vgg": "vgg16-397923af.pth", "alex": "alexnet-owt-7be5be79.pth"}
"""File names at torchvision; the digits are the first of the file's SHA-256."""

LAYERS_SHA256: dict[Net, str] = {
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
}
"""Of weights/v0.1/NET.pth in lpips 0.1.4."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """The tensors of both files, and which files they were."""

    trunk: dict[str, Tensor]
    layers: dict[str, Tensor]
    sha256: dict[str, str]
    """By file name."""
    official: bool
    """Whether both are the files their authors published, by their SHA-256."""


def trunk_path(net: Net) -> Path | None:
    """The trunk's file, if it is on this machine."""
    places = [*_own_folder(), Path(torch.hub.get_dir()) / "checkpoints"]
    return _first_file([place / TRUNKS[net] for place in places])


def layers_path(net: Net) -> Path | None:
    """The file of the linear layers, if it is on this machine."""
    spec = importlib.util.find_spec("lpips")
    installed = list(spec.submodule_search_locations or []) if spec is not None else []
    places = [*_own_folder(), *(Path(place) / "weights" / "v0.1" for place in installed)]
    return _first_file([place / f"{net}.pth" for place in places])


def why_absent(net: Net) -> str | None:
    """What is missing and where to put it, in one sentence; None if nothing is."""
    missing = []
    if trunk_path(net) is None:
        missing.append(f"{TRUNKS[net]} (torchvision's trunk)")
    if layers_path(net) is None:
        missing.append(f"{net}.pth (linear layers, weights/v0.1 of lpips 0.1.4)")
    if not missing:
        return None
    return (
        f"LPIPS ({net}) was not computed: {' and '.join(missing)} not found on this machine, and "
        f"nothing is downloaded; put the files into a folder and name it in ${FOLDER_VARIABLE}."
    )


def read_weights(net: Net) -> Weights | None:
    """Both files as tensors by name, None if one is missing (`why_absent`). Shapes are not checked.

    Raises:
        FileFormatError: A file is not a plain table of tensors.
    """
    trunk, layers = trunk_path(net), layers_path(net)
    if trunk is None or layers is None:
        return None
    trunk_tensors, trunk_hash = _read(trunk)
    layer_tensors, layers_hash = _read(layers)
    promised = TRUNKS[net].removesuffix(".pth").rsplit("-", 1)[1]
    official = trunk_hash.startswith(promised) and layers_hash == LAYERS_SHA256[net]
    hashes = {trunk.name: trunk_hash, layers.name: layers_hash}
    return Weights(trunk_tensors, layer_tensors, hashes, official)


def _own_folder() -> list[Path]:
    folder = os.environ.get(FOLDER_VARIABLE)
    return [Path(folder)] if folder else []


def _first_file(candidates: list[Path]) -> Path | None:
    return next((path for path in candidates if path.is_file()), None)


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors by name, and the file's SHA-256."""
    what = "The LPIPS weights"
    data = read_whole(path, what)
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken bytes lead it to
        raise FileFormatError(
            f"{what} {path} cannot be read ({type(error).__name__}). Fetch the file again."
        ) from error
    tables = isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )
    if not tables:
        raise FileFormatError(
            f"{what} {path} is not a table of tensors by name. Fetch the published file."
        )
    return dict(content), hashlib.sha256(data).hexdigest()
