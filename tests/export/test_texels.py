import torch

from relight3d.core.surface import interpolate
from relight3d.export.texels import GUTTER_PX, chart_texels, spread

SQUARE_UV = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
SQUARE = torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_every_texel_knows_its_place():
    """Texture coordinates interpolated at a texel are the texel's middle."""
    texels = chart_texels(SQUARE_UV, SQUARE, 32)
    inside = texels.inside
    assert inside.sum() == 16 * 16
    uv = interpolate(SQUARE_UV, SQUARE, texels.triangle, texels.barycentrics)
    row, column = texels.index // 32, texels.index % 32
    middles = (torch.stack([column, row], -1) + 0.5) / 32
    torch.testing.assert_close(uv[inside], middles[inside])
    clamped = middles.clamp(0.25, 0.75)  # the gutter shows the nearest point of the square
    torch.testing.assert_close(uv, clamped)


def test_the_gutter_is_as_wide_as_said():
    texels = chart_texels(SQUARE_UV, SQUARE, 32)
    row, column = texels.index // 32, texels.index % 32
    middles = torch.stack([column, row], -1) + 0.5
    gap = (middles - middles.clamp(8, 24)).norm(dim=-1)
    assert gap.max() <= GUTTER_PX
    every = torch.cartesian_prod(torch.arange(32), torch.arange(32)) + 0.5
    wanted = ((every - every.clamp(8, 24)).norm(dim=-1) <= GUTTER_PX).sum()
    assert len(texels.index) == wanted
    assert torch.equal(texels.index, texels.index.unique())


def test_the_first_triangle_owns_a_shared_edge():
    """Middles of texels on the diagonal are on both triangles."""
    texels = chart_texels(SQUARE_UV, SQUARE, 32)
    row, column = texels.index // 32, texels.index % 32
    diagonal = texels.inside & (row == column)
    assert (texels.triangle[diagonal] == 0).all()


def test_triangles_without_area_and_between_middles_do_no_harm():
    uv = torch.tensor([[0.25, 0.25], [0.25, 0.25], [0.75, 0.75], [0.501, 0.51], [0.502, 0.51],
                       [0.501, 0.511]])  # fmt: skip
    texels = chart_texels(uv, torch.tensor([[0, 1, 2], [3, 4, 5]]), 32)
    assert len(texels.index)
    assert torch.isfinite(texels.barycentrics).all()
    assert (texels.barycentrics.sum(-1) <= 1 + 1e-5).all()


def test_chunks_do_not_show(monkeypatch):
    whole = chart_texels(SQUARE_UV, SQUARE.repeat(5, 1), 64)
    monkeypatch.setattr("relight3d.export.texels._CHUNK_TEXELS", 50)
    parts = chart_texels(SQUARE_UV, SQUARE.repeat(5, 1), 64)
    for name in ("index", "triangle", "barycentrics", "inside"):
        assert torch.equal(getattr(whole, name), getattr(parts, name)), name


def test_the_rest_continues_the_charts():
    """Values stay where they are; elsewhere lie values between theirs, in every mip level."""
    texels = chart_texels(SQUARE_UV, SQUARE, 32)
    generator = torch.Generator().manual_seed(0)
    values = 0.4 + 0.2 * torch.rand(len(texels.index), 2, generator=generator)
    whole = spread(values, texels)
    assert whole.shape == (32, 32, 2)
    torch.testing.assert_close(whole.flatten(0, 1)[texels.index], values)
    assert 0.4 <= whole.min() and whole.max() <= 0.6
    constant = spread(torch.full_like(values, 0.7), texels)
    torch.testing.assert_close(constant, torch.full_like(constant, 0.7))
