import torch

from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.types import Gaussians
from relight3d.export.resample import REACH, nearest_splat, resample

UP = torch.tensor([[0.0, 0.0, 1.0]])


def discs(means, radius=0.1, opacity=0.9) -> Gaussians:
    means = torch.as_tensor(means, dtype=torch.float32)
    count = len(means)
    return Gaussians(
        means=means,
        quats_wxyz=torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        scales=torch.tensor([[radius, radius, radius / 100]]).repeat(count, 1),
        opacities=torch.full((count,), opacity),
    )


def test_weights_by_hand():
    """Two discs, 1 and 2 standard deviations away; one is half as opaque."""
    splats = discs([[0.1, 0, 0], [-0.2, 0, 0]])
    splats.opacities[1] = 0.45
    mean, weight = resample(
        torch.zeros(1, 3), UP, splats, UP.repeat(2, 1), torch.tensor([[1.0], [3.0]]), 0.01
    )
    first, second = 0.9 * torch.exp(torch.tensor([-0.5])), 0.45 * torch.exp(torch.tensor([-2.0]))
    torch.testing.assert_close(weight[0], first + second)
    torch.testing.assert_close(mean[0], (first + 3 * second) / (first + second))


def test_agrees_with_the_definition_for_splats_of_any_shape():
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.rand(*shape, generator=generator)

    splats = Gaussians(
        random(300, 3), random(300, 4) - 0.5, 0.02 + 0.1 * random(300, 3), random(300)
    )
    normals = torch.nn.functional.normalize(random(300, 3) - 0.5, dim=-1)
    points, up = random(2000, 3), torch.nn.functional.normalize(random(2000, 3) - 0.5, dim=-1)
    values, tolerance = random(300, 4), 0.05
    mean, weight = resample(points, up, splats, normals, values, tolerance)
    axes = matrix_from_quaternion(splats.quats_wxyz).double()
    local = torch.einsum("pkj,kji->pki", (points[:, None] - splats.means).double(), axes)
    scales = splats.scales.double().clone()
    thin = scales.argmin(-1, keepdim=True)
    scales.scatter_(1, thin, scales.gather(1, thin).clamp_min(tolerance))
    distance2 = ((local / scales) ** 2).sum(-1)
    expected = splats.opacities * torch.exp(-0.5 * distance2) * (up @ normals.T).clamp_min(0) ** 2
    expected = torch.where(distance2 < REACH**2, expected, 0.0)
    total = expected.sum(1, keepdim=True)
    torch.testing.assert_close(weight, total.float(), atol=2e-4, rtol=1e-3)
    sure = total[:, 0] > 1e-2
    assert sure.float().mean() > 0.2
    wanted = (expected @ values.double() / total)[sure]
    torch.testing.assert_close(mean[sure], wanted.float(), atol=2e-3, rtol=1e-3)


def test_the_other_side_of_a_sheet_does_not_count():
    splats = discs([[0, 0, 0], [0, 0, -0.01]])
    normals = torch.cat([UP, -UP])
    values = torch.tensor([[1.0], [2.0]])
    points = torch.zeros(2, 3)
    mean, _ = resample(points, torch.cat([UP, -UP]), splats, normals, values, 0.02)
    torch.testing.assert_close(mean, values)


def test_a_surface_beside_its_splats_still_finds_them():
    splats = discs([[0, 0, 0]])
    beside = torch.tensor([[0.0, 0.0, 0.02]])
    for tolerance, found in ((0.02, True), (0.002, False)):
        _, weight = resample(beside, UP, splats, UP, torch.ones(1, 1), tolerance)
        assert (weight > 0.1).all() == found


def test_where_nothing_reaches_the_weight_is_zero():
    mean, weight = resample(
        torch.full((1, 3), 5.0), UP, discs([[0, 0, 0]]), UP, torch.ones(1, 2), 0.01
    )
    assert weight.item() == 0
    assert (mean == 0).all()
    mean, weight = resample(
        torch.zeros(0, 3), UP[:0], discs([[0, 0, 0]]), UP, torch.ones(1, 2), 0.01
    )
    assert mean.shape == (0, 2)


def test_nearest_prefers_what_can_be_seen():
    splats = discs([[0, 0, 0], [1, 0, 0], [3, 0, 0]])
    splats.opacities[0] = 0.01
    points = torch.tensor([[0.1, 0, 0], [2.5, 0, 0]])
    assert nearest_splat(points, splats).tolist() == [1, 2]
    splats.opacities[:] = 0.01
    assert nearest_splat(points, splats).tolist() == [0, 2]
