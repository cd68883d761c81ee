"""The third stage on a painted ball: it finds the paint, can be stopped, and survives the worst."""

import dataclasses
import math

import pytest
import torch
from balls import photos_of
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.job import Job
from relight3d.core.types import EnvironmentLight, PointLight
from relight3d.core.views import ViewLight
from tests.decomposition.inverse import toys
from tests.decomposition.inverse.toys import FEW, bits, job_of, run, same, start


@pytest.fixture(scope="module")
def photos():
    return toys.photos()


@pytest.fixture(scope="module")
def undisturbed(photos):
    """Final state and logs of a whole run."""
    job = job_of(photos)
    logs = run(job)
    return bits(job), logs


def finite(job, logs):
    state = bits(job)
    assert all(math.isfinite(value) for log in logs for value in log.values()), logs
    for name, tensor in state.items():
        assert not tensor.is_floating_point() or tensor.isfinite().all(), name
    asset = job.asset()
    assert asset.materials is not None
    for values in (*vars(asset.materials).values(), *asset.environments.values()):
        tensor = values.radiance_linear if isinstance(values, EnvironmentLight) else values
        assert tensor.isfinite().all()
    return state


def test_paint_is_found_under_a_known_light():
    """Wrong albedo, right sky: steps on pixels, then on frames, bring the photos and the truth."""
    config = dataclasses.replace(
        FEW, steps=32, polish_steps=8, pixels=150, rays=16, polish_px=400, material_rate=0.12,
        light_rate=0.0, gain_rate=0.0, normal_rate=0.0, albedo_smoothness=0.0,
    )  # fmt: skip
    job = job_of(toys.photos(), config=config)
    logs = run(job)
    before = sum(log["photo"] for log in logs[:4])
    assert sum(log["photo"] for log in logs[28:32]) < 0.45 * before
    assert sum(log["photo"] for log in logs[-4:]) < 0.45 * before
    asset, truth = job.asset(), toys.painted(job.splats.means)
    assert asset.materials is not None
    # Splats near the poles are seen at a glance or not at all by a ring of cameras.
    seen = (toys.body().means[:, 2] < 0.8) & (toys.body().means[:, 2] > -0.5)
    wrong = [
        float((found - truth)[seen].abs().mean())
        for found in (torch.full_like(truth, 0.45), asset.materials.albedo_linear)
    ]
    assert wrong[1] < 0.5 * wrong[0], wrong
    sky = asset.environments["environment"].radiance_linear
    torch.testing.assert_close(sky, toys.day().radiance_linear, rtol=1e-4, atol=1e-4)


def test_is_a_job_whose_parts_follow_each_other(photos, undisturbed):
    job = job_of(photos)
    assert isinstance(job, Job)
    assert (job.name, job.total_steps) == ("inverse", 7)
    _, logs = undisturbed
    assert all("consistency" in log for log in logs[:4])
    assert all("consistency" not in log and "photo" in log for log in logs[4:])


def test_geometry_progress_and_sides_are_left_alone(photos, undisturbed):
    job = job_of(photos)
    first = bits(job)
    for name in ("progress_logits", "scope", "double_sided"):
        assert torch.equal(first[f"parameters/{name}"], undisturbed[0][f"parameters/{name}"])
    for name in ("albedo_logits", "roughness_logits", "light/environment", "log_gain"):
        assert not torch.equal(first[f"parameters/{name}"], undisturbed[0][f"parameters/{name}"])
    assert job.asset().splats is toys.body()


def test_same_seed_same_bits_and_another_seed_others(photos, undisturbed):
    again, other = job_of(photos), job_of(photos, seed=1)
    run(again)
    run(other)
    assert same(bits(again), undisturbed[0])
    assert not same(bits(other), undisturbed[0])


@pytest.mark.parametrize("interrupted_at", [1, 4, 6])
def test_resumes_bit_for_bit(photos, undisturbed, interrupted_at):
    """Among scattered pixels, just before polishing, and within it."""
    first, second = job_of(photos), job_of(photos)
    run(first, interrupted_at)
    second.load_state_tensors(bits(first), first.steps_done)
    run(second)
    assert same(bits(second), undisturbed[0])


def test_the_start_is_what_distillation_found(photos):
    asset = job_of(photos).asset()
    found, given = asset.materials, start().materials
    assert found is not None and given is not None
    for name, value in vars(given).items():
        torch.testing.assert_close(vars(found)[name], value, rtol=1e-4, atol=1e-5)
    sky = asset.environments["environment"].radiance_linear
    torch.testing.assert_close(sky, toys.day().radiance_linear)
    larger = dataclasses.replace(FEW, environment_height=16)
    sky = job_of(photos, config=larger).asset().environments["environment"].radiance_linear
    assert sky.shape == (16, 32, 3)


def test_glossy_splats_alone_bend_their_normals(photos):
    asset = start()
    assert asset.materials is not None
    glossy = torch.arange(toys.COUNT)[:, None] % 2 == 0
    rough = torch.where(glossy, 0.2, 0.9)
    materials = dataclasses.replace(asset.materials, roughness=rough)
    job = job_of(photos, dataclasses.replace(asset, materials=materials))
    first = job.parameters["normals"].detach().clone()
    run(job)
    moved = (job.parameters["normals"].detach() != first).any(-1)
    assert not moved[~glossy[:, 0]].any()
    assert float(moved[glossy[:, 0]].float().mean()) > 0.5
    fixed = job_of(photos, config=dataclasses.replace(FEW, normal_rate=0.0))
    run(fixed)
    assert torch.equal(fixed.parameters["normals"], first)


def test_exposures_are_taken_off_the_photos(photos):
    dark = [dataclasses.replace(p, pixels=p.pixels * 0.5) for p in photos]
    gains = torch.full((len(dark), 3), math.log(0.5))
    plain, corrected, uncorrected = job_of(photos), job_of(dark, exposures=gains), job_of(dark)
    errors = [run(job, 1)[0]["photo"] for job in (plain, corrected, uncorrected)]
    assert errors[1] == pytest.approx(errors[0], rel=0.02)
    assert abs(errors[2] - errors[0]) > 0.1 * errors[0]


def test_shadows_and_light_between_surfaces_can_be_left_out():
    """A floor close under the ball hides half of the sky, and sends light of its own."""
    few = dataclasses.replace(FEW, steps=2, polish_steps=1)
    errors, albedos = {}, {}
    for off in ("nothing", "occlusion", "indirect"):
        config = few if off == "nothing" else dataclasses.replace(few, **{off: False})
        job = job_of(toys.photos(2), config=config, proxy=toys.on_a_floor())
        assert (job.surface_light is None) == (off != "nothing")
        logs = run(job)
        finite(job, logs)
        errors[off], found = logs[0]["photo"], job.asset().materials
        assert found is not None
        albedos[off] = found.albedo_linear
    assert len(set(errors.values())) == 3, errors
    assert not torch.equal(albedos["nothing"], albedos["occlusion"])
    assert not torch.equal(albedos["nothing"], albedos["indirect"])


def sun() -> torch.Tensor:
    sky = torch.full((8, 16, 3), 0.1)
    sky[2, 5] = torch.tensor([1e5, 1e5, 8e4])
    return sky


@pytest.mark.parametrize(
    "asset",
    [
        start(sky=torch.zeros(8, 16, 3)),
        start(sky=sun()),
        start(sky=sun(), roughness=0.0),
        start(roughness=0.0),
        start(albedo=0.0),
        start(albedo=1.0, roughness=1.0),
    ],
    ids=["black sky", "fierce sun", "fierce sun, mirror", "mirror", "black", "white"],
)
def test_extreme_starts_stay_finite(photos, asset):
    job = job_of(photos, asset)
    finite(job, run(job))


def test_black_photos_stay_finite():
    job = job_of(toys.photos(factor=0.0))
    finite(job, run(job))


def test_a_lamp_inside_lights_nothing_and_breaks_nothing():
    lamps = [ViewLight(None, points=(PointLight((0.0, 0.1 * k, 0.0), (9.0, 9.0, 9.0)),))
             for k in range(2)]  # fmt: skip
    asset = dataclasses.replace(start(), environments={})
    job = job_of(toys.photos(lights=lamps), asset)
    state = finite(job, run(job))
    assert float(state["parameters/log_gain"]) == 0.0, "the light is known"
    assert job.asset().environments == {}


def test_several_lights_are_told_apart():
    """Each has its map; the field, a mixture of both, is neither asked nor believed."""
    lights = [ViewLight("noon"), ViewLight("dusk", rotation_rad=1.0)]
    asset = dataclasses.replace(start(), environments={"noon": toys.day(), "dusk": toys.day()})
    job = job_of(toys.photos(lights=lights), asset)
    logs = run(job)
    finite(job, logs)
    assert all("consistency" not in log for log in logs)
    found = job.asset().environments
    assert not torch.equal(found["noon"].radiance_linear, found["dusk"].radiance_linear)


def test_photos_that_show_nothing_are_survived(photos):
    cameras = orbit(1, toys.PX, toys.PX)
    turn = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    away = dataclasses.replace(cameras, world_to_camera=turn @ cameras.world_to_camera)
    for masked in (False, True):
        nothing = photos_of(toys.body(), away, get_rasterizer("cpu"), masked=masked)
        job = job_of([*photos[:1], *nothing])
        finite(job, run(job))
