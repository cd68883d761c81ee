"""The fused operators of training against the plain ones of core in float64, for every ISA."""

# pyright: reportCallIssue=false

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from relight3d.backends import fused
from relight3d.backends.cpu import library, training_ops
from relight3d.core.planes import pixel_rays
from relight3d.core.types import Cameras

Tensors = list[Tensor]


@pytest.fixture(params=library.available_isas())
def isa(request):
    """Each instruction set that runs here."""
    with library.use_isa(request.param):
        yield request.param


def results(function: Callable[..., Tensor], leaves: Tensors, weight: Tensor) -> Tensors:
    """Value, and gradients of its product with `weight`, as float64."""
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    value = function(*leaves)
    (value * weight.to(value)).sum().backward()
    grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    return [tensor.detach().double() for tensor in (value, *grads)]


def compare(function: Callable[..., Tensor], leaves: Tensors, weight: Tensor) -> None:
    """The kernel in float32 against torch in float64: relative L2 below 1e-5."""
    assert fused.kernel_serves(*leaves)
    found = results(function, leaves, weight)
    expected = results(function, [leaf.double() for leaf in leaves], weight)
    for ours, truth in zip(found, expected, strict=True):
        assert (ours - truth).norm() <= 1e-5 * truth.norm() + 1e-12, (ours - truth).norm()


def splats(count: int, rest: int, generator: torch.Generator) -> Tensors:
    """Coefficients, means and quaternions of any length."""
    shapes = [(count, 1, 3), (count, rest, 3), (count, 3), (count, 4)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 1037])
def test_splat_look(isa, degree, count, generator):
    leaves = splats(count, 15 if degree == 3 else 8, generator)
    center, weight = torch.tensor([0.3, -2.0, 4.0]), torch.randn(count, 7, generator=generator)
    compare(lambda *s: fused.splat_look(*s, center.to(s[0]), degree), leaves, weight)


def test_no_splats_look_like_nothing(isa, generator):
    leaves = splats(0, 15, generator)
    assert fused.splat_look(*leaves, torch.zeros(3), 3).shape == (0, 7)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 40, 3), (37, 23, 3), (64, 50, 1)])
@pytest.mark.parametrize("dssim_weight", [0.0, 0.2, 1.0])
def test_photometric(isa, shape, dssim_weight, generator):
    image, target = torch.rand(2, *shape, generator=generator)
    target = target.where(torch.rand(shape, generator=generator) > 0.2, image)  # some are equal
    compare(lambda x, y: fused.photometric(x, y, dssim_weight), [image, target], torch.tensor(1.7))


def bumpy_surface(height: int, width: int, generator: torch.Generator) -> tuple[Tensors, Tensor]:
    """Drawn normals, distances and coverage of a rough sheet with a jump in depth and a hole."""
    intrinsics = torch.tensor([[12.0, 0, width / 2], [0, 12.0, height / 2], [0, 0, 1]])
    rays = pixel_rays(Cameras(torch.eye(4)[None], intrinsics[None], width, height))
    depth = 4 + 0.1 * torch.rand(height, width, 1, generator=generator)
    depth[:, width // 2 :] += 0.5
    normal = torch.randn(height, width, 3, generator=generator) * 0.2 - torch.tensor([0, 0, 1.0])
    normal = torch.nn.functional.normalize(normal, dim=-1)
    normal[:2] = torch.tensor([1.0, 0, 0])  # seen edge-on: the bounded divisor of depth
    alpha = 0.6 + 0.39 * torch.rand(height, width, 1, generator=generator)
    alpha[height // 2, 2] = 0.1
    distance = depth * (normal * rays).sum(-1, keepdim=True)
    return [0.95 * normal * alpha, distance * alpha, alpha], rays


@pytest.mark.parametrize("shape", [(3, 3), (31, 42)])
def test_surface_agreement(isa, shape, generator):
    leaves, rays = bumpy_surface(*shape, generator)
    compare(
        lambda *maps: torch.stack(fused.surface_agreement(*maps, rays.to(maps[0]))),
        leaves, torch.tensor([1.3, -0.7]),
    )  # fmt: skip


def test_nothing_drawn_has_a_finite_gradient(isa):
    maps, rays = [torch.zeros(5, 6, channels) for channels in (3, 1, 1)], torch.ones(5, 6, 3)
    found = results(lambda *m: torch.stack(fused.surface_agreement(*m, rays)), maps, torch.ones(2))
    assert all(torch.isfinite(tensor).all() for tensor in found)
    assert found[0].abs().sum() == 0


def test_pictures_of_two_pixels_have_no_surface(generator):
    maps = [
        torch.rand(2, 9, channels, generator=generator).requires_grad_() for channels in (3, 1, 1)
    ]
    consistency, spread = fused.surface_agreement(*maps, torch.ones(2, 9, 3))
    assert float(consistency.detach()) == 0.0
    assert float(spread.detach()) > 0.0
    (consistency + spread).backward()


def test_no_gradient_is_prepared_where_none_is_wanted(generator, monkeypatch):
    image, target = torch.rand(2, 12, 13, 3, generator=generator)
    asked = []
    monkeypatch.setattr(training_ops.library, "call", lambda *given: asked.append(given[-2:]))
    with torch.no_grad():
        fused.photometric(image.requires_grad_(), target, 0.2)
    fused.photometric(image, target, 0.2)
    assert asked[0] == (None, None)
    assert asked[1][0] is not None
    assert asked[1][1] is None


def test_one_bad_pixel_stays_alone_without_ssim(isa):
    image = torch.zeros(9, 9, 3)
    image[4, 4, 0] = float("nan")
    image.requires_grad_()
    fused.photometric(image, torch.ones(9, 9, 3), 0.0).backward()
    assert image.grad is not None
    assert int((image.grad == 0).sum()) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: fused.photometric(torch.rand(1, 8, 8, 3), torch.rand(1, 8, 8, 3), 0.2),
        lambda: fused.photometric(torch.rand(8, 8, 3), torch.rand(8, 4, 3), 0.2),
        lambda: fused.splat_look(*(torch.rand(5, *s) for s in ((1, 3), (3, 3), (3,), (4,))),
                                 torch.zeros(3), 2),
        lambda: fused.splat_look(torch.rand(2, 1, 3), torch.rand(5, 15, 3), torch.rand(5, 3),
                                 torch.rand(5, 4), torch.zeros(3), 3),
        lambda: fused.surface_agreement(torch.rand(8, 8, 3), torch.rand(8, 8, 1),
                                        torch.rand(8, 8, 1), torch.rand(4, 4, 3)),
    ],
)  # fmt: skip
def test_wrong_shapes_never_reach_the_kernel(call, monkeypatch):
    def reached(*_):
        pytest.fail("the kernel was called")

    monkeypatch.setattr(training_ops.library, "call", reached)
    with pytest.raises((AssertionError, TypeError)):  # ours, or jaxtyping's before it
        call()


def test_threads_change_no_bit(generator):
    leaves, rays = bumpy_surface(45, 52, generator)
    image, target = torch.rand(2, 45, 52, 3, generator=generator)
    some, weight = splats(2000, 15, generator), torch.randn(2000, 7, generator=generator)
    calls = [
        (lambda *m: torch.stack(fused.surface_agreement(*m, rays)), leaves, torch.ones(2)),
        (lambda x: fused.photometric(x, target, 0.2), [image], torch.ones(())),
        (lambda *s: fused.splat_look(*s, torch.ones(3), 3), some, weight),
    ]
    for call in calls:
        found = []
        for threads in (1, 3):
            library.set_num_threads(threads)
            try:
                found.append(results(*call))
            finally:
                library.set_num_threads(None)
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
