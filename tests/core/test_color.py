import torch
from torch.autograd import gradcheck

from relight3d.core.color import linear_from_srgb, luminance, srgb_from_linear


def test_known_values():
    """Fixed points, the linear toe, and middle grey: 8-bit sRGB 128 is 0.2158605 linear."""
    linear = torch.tensor([0.0, 1.0, 0.001, 0.2158605], dtype=torch.float64)
    srgb = torch.tensor([0.0, 1.0, 0.01292, 128 / 255], dtype=torch.float64)
    torch.testing.assert_close(srgb_from_linear(linear), srgb, atol=1e-6, rtol=0)
    torch.testing.assert_close(linear_from_srgb(srgb), linear, atol=1e-6, rtol=0)


def test_round_trip_also_above_white_and_below_black():
    values = torch.linspace(-0.2, 4, 500, dtype=torch.float64)
    back = linear_from_srgb(srgb_from_linear(values))
    torch.testing.assert_close(back, values, atol=1e-7, rtol=0)


def test_encoding_rises_everywhere():
    values = srgb_from_linear(torch.linspace(-0.1, 2, 100_001, dtype=torch.float64))
    assert (values.diff() > 0).all()


def test_gradients_are_finite_at_black():
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    srgb_from_linear(zero).backward()
    assert zero.grad is not None
    torch.testing.assert_close(zero.grad.item(), 12.92)
    assert gradcheck(srgb_from_linear, (torch.rand(9).double().requires_grad_(),))
    assert gradcheck(linear_from_srgb, (torch.rand(9).double().requires_grad_(),))


def test_luminance_of_white_and_the_primaries():
    colors = torch.cat([torch.ones(1, 3), torch.eye(3)]).double()
    expected = torch.tensor([1.0, 0.2126, 0.7152, 0.0722]).double()
    torch.testing.assert_close(luminance(colors), expected)
