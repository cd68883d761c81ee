import torch
from balls import ball
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.decomposition.gbuffer import contributing, draw, some_gaussians


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


def test_what_is_left_out_does_not_show():
    rasterize, splats = get_rasterizer("cpu"), ball(600)
    for cameras in (orbit(3, 24, 24)[index : index + 1] for index in range(3)):
        rows = contributing(rasterize, splats.gaussians(), cameras)
        assert 0.1 * 600 < len(rows) < 0.7 * 600
        whole = rasterize(splats.gaussians(), splats.sh[:, 0], cameras)
        part = rasterize(some_gaussians(splats.gaussians(), rows), splats.sh[rows, 0], cameras)
        assert float((whole.features - part.features).abs().max()) < 0.02
        assert float((whole.features - part.features).abs().mean()) < 0.002


def test_nothing_contributes_to_a_camera_that_looks_away():
    cameras = orbit(1, 16, 16)
    turn = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    cameras = type(cameras)(turn @ cameras.world_to_camera, cameras.intrinsics, 16, 16)
    assert len(contributing(get_rasterizer("cpu"), ball(50).gaussians(), cameras)) == 0


def test_contributions_are_found_without_gradients_around():
    rasterize, cameras, splats = get_rasterizer("cpu"), orbit(1, 16, 16), ball(60)
    with torch.no_grad():
        found = contributing(rasterize, splats.gaussians(), cameras)
    assert torch.equal(found, contributing(rasterize, splats.gaussians(), cameras))
