import torch
from balls import discs
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core import planes
from relight3d.core.types import Cameras

TILTED = torch.nn.functional.normalize(torch.tensor([0.5, -0.3, 0.8]), dim=0)
FOCAL, WIDTH, HEIGHT = 40.0, 32, 24


def camera_above(dtype=torch.float32) -> Cameras:
    """Five units above the origin, looking down."""
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    pose[2, 3] = 5.0
    intrinsics = torch.tensor([[FOCAL, 0, 15.0], [0, FOCAL, 13.0], [0, 0, 1.0]])
    return Cameras(pose[None].to(dtype), intrinsics[None].to(dtype), WIDTH, HEIGHT)


def plane_of_discs(spacing: float = 0.25):
    """Large discs scattered over the plane through the origin with normal `TILTED`."""
    u = torch.linalg.cross(TILTED, torch.tensor([0.0, 1.0, 0.0]))
    u = u / u.norm()
    v = torch.linalg.cross(TILTED, u)
    steps = torch.arange(-16, 17) * spacing
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).view(-1, 2)
    means = grid[:, :1] * u + grid[:, 1:] * v
    normals = TILTED.expand(len(means), 3)
    return discs(means, normals, 1.5 * spacing, torch.full((len(means), 3), 0.5), opacity=0.6)


def true_depth(cameras: Cameras, normal=TILTED):
    rays, center = planes.pixel_rays(cameras), cameras.centers[0]
    return -(center @ normal) / (rays @ normal)[..., None]


def drawn_plane():
    cameras, splats = camera_above(), plane_of_discs()
    center = cameras.centers[0]
    normals = planes.facing(planes.splat_normals(splats.quats_wxyz), splats.means, center)
    distance = planes.plane_distance(normals, splats.means, center)
    raster = get_rasterizer("cpu")(splats.gaussians(), torch.cat([normals, distance], -1), cameras)
    return cameras, raster.features[0], raster.alpha[0]


def test_rendered_depth_of_a_tilted_plane_is_exact():
    """Discs with centres off the pixel's ray still give the depth of the plane on it."""
    cameras, channels, alpha = drawn_plane()
    depth = planes.plane_depth(channels[..., :3], channels[..., 3:], planes.pixel_rays(cameras))
    assert float(alpha.min()) > 0.9
    torch.testing.assert_close(depth, true_depth(cameras), rtol=2e-5, atol=0.0)


def test_half_transparent_planes_have_the_same_depth():
    cameras, channels, _ = drawn_plane()
    rays = planes.pixel_rays(cameras)
    full = planes.plane_depth(channels[..., :3], channels[..., 3:], rays)
    faint = planes.plane_depth(0.05 * channels[..., :3], 0.05 * channels[..., 3:], rays)
    torch.testing.assert_close(faint, full)


def test_undrawn_pixels_have_depth_zero():
    zero = torch.zeros(2, 2, 3)
    depth = planes.plane_depth(zero, zero[..., :1], torch.ones(2, 2, 3))
    assert torch.equal(depth, torch.zeros(2, 2, 1))


def test_grazing_planes_do_not_explode():
    rays = torch.tensor([[[0.0, 0.0, 1.0]]])
    grazing = torch.tensor([[[1.0, 0.0, -1e-6]]])
    depth = planes.plane_depth(grazing, torch.full((1, 1, 1), -1.0), rays)
    assert float(depth) <= 1.0 / planes.GRAZING + 1e-4


def test_normals_from_depth_of_a_plane():
    cameras = camera_above(torch.float64)
    normals = planes.normals_from_depth(
        true_depth(cameras, TILTED.double()), planes.pixel_rays(cameras)
    )
    assert normals.shape == (HEIGHT - 2, WIDTH - 2, 3)
    torch.testing.assert_close(normals, TILTED.double().expand_as(normals))


def test_rays_hit_their_pixels_and_have_unit_depth():
    cameras = orbit(3, 14, 10).to(dtype=torch.float64)
    rays = planes.pixel_rays(cameras, 2)
    rotation = cameras.world_to_camera[2, :3, :3]
    local = rays @ rotation.T
    torch.testing.assert_close(local[..., 2], torch.ones(10, 14).double())
    pixels = local @ cameras.intrinsics[2].T
    rows, columns = torch.meshgrid(torch.arange(10), torch.arange(14), indexing="ij")
    expected = torch.stack([columns, rows], -1).double() + 0.5
    torch.testing.assert_close(pixels[..., :2], expected, rtol=0.0, atol=1e-5)


def test_facing_and_distance(generator):
    means = torch.randn(50, 3, generator=generator)
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=-1)
    center = torch.tensor([0.3, 2.0, -1.0])
    turned = planes.facing(normals, means, center)
    assert ((center - means) * turned).sum(-1).min() >= 0
    assert torch.equal(turned.abs(), normals.abs())
    assert 10 < int((turned != normals).any(-1).sum()) < 40
    distance = planes.plane_distance(turned, means, center)
    assert distance.max() <= 0
    foot = center + distance * turned
    torch.testing.assert_close(
        ((foot - means) * turned).sum(-1), torch.zeros(50), rtol=0.0, atol=1e-5
    )


def test_gradients(generator):
    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    quats = random(5, 4).requires_grad_()
    assert torch.autograd.gradcheck(planes.splat_normals, quats)
    cameras = camera_above(torch.float64)
    rays = planes.pixel_rays(cameras)[:4, :5]
    normal = (-rays + 0.2 * random(4, 5, 3)).requires_grad_()
    distance = (-3 - random(4, 5, 1).abs()).requires_grad_()
    assert torch.autograd.gradcheck(lambda n, d: planes.plane_depth(n, d, rays), (normal, distance))
    depth = (4 + 0.1 * random(4, 5, 1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: planes.normals_from_depth(z, rays), depth)


def test_normals_stay_with_their_surface_at_a_step_in_depth():
    """A near plane in front of a far one: at the rim neither takes on a mixture of both."""
    cameras = orbit(1, 16, 12)
    rays = planes.pixel_rays(cameras)
    forward = cameras.world_to_camera[0, 2, :3]
    near = (torch.arange(16) < 8)[None, :, None].expand(12, 16, 1)
    depth = torch.where(near, 2.0, 5.0)
    found = planes.normals_from_depth(depth, rays)
    torch.testing.assert_close(found, (-forward).expand(10, 14, 3), atol=1e-5, rtol=0.0)


def test_normals_of_a_gentle_curve_are_central_differences():
    cameras = orbit(1, 16, 12)
    rays = planes.pixel_rays(cameras)
    x = torch.linspace(-1.0, 1.0, 16)[None, :, None].expand(12, 16, 1)
    depth = 4.0 + 0.02 * x**2
    points = depth * rays
    across = points[1:-1, 2:] - points[1:-1, :-2]
    found = planes.normals_from_depth(depth, rays)
    assert float((found * across).sum(-1).abs().max()) < 1e-6
