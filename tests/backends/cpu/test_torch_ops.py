"""The torch operators: what torch itself checks, and the life of the state between the passes."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scenes import bumpy_sphere

from relight3d.backends.cpu import library, torch_ops
from relight3d.backends.cpu.rasterize import rasterize
from relight3d.core.errors import Relight3dError
from relight3d.core.types import Gaussians


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """No test may leave a C++ context alive."""
    gc.collect()
    assert library.live_contexts() == 0
    yield
    gc.collect()
    assert library.live_contexts() == 0
    assert not torch_ops._contexts


def arguments(keep_state, channels=3, requires_grad=False):
    scene = bumpy_sphere(40, channels, 20, 17, views=2)
    leaves = scene.leaves() if requires_grad else scene
    cameras = (scene.cameras.world_to_camera.double(), scene.cameras.intrinsics.double())
    return *leaves.tensors().values(), *cameras, 20, 17, True, 0.01, 1e10, keep_state


@pytest.mark.parametrize("keep_state", [False, True])
def test_opcheck_forward(keep_state):
    torch.library.opcheck(
        torch_ops.rasterize_op,
        arguments(keep_state, requires_grad=keep_state),
        atol=1e-6,
        rtol=1e-5,
    )


def test_drawing_does_not_load_the_compiler_of_torch():
    """It takes two seconds, which every command would begin with."""
    code = (
        "import sys, torch, scenes\n"
        "from relight3d.backends.cpu.rasterize import rasterize\n"
        "from relight3d.pipeline.machine import prepare_torch\n"
        "prepare_torch()\n"
        "assert torch.are_deterministic_algorithms_enabled()\n"
        "scene = scenes.bumpy_sphere(40, 3, 20, 17).leaves()\n"
        "rasterize(scene.gaussians, scene.features, scene.cameras).features.sum().backward()\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    tests = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tests)


def likeness(x):
    return x.shape, x.stride(), x.dtype


def as_meta(values):
    return [x.to("meta") if isinstance(x, torch.Tensor) else x for x in values]


def test_shapes_without_data():
    """Under fake tensors nothing is drawn, but shapes, strides and types are the kernel's."""
    inputs = arguments(True)
    outputs = torch_ops.rasterize_op(*inputs)
    fakes = torch_ops.rasterize_op(*as_meta(inputs))
    assert [likeness(x) for x in fakes] == [likeness(x) for x in outputs]
    drawn, alpha, _, state = outputs
    # opcheck copies its inputs, and a copied state is refused by design: hence by hand.
    for of_geometry in (True, False):
        backward = (
            torch.ones_like(drawn).movedim(-1, 1),
            torch.ones_like(alpha),
            state,
            *inputs[:-1],
        )
        gradients = torch_ops.rasterize_backward_op(*backward, of_geometry)
        fakes = torch_ops.rasterize_backward_op(*as_meta(backward), of_geometry)
        assert [likeness(x) for x in fakes] == [likeness(x) for x in gradients]


@pytest.mark.parametrize("channels", [3, 18, 33])
def test_features_alone_have_the_same_gradient(channels):
    """Where the geometry is constant its gradient is not computed; nothing else may change."""
    scene = bumpy_sphere(60, channels, 40, 37, views=2)
    found = []
    for geometry in (True, False):
        leaves = scene.leaves()
        splats = leaves.gaussians
        if not geometry:
            splats = Gaussians(**{name: x.detach() for name, x in vars(splats).items()})
        raster = rasterize(splats, leaves.features, leaves.cameras)
        (raster.features.square().sum() + raster.alpha.sum()).backward()
        assert (leaves.gaussians.means.grad is not None) == geometry
        found.append(leaves.features.grad)
    assert torch.equal(*found)
    assert float(found[0].abs().sum()) > 0


def test_compiled_graph_draws_and_differentiates():
    *tensors, width, height, antialias, near, far, keep = arguments(True, requires_grad=True)

    def loss(*tensors):
        drawn, alpha, *_ = torch_ops.rasterize_op(
            *tensors, width, height, antialias, near, far, keep
        )
        return (2 * drawn).sin().sum() + alpha.square().sum()

    leaves = tensors[:5]
    expected = torch.autograd.grad(loss(*tensors), leaves)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    actual = torch.autograd.grad(compiled(*tensors), leaves)
    torch._dynamo.reset()
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


def draw(scene):
    leaves = scene.leaves()
    return leaves, rasterize(leaves.gaussians, leaves.features, leaves.cameras)


def test_context_lives_as_long_as_the_graph():
    scene = bumpy_sphere(50)
    leaves, raster = draw(scene)
    assert library.live_contexts() == 1
    loss = raster.features.sum()
    del raster
    assert library.live_contexts() == 1
    (first,) = torch.autograd.grad(loss, leaves.gaussians.means, retain_graph=True)
    (again,) = torch.autograd.grad(loss, leaves.gaussians.means)
    assert torch.equal(first, again)
    del loss
    assert library.live_contexts() == 0


def test_backward_frees_the_context_at_once():
    _, raster = draw(bumpy_sphere(50))
    raster.features.sum().backward()
    assert library.live_contexts() == 0
    assert raster.features.grad_fn is not None  # though the result still lives


def test_context_of_a_graph_that_is_dropped():
    results = [draw(bumpy_sphere(50)) for _ in range(3)]
    assert library.live_contexts() == 3
    del results
    assert library.live_contexts() == 0


def test_no_context_without_gradients():
    scene = bumpy_sphere(50)
    rasterize(scene.gaussians, scene.features, scene.cameras)
    assert library.live_contexts() == 0
    with torch.no_grad():
        draw(scene)
        assert library.live_contexts() == 0


def test_copied_state_is_an_error_and_no_crash():
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.clone(), lambda x: x):
        _, raster = draw(bumpy_sphere(50))
    with pytest.raises(Relight3dError, match="saved tensor was copied"):
        raster.features.sum().backward()


def test_changed_input_is_noticed():
    leaves, raster = draw(bumpy_sphere(50))
    with torch.no_grad():
        leaves.gaussians.scales.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        raster.features.sum().backward()
    del raster
