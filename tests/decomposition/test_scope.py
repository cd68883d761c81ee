import torch

from relight3d.decomposition.scope import Scope
from relight3d.shading.visibility import Sphere

POINTS = torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [9.0, 9.0, 9.0]])


def test_everything_has_no_limit():
    assert Scope.everything().contains(POINTS).tolist() == [[1.0], [1.0], [1.0]]


def test_a_sphere_contains_its_inside():
    scope = Scope(Sphere(torch.tensor([1.0, 0.0, 0.0]), 2.0))
    assert scope.contains(POINTS).tolist() == [[1.0], [1.0], [0.0]]
