import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.decomposition.gbuffer import (
    MIN_CONTRIBUTION_PX,
    contributions,
    draw,
    in_planes,
    join_planes,
    some_gaussians,
    split_planes,
    unit,
)


def test_channels_come_back_by_name():
    rasterize, cameras, splats = get_rasterizer("cpu"), orbit(1, 20, 16), ball(100)
    channels = {"color": splats.sh[:, 0], "height": splats.means[:, 2:]}
    drawn = draw(rasterize, splats.gaussians(), channels, cameras)
    for name, values in channels.items():
        alone = rasterize(splats.gaussians(), values, cameras).features[0]
        torch.testing.assert_close(drawn.maps[name], alone)
    rows, columns = drawn.covered // 20, drawn.covered % 20
    assert (drawn.alpha[rows, columns] > 0.01).all()
    assert int((drawn.alpha > 0.01).sum()) == len(drawn.covered)
    straight = drawn.at_covered("height")
    assert float(straight.abs().max()) < 1.1, "divided by alpha, also at the rim"
    back = drawn.spread(straight, drawn.alpha) * drawn.alpha
    torch.testing.assert_close(back[rows, columns], drawn.maps["height"][rows, columns])
    assert float(back.abs().sum()) > 0


def test_view_directions_point_at_the_camera():
    cameras, splats = orbit(1, 20, 16), ball(100)
    channels = {"position": splats.means}
    drawn = draw(get_rasterizer("cpu"), splats.gaussians(), channels, cameras)
    toward = cameras.centers[0] - drawn.at_covered("position")
    cosine = torch.nn.functional.cosine_similarity(toward, drawn.view_directions(), dim=-1)
    assert float(cosine.min()) > 0.96


def test_constants_stay_constant_and_the_rest_learns():
    """Geometry is fixed here, so coverage is no function of what is learnt."""
    splats, cameras = ball(100), orbit(1, 20, 16)
    color = splats.sh[:, 0].clone().requires_grad_()
    drawn = draw(
        get_rasterizer("cpu"), splats.gaussians(), {"color": color, "normal": splats.means},
        cameras, torch.rand(100, 1) + 0.5, {"raw": splats.sh[:, 0]},
    )  # fmt: skip
    learning = {name for name, image in drawn.maps.items() if image.requires_grad}
    assert learning == {"color"} and not drawn.alpha.requires_grad
    assert drawn.at_covered("color").requires_grad
    assert not drawn.at_covered("normal").requires_grad
    picked = drawn.pick(drawn.maps["color"])
    torch.testing.assert_close(picked / drawn.coverage, drawn.at_covered("color"))
    with_color = drawn.put(picked, drawn.maps["raw"])
    assert torch.equal(drawn.pick(with_color), picked)
    (grad,) = torch.autograd.grad(with_color.sum(), picked)
    assert torch.equal(grad, torch.ones_like(picked))


def test_planes_hold_the_same_values():
    values = torch.rand(4, 5, 6)
    planes = in_planes(values)
    assert torch.equal(planes, values) and planes[..., 0].is_contiguous()
    parts = split_planes(planes, [1, 3, 2])
    assert torch.equal(join_planes(parts), values)
    vectors = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]], requires_grad=True)
    found = unit(in_planes(vectors), 1e-6)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.0, 0.8], [0.0, 0.0, 0.0]]))
    found.sum().backward()
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()


def test_what_is_left_out_does_not_show():
    rasterize, splats = get_rasterizer("cpu"), ball(600)
    for cameras in (orbit(3, 24, 24)[index : index + 1] for index in range(3)):
        found = contributions(rasterize, splats.gaussians(), cameras)
        rows = (found > MIN_CONTRIBUTION_PX).nonzero()[:, 0]
        assert 0.1 * 600 < len(rows) < 0.7 * 600
        whole = rasterize(splats.gaussians(), splats.sh[:, 0], cameras)
        part = rasterize(some_gaussians(splats.gaussians(), rows), splats.sh[rows, 0], cameras)
        assert float((whole.features - part.features).abs().max()) < 0.02
        assert float((whole.features - part.features).abs().mean()) < 0.002


def test_nothing_contributes_to_a_camera_that_looks_away():
    cameras = orbit(1, 16, 16)
    turn = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    cameras = type(cameras)(turn @ cameras.world_to_camera, cameras.intrinsics, 16, 16)
    assert not contributions(get_rasterizer("cpu"), ball(50).gaussians(), cameras).any()


def test_contributions_are_found_without_gradients_around():
    rasterize, cameras, splats = get_rasterizer("cpu"), orbit(1, 16, 16), ball(60)
    with torch.no_grad():
        found = contributions(rasterize, splats.gaussians(), cameras)
    assert torch.equal(found, contributions(rasterize, splats.gaussians(), cameras))


def test_contributions_sum_to_the_coverage():
    rasterize, cameras, splats = get_rasterizer("cpu"), orbit(1, 24, 24), ball(200)
    alpha = rasterize(splats.gaussians(), splats.means, cameras).alpha
    found = contributions(rasterize, splats.gaussians(), cameras)
    torch.testing.assert_close(found.sum(), alpha.sum())


def test_equal_weights_change_nothing(generator):
    rasterize, cameras, splats = get_rasterizer("cpu"), orbit(1, 20, 16), ball(100)
    channels = {"height": splats.means[:, 2:]}
    alone = draw(rasterize, splats.gaussians(), channels, cameras)
    weighed = draw(rasterize, splats.gaussians(), channels, cameras, torch.full((100, 1), 0.3))
    torch.testing.assert_close(weighed.maps["height"], alone.maps["height"])
    torch.testing.assert_close(weighed.alpha, alone.alpha)


def test_weights_take_part_in_means_but_not_in_coverage():
    """Two splats in one pixel's way: the mean leans to the one that counts more."""
    rasterize, cameras, splats = get_rasterizer("cpu"), orbit(1, 20, 16), ball(100)
    weight = torch.linspace(0.05, 1.0, 100)[:, None]
    surface, plain = {"mark": torch.ones(100, 1)}, {"raw": splats.sh[:, 0]}
    drawn = draw(rasterize, splats.gaussians(), surface, cameras, weight, plain)
    torch.testing.assert_close(drawn.maps["mark"], drawn.alpha, atol=1e-5, rtol=1e-4)
    alone = rasterize(splats.gaussians(), splats.sh[:, 0], cameras).features[0]
    torch.testing.assert_close(drawn.maps["raw"], alone)
    assert set(drawn.maps) == {"mark", "raw"}
    marks = {"index": torch.arange(100.0)[:, None]}
    even = draw(rasterize, splats.gaussians(), marks, cameras)
    leaning = draw(rasterize, splats.gaussians(), marks, cameras, weight)
    assert float(leaning.at_covered("index").mean()) > float(even.at_covered("index").mean()) + 3
