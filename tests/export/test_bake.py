import pytest
import torch

from relight3d.core.sh import basis, even_directions
from relight3d.core.types import Splats
from relight3d.export import bake
from relight3d.export.bake import bake_sh, fit_sh, hemisphere_in_front


def unit(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(values, dim=-1)


def some_splats(count: int, generator: torch.Generator) -> Splats:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Splats(
        normal(count, 3), normal(count, 4), normal(count, 3), normal(count), normal(count, 1, 3)
    )


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_known_sh_seen_from_everywhere_is_recovered(generator, degree):
    sh = torch.randn(7, (degree + 1) ** 2, 3, generator=generator, dtype=torch.float64)
    directions = even_directions(100)
    values = basis(directions, degree) @ sh
    got, residual = fit_sh(
        values, directions, torch.ones(7, 100, dtype=torch.float64), degree, regularization=1e-12
    )
    torch.testing.assert_close(got, sh, atol=1e-6, rtol=0)
    assert residual.max() < 1e-6


def test_what_does_not_fit_is_the_residual(generator):
    directions = even_directions(2000).float()
    values = torch.zeros(1, 2000, 3)
    values[..., 0] = basis(directions, 2)[:, 5] * 3  # degree 2, red, fitted by degree 1
    got, residual = fit_sh(values, directions, torch.ones(1, 2000), 1)
    assert got.abs().max() < 5e-3
    expected = 3 / (4 * torch.pi) ** 0.5 / 3**0.5  # rms over the sphere, mean over channels
    torch.testing.assert_close(residual.item(), expected, atol=1e-3, rtol=0)


def test_weights_choose_which_directions_count(generator):
    directions = even_directions(200).float()
    upper = directions[:, 2] > 0.1
    values = torch.where(upper[:, None], 0.7, 100.0).expand(1, 200, 3)
    got, residual = fit_sh(values, directions, upper.float()[None], 2)
    seen = basis(directions[upper], 2) @ got[0]
    torch.testing.assert_close(seen, torch.full_like(seen, 0.7), atol=1e-3, rtol=0)
    assert residual.item() < 1e-3
    hidden = basis(directions[~upper], 2) @ got[0]
    assert (hidden - 0.7).abs().max() < 0.01  # the smoothest continuation: still constant


def test_splats_never_seen_get_zero_and_disturb_nobody():
    directions = even_directions(50).float()
    weights = torch.ones(2, 50)
    weights[0] = 0
    got, residual = fit_sh(torch.ones(2, 50, 3), directions, weights, 3)
    assert got[0].abs().max() == 0
    assert residual[0] == 0
    torch.testing.assert_close(basis(directions, 3) @ got[1], torch.ones(50, 3))


def test_chunks_do_not_change_the_result(generator, monkeypatch):
    directions = unit(torch.randn(9, 40, 3, generator=generator))
    values = torch.rand(9, 40, 3, generator=generator)
    weights = torch.rand(9, 40, generator=generator)
    whole = fit_sh(values, directions, weights, 2)
    monkeypatch.setattr(bake, "_CHUNK_NUMBERS", 40 * 9 * 2)  # two splats at a time
    for once, pieces in zip(whole, fit_sh(values, directions, weights, 2), strict=True):
        torch.testing.assert_close(once, pieces)


def test_hemisphere_meets_the_front(generator):
    normals = unit(torch.randn(20, 3, generator=generator))
    directions = hemisphere_in_front(even_directions(64).float(), normals)
    assert ((directions * normals[:, None]).sum(-1) <= 1e-6).all()
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(20, 64))


def test_baked_splats_show_the_colour_at_new_viewing_directions(generator):
    """A smooth lobe around a fixed direction, as a rough surface shows it."""
    splats = some_splats(30, generator)
    normals = unit(torch.randn(30, 3, generator=generator))
    axis = unit(torch.tensor([1.0, 2.0, 2.0]))

    def color_of(rows: slice, directions: torch.Tensor) -> torch.Tensor:
        lobe = ((directions @ axis + 1) / 2) ** 2
        tint = torch.linspace(0.2, 0.8, 30)[rows, None, None]
        return tint * lobe[..., None] * torch.tensor([1.0, 0.5, 0.25])

    baked, residual = bake_sh(splats, normals, color_of, degree=3)
    assert residual.max() < 2e-3  # half a grey level of 8 bits: the regulariser's bias
    assert baked.sh.shape == (30, 16, 3)
    torch.testing.assert_close(baked.means, splats.means)
    new = hemisphere_in_front(unit(torch.randn(500, 3, generator=generator)), normals)
    cosine = -(new * normals[:, None]).sum(-1, keepdim=True)
    shown = 0.5 + basis(new, 3) @ baked.sh
    error = (shown - color_of(slice(0, 30), new)).abs()
    assert (error * (cosine > 0.2)).max() < 0.01


def test_too_few_directions_are_our_own_mistake(generator):
    splats = some_splats(2, generator)
    with pytest.raises(AssertionError):
        bake_sh(splats, torch.eye(3)[:2], lambda _, d: d, degree=3, n_directions=20)
