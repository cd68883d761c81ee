import dataclasses
import math

import pytest
import torch
from balls import ball, photos_of
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core import sh
from relight3d.core.job import Job
from relight3d.core.types import PointLight
from relight3d.core.views import ViewLight
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.fit import Decompose, mix
from relight3d.decomposition.gbuffer import draw
from relight3d.decomposition.scope import Scope
from relight3d.shading import latlong
from relight3d.shading.visibility import Sphere

CONFIG = DecompositionConfig(
    specular_steps=4, diffuse_steps=5, joint_steps=3, environment_height=8,
    visibility_directions=32, shadow_map_px=32,
)  # fmt: skip
MATERIALS = ("albedo_logits", "roughness_logits", "metallic_logits")


@pytest.fixture(scope="module")
def rasterize():
    return get_rasterizer("cpu")


@pytest.fixture(scope="module")
def photos(rasterize):
    return photos_of(ball(200), orbit(4, 20, 20), rasterize)


def job_of(photos, rasterize, config=CONFIG, seed=0, splats=None, **options):
    splats = ball(150) if splats is None else splats
    return Decompose(photos, splats, config, rasterize=rasterize, seed=seed, **options)


def run(job, until=None):
    logs = []
    while job.steps_done < (job.total_steps if until is None else until):
        logs.append(job.step())
    return logs


def bits(job):
    return {name: tensor.detach().clone() for name, tensor in job.state_tensors().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_is_a_job(photos, rasterize):
    job = job_of(photos, rasterize)
    assert isinstance(job, Job)
    assert job.total_steps == 12


def test_same_seed_same_bits_and_another_seed_others(photos, rasterize):
    first, second, third = (job_of(photos, rasterize, seed=seed) for seed in (0, 0, 1))
    for job in (first, second, third):
        run(job)
    assert same(bits(first), bits(second))
    assert not same(bits(first), bits(third))


@pytest.mark.parametrize("interrupted_at", [2, 4, 7, 10])
def test_resumes_bit_for_bit(photos, rasterize, interrupted_at):
    """Interrupted within each stage, and just before diffuse light is admitted."""
    undisturbed, first, second = (job_of(photos, rasterize) for _ in range(3))
    run(undisturbed)
    run(first, interrupted_at)
    second.load_state_tensors(bits(first), first.steps_done)
    run(second)
    assert same(bits(undisturbed), bits(second))


def test_splats_are_left_alone(photos, rasterize):
    splats = ball(150)
    before = {name: value.clone() for name, value in vars(splats).items()}
    job = job_of(photos, rasterize, splats=splats)
    run(job)
    assert same(before, vars(splats))
    assert same(before, vars(job.asset().splats))


def test_stages(photos, rasterize):
    """Metalness and diffuse pulls rest in stage 2; then what is no mirror is dielectric."""
    job = job_of(photos, rasterize)
    start = bits(job)
    logs = run(job, 4)
    after = bits(job)
    assert torch.equal(after["parameters/metallic_logits"], start["parameters/metallic_logits"])
    assert float(after["parameters/log_gain"]) == 0.0
    for name in ("albedo_logits", "roughness_logits", "progress_logits", "light/environment"):
        assert not torch.equal(after[f"parameters/{name}"], start[f"parameters/{name}"]), name
    assert all("progress" not in log and "metallic" not in log for log in logs)
    logs = run(job, 5)
    assert {"progress", "albedo", "gloss", "metallic"} <= logs[0].keys()
    dielectric = job.asset().materials
    assert dielectric is not None
    assert float(dielectric.metallic.max()) < 0.15
    assert float(dielectric.roughness.max()) < 0.7
    assert {job.optimizer.steps[name] for name in MATERIALS} == {1}
    assert job.optimizer.steps["progress_logits"] == 5
    run(job)
    assert float(job.parameters["log_gain"].detach().abs()) > 0
    assert torch.equal(job.parameters["normals"], start["parameters/normals"])


def test_progress_moves_slowly_in_the_last_stage(photos, rasterize):
    job = job_of(photos, rasterize)
    rates = [job._learning_rates(step)["progress_logits"] for step in (0, 4, 8, 9, 11)]
    assert rates == [pytest.approx(CONFIG.progress_rate * s) for s in (1, 1, 1, 0.1, 0.1)]


def test_stages_may_be_left_out(photos, rasterize):
    job = job_of(photos, rasterize, dataclasses.replace(CONFIG, specular_steps=0))
    assert "progress" in job.step()
    assert float(job.materials().metallic.detach().max()) < 0.15


def test_progress_grows_where_physics_explains_more(photos, rasterize):
    """The radiance field is wrong above: there physics has something to explain."""
    wrong = ball(150)
    above = wrong.means[:, 2] > 0
    wrong.sh[above, 0] = (torch.tensor([0.1, 0.3, 0.8]) - 0.5) / sh.C0
    config = dataclasses.replace(
        CONFIG, specular_steps=0, diffuse_steps=80, progress_weight=0.0, initial_progress=0.2,
        material_rate=0.1,
    )  # fmt: skip
    job = job_of(photos, rasterize, config, splats=wrong)
    run(job)
    progress = job.materials().progress.detach()[:, 0]
    assert float(progress[above].mean()) > 0.3
    assert float(progress[above].mean()) > float(progress[~above].mean()) + 0.1


def test_the_pull_drives_progress_up(photos, rasterize):
    job = job_of(photos, rasterize, dataclasses.replace(CONFIG, diffuse_steps=90))
    logs = run(job)
    assert logs[-1]["progress_mean"] > 2 * CONFIG.initial_progress
    assert logs[-1]["progress"] < logs[4]["progress"]


def all_physics(job, log_radiance):
    """Grey dielectrics under a given sky, without any radiance field."""
    for name in MATERIALS:
        job.parameters[name].data.fill_(0.0 if name != "metallic_logits" else -9.0)
    job.parameters["progress_logits"].data.fill_(20.0)
    job.parameters["light/environment"].data.copy_(log_radiance)
    return job


def test_known_turns_of_the_light_are_used(rasterize):
    """One camera, two photos, the sky turned by half: as if its map were, and lit from behind."""
    lights = [ViewLight(rotation_rad=turn) for turn in (0.0, math.pi, 0.0)]
    cameras = orbit(1, 20, 20)[[0, 0, 0]]
    photos = photos_of(ball(150), cameras, rasterize, lights=lights)
    sky = torch.full((8, 16, 3), -3.0)
    sky[2:5, :4] = 2.0
    job, other = (job_of(photos, rasterize) for _ in range(2))
    all_physics(job, sky)
    all_physics(other, latlong.rotate(sky, math.pi))
    with torch.no_grad():
        first, turned, again = (job.compose(job.cameras[0], k, diffuse=True)[0] for k in range(3))
        as_map = other.compose(other.cameras[0], 0, diffuse=True)[0]
    torch.testing.assert_close(first, again)
    torch.testing.assert_close(turned, as_map, rtol=1e-3, atol=1e-4)
    assert float((first - turned).abs().mean()) > 0.05


def test_point_lights_alone_leave_no_environment_and_no_gain(rasterize):
    lamps = [
        ViewLight(None, points=(PointLight((3.0, y, 3.0), (9.0, 9.0, 9.0)),))
        for y in (-2.0, 0.0, 2.0)
    ]
    photos = photos_of(ball(200), orbit(3, 20, 20), rasterize, lights=lamps)
    job = job_of(photos, rasterize)
    logs = run(job)
    assert all(math.isfinite(value) for log in logs for value in log.values())
    assert job.asset().environments == {}
    assert float(job.parameters["log_gain"].detach()) == 0.0
    assert "light" not in logs[-1]


def test_every_named_light_is_recovered(rasterize):
    lights = [ViewLight(name) for name in ("noon", "dusk", "noon", "dusk")]
    photos = photos_of(ball(200), orbit(4, 20, 20), rasterize, lights=lights)
    job = job_of(photos, rasterize)
    run(job)
    found = job.asset().environments
    assert set(found) == {"noon", "dusk"}
    assert not torch.equal(found["noon"].radiance_linear, found["dusk"].radiance_linear)


def test_the_asset_is_activated_and_gained(photos, rasterize):
    job = job_of(photos, rasterize)
    run(job)
    job.parameters["log_gain"].data.fill_(0.5)
    asset = job.asset()
    assert asset.materials is not None and asset.visibility_sh is not None
    sky = asset.environments["environment"].radiance_linear
    plain = job.parameters["light/environment"].detach().exp()
    torch.testing.assert_close(sky, math.exp(0.5) * plain)
    albedo = job.parameters["albedo_logits"].detach().sigmoid() * math.exp(-0.5)
    torch.testing.assert_close(asset.materials.albedo_linear, albedo)
    assert asset.visibility_sh.shape == (150, 9)
    before = asset.materials.progress.clone()
    job.parameters["progress_logits"].data.fill_(3.0)
    assert torch.equal(asset.materials.progress, before), "the asset is a copy"


def test_gain_hardly_shows(photos, rasterize):
    """A brighter light on a darker albedo changes only what is reflected."""
    job = all_physics(job_of(photos, rasterize), torch.zeros(8, 16, 3))
    job.parameters["roughness_logits"].data.fill_(9.0)
    pictures = []
    for gain in (0.0, 0.3):
        job.parameters["log_gain"].data.fill_(gain)
        with torch.no_grad():
            pictures.append(job.compose(job.cameras[0], 0, diffuse=True)[0])
    assert float((pictures[0] - pictures[1]).abs().max()) < 0.03


def test_outward_normals(photos, rasterize):
    splats = ball(150)
    job = job_of(photos, rasterize, splats=splats)
    outward = torch.nn.functional.normalize(splats.means, dim=-1)
    assert float((job.sides.outward * outward).sum(-1).min()) > 0.9


def test_exposures_are_taken_off_the_photos(photos, rasterize):
    plain = job_of(photos, rasterize)
    bright = [dataclasses.replace(p, pixels=p.pixels * 0.5) for p in photos]
    gains = torch.full((4, 3), math.log(0.5))
    corrected = job_of(bright, rasterize, exposures=gains)
    uncorrected = job_of(bright, rasterize)
    first = [run(job, 1)[0]["photo"] for job in (plain, corrected, uncorrected)]
    assert first[1] == pytest.approx(first[0], rel=1e-3)
    assert first[2] > 1.5 * first[0]


def test_out_of_scope_stays_a_radiance_field(rasterize):
    """A small ball in a large shell, photographed without masks from in between."""
    inner, shell = ball(150), ball(400, color=(0.3, 0.5, 0.7), radius=8.0)
    both = type(inner)(**{n: torch.cat([v, vars(shell)[n]]) for n, v in vars(inner).items()})
    photos = photos_of(both, orbit(4, 20, 20), rasterize, masked=False)
    job = job_of(photos, rasterize, splats=both, scope=Scope(Sphere(torch.zeros(3), 1.5)))
    logs = run(job)
    assert all(math.isfinite(value) for log in logs for value in log.values())
    progress = job.materials().progress[:, 0].detach()
    assert float(progress[150:].abs().max()) == 0.0
    assert float(progress[:150].min()) > 0.0
    assert float(job.surface_share[150:].abs().max()) == 0.0
    open_share = job.occlusion.irradiance(job.sides.outward, torch.ones(32, 3))[1]
    assert float(open_share[:150].mean()) > 0.25, "the shell stands in nobody's light"


def test_a_photo_that_shows_nothing_is_survived(photos, rasterize):
    cameras = orbit(1, 20, 20)
    turn = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    away = type(cameras)(turn @ cameras.world_to_camera, cameras.intrinsics, 20, 20)
    nothing = photos_of(ball(150), away, rasterize, masked=False)
    job = job_of([*photos[:2], *nothing], rasterize)
    assert all(math.isfinite(value) for log in run(job) for value in log.values())


def test_mixture_by_progress(rasterize):
    splats, cameras = ball(100), orbit(1, 16, 16)
    for progress in (0.0, 0.3, 1.0):
        channels = {"raw": splats.sh[:, 0] + 2, "progress": torch.full((100, 1), progress)}
        drawn = draw(rasterize, splats.gaussians(), channels, cameras)
        physics = torch.full((len(drawn.covered), 3), 0.7)
        found = mix(drawn, physics)
        expected = progress * 0.7 * drawn.alpha + (1 - progress) * drawn.maps["raw"]
        covered = (drawn.alpha > 0.01).expand_as(found)
        torch.testing.assert_close(found[covered], expected[covered])
        assert torch.equal(found[~covered], drawn.maps["raw"][~covered])
