import dataclasses

import pytest
import torch
from balls import ball, photos_of
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.errors import CaptureError
from relight3d.core.job import Job
from relight3d.field.config import FieldConfig
from relight3d.field.splats.fit import SplatFit

GAINS = (0.94, 1.05, 1.0, 0.97, 1.06, 0.98)
CONFIG = FieldConfig(
    steps=24, max_splats=90, initial_splats=60, sh_degree=1, sh_interval=8,
    densify_from=4, densify_every=6, growth=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def rasterize():
    return get_rasterizer("cpu")


@pytest.fixture(scope="module")
def photos(rasterize):
    return photos_of(ball(200), orbit(6, 24, 20), rasterize)


def fit_of(photos, rasterize, config=CONFIG, seed=0, start=None, **options):
    start = ball(60, color=(0.5, 0.5, 0.5)) if start is None else start
    return SplatFit(photos, config, rasterize=rasterize, seed=seed, start=start, **options)


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
    assert isinstance(fit_of(photos, rasterize), Job)


def test_same_seed_same_bits_and_another_seed_others(photos, rasterize):
    first, second, third = (fit_of(photos, rasterize, seed=seed) for seed in (0, 0, 1))
    for job in (first, second, third):
        run(job)
    assert same(bits(first), bits(second))
    assert not same(bits(first), bits(third))


@pytest.mark.parametrize("exposures", [False, True])
@pytest.mark.parametrize("interrupted_at", [3, 6, 13])
def test_resumes_bit_for_bit(photos, rasterize, interrupted_at, exposures):
    """Interrupted before the first round of growth, just before it, and between later ones."""
    undisturbed, first, second = (fit_of(photos, rasterize, exposures=exposures) for _ in range(3))
    run(undisturbed)
    run(first, interrupted_at)
    second.load_state_tensors(bits(first), first.steps_done)
    run(second)
    assert same(bits(undisturbed), bits(second))
    assert len(second.splats()) == 90


def test_a_loaded_job_shares_no_memory(photos, rasterize):
    first, second = fit_of(photos, rasterize), fit_of(photos, rasterize)
    run(first, 3)
    second.load_state_tensors(first.state_tensors(), 3)
    before = bits(first)
    second.step()
    assert same(before, bits(first))


def test_start_is_left_alone(photos, rasterize):
    start = ball(60)
    before = {name: value.clone() for name, value in vars(start).items()}
    run(fit_of(photos, rasterize, start=start), 8)
    assert same(before, vars(start))


def test_two_photos_are_refused(photos, rasterize):
    with pytest.raises(CaptureError, match="at least 3 training photos, got 2"):
        fit_of(photos[:2], rasterize)


def test_number_of_splats_grows_to_the_cap(photos, rasterize):
    counts = [log["splats"] for log in run(fit_of(photos, rasterize))]
    assert counts[:6] == [60] * 6
    assert counts[6:] == sorted(counts[6:])
    assert counts[-1] == 90


def test_learns_the_colours(photos, rasterize):
    config = dataclasses.replace(CONFIG, steps=90, densify_from=1000)
    logs = [log["photo"] for log in run(fit_of(photos, rasterize, config))]
    assert sum(logs[-6:]) < 0.4 * sum(logs[:6])


def test_every_photo_is_seen_once_an_epoch(photos, rasterize):
    job = fit_of(photos, rasterize)
    epochs = [[job.photo_index(6 * epoch + k) for k in range(6)] for epoch in range(8)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_normals_must_agree_only_later(photos, rasterize):
    config = dataclasses.replace(CONFIG, normal_from_fraction=0.25)
    logs = run(fit_of(photos, rasterize, config), 8)
    assert ["normal" in log for log in logs] == [False] * 6 + [True] * 2


@pytest.mark.parametrize("masked", [True, False])
def test_exposures_are_found_up_to_a_common_gain(rasterize, masked):
    """Whatever lies behind a masked object in a step does not take part."""
    truth = ball(200)
    photos = photos_of(truth, orbit(6, 16, 16), rasterize, masked=masked, gains=GAINS)
    config = dataclasses.replace(CONFIG, steps=240, densify_from=1000, sh_degree=0)
    config = dataclasses.replace(config, sh_rate=0.002, means_rate=(1e-6, 1e-7))
    job = fit_of(photos, rasterize, config, start=truth, exposures=True)
    run(job)
    found = job.parameters["log_exposure"].detach()
    expected = torch.tensor(GAINS).log()
    expected = expected - expected.mean()
    assert float(found.mean(0).abs().max()) < 1e-6
    torch.testing.assert_close(found.mean(1), expected, rtol=0.0, atol=0.015)


def test_all_alike_without_exposures(photos, rasterize):
    assert "log_exposure" not in fit_of(photos, rasterize).parameters


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_drawn_are_colour_normal_and_distance(photos, rasterize, scale):
    job = fit_of(photos, rasterize, start=ball(200))
    drawn, surface = job.render(job.cameras[0], 0, scale)
    solid = drawn.alpha[..., 0] > 0.99
    assert int(solid.sum()) > 20
    shown = (drawn.color / drawn.alpha)[solid]
    torch.testing.assert_close(shown, photos[0].srgb()[solid], rtol=0.0, atol=1e-3)
    assert surface is not None
    assert surface.alpha.shape[0] == scale * drawn.alpha.shape[0]
    assert surface.rays.shape == surface.normal.shape
    solid = surface.alpha[..., 0] > 0.99
    lengths = surface.normal.detach().norm(dim=-1)[solid]
    assert 0.75 < float(lengths.min()) < float(lengths.max()) <= 1.0
    assert float(surface.distance.detach()[solid].max()) < 0


def test_normals_are_compared_when_due(photos, rasterize):
    config = FieldConfig(steps=20, normal_from_fraction=0.3, normal_every=4, normal_scale=2.0)
    job, seen = fit_of(photos, rasterize, config, start=ball(200)), []
    for step in range(job.total_steps):
        if "normal" in job.step():
            seen.append(step)
    assert seen == [8, 12, 16]
    assert job.render(job.cameras[0], 0, None)[1] is None
