import torch
from sampling import uniform, unit_vectors

from relight3d.shading.montecarlo.planes import dot, in_planes, stack_planes, unit


def test_planes_hold_the_same_values_apart_in_memory():
    vectors = uniform(5, 7, 3)
    for planes in (in_planes(vectors), stack_planes(*vectors.unbind(-1))):
        assert torch.equal(planes, vectors)
        assert planes[..., 1].is_contiguous()


def test_dot_broadcasts():
    a, b = unit_vectors(4), unit_vectors(6, 4, seed=1)
    torch.testing.assert_close(dot(a, b), (a * b).sum(-1))


def test_unit_vectors_and_nothing():
    vectors = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]], requires_grad=True)
    found = unit(vectors)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.0, 0.8], [0.0, 0.0, 0.0]]))
    found.sum().backward()
    assert vectors.grad is not None and bool(vectors.grad.isfinite().all())
