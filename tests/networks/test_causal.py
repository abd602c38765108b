import pytest
import torch
from torch.nn import functional as F

from ptheta.networks.causal import CausalConv2d, Whole, along, raster, vertical
from ptheta.networks.incremental import Pixels, Rows

# two channels of the first colour, two of the second, one of the third
COLOURS = torch.tensor([0, 0, 1, 1, 2])
GATES = COLOURS.repeat(2)


def layer(make, **options):
    torch.manual_seed(0)
    made = make(COLOURS, GATES, 5, **options).double()
    torch.nn.init.normal_(made.bias)
    return made


@pytest.mark.parametrize("hidden_from_itself", [True, False])
def test_it_is_the_masked_square_kernel_of_the_paper(hidden_from_itself):
    made = layer(raster, hidden_from_itself=hidden_from_itself)
    square = F.pad(made.weight, (0, 0, 0, 2))
    mask = torch.ones_like(square)
    mask[:, :, 3:] = 0
    mask[:, :, 2, 3:] = 0
    for i, out in enumerate(GATES):
        for j, into in enumerate(COLOURS):
            mask[i, j, 2, 2] = float(into < out if hidden_from_itself else into <= out)
    torch.nn.init.normal_(square)
    with torch.no_grad():
        made.weight.copy_((square * mask)[:, :, :3])
    x = torch.randn(2, 5, 6, 7, dtype=torch.double)
    expected = F.conv2d(x, square * mask, made.bias, padding=2)
    torch.testing.assert_close(made(x), expected, rtol=1e-12, atol=1e-12)


def test_along_is_the_last_row_of_raster_and_vertical_is_whole():
    row, whole = layer(along), layer(raster)
    with torch.no_grad():
        whole.weight.zero_()
        whole.weight[:, :, -1:, :3] = row.weight
        whole.bias.copy_(row.bias)
    x = torch.randn(2, 5, 6, 7, dtype=torch.double)
    torch.testing.assert_close(row(x), whole(x), rtol=1e-12, atol=1e-12)
    column = vertical(2, 3, 3)
    x = torch.randn(1, 2, 6, 7, requires_grad=True)
    (slope,) = torch.autograd.grad(column(x)[0, :, 3, 3].sum(), x)
    seen = torch.zeros(6, 7, dtype=torch.bool)
    seen[2:4, 2:5] = True
    assert torch.equal(slope[0].abs().sum(dim=0) > 0, seen)


@pytest.mark.parametrize(("make", "kernel_size"), [(along, 1), (along, 5), (raster, 1)])
def test_a_batch_that_stands_last_in_memory_gives_the_same(make, kernel_size):
    torch.manual_seed(0)
    made = make(COLOURS, GATES, kernel_size, context_features=2).double()
    x, context = torch.randn(3, 5, 4, 6).double(), torch.randn(3, 2).double()
    last = x.movedim(0, -1).contiguous().movedim(-1, 0)
    slopes = torch.randn(3, 10, 4, 6).double()
    found, expected = made(last, context), made(x, context)
    assert found.movedim(0, -1).is_contiguous()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(y, list(made.parameters()), slopes) for y in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_what_the_mask_forbids_stays_zero():
    made = layer(raster, hidden_from_itself=True)
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(5):
        (made(torch.randn(2, 5, 4, 4, dtype=torch.double)) - 1).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.count_nonzero(made.weight) == made.mask.sum()
    made.load_state_dict({k: torch.ones_like(v) for k, v in made.state_dict().items()})
    assert torch.equal(made.weight, made.mask)


def test_row_by_row_is_the_whole_image():
    made = vertical(3, 4, 5, context_features=2).double()
    x, context = torch.randn(2, 3, 6, 7).double(), torch.randn(2, 2).double()
    added = torch.randn(2, 4, 6, 7).double()
    rows = Rows(context)
    found = [rows(made, x[:, :, r : r + 1], added[:, :, r : r + 1]) for r in range(6)]
    torch.testing.assert_close(
        torch.cat(found, dim=2), Whole(context)(made, x, added), rtol=1e-12, atol=1e-12
    )


def by_pixels(made: CausalConv2d, x, context, added):
    """The outputs, computed for one colour of one pixel after the other."""
    pixels = Pixels(len(x), x.shape[3], 3, context)
    found = torch.empty(len(x), len(GATES), *x.shape[2:], dtype=x.dtype)
    for r in range(x.shape[2]):
        for c in range(x.shape[3]):
            for k in range(3):
                pixels.column, pixels.colour = c, k
                row = None if added is None else added[:, :, r : r + 1]
                found[:, k == GATES, r, c] = pixels(made, x[:, k == COLOURS, r, c], row)
    return found


@pytest.mark.parametrize("make", [raster, along])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("with_added", [True, False])
def test_pixel_by_pixel_is_the_whole_image(make, kernel_size, with_added):
    made = make(COLOURS, GATES, kernel_size, context_features=2).double()
    x, context = torch.randn(2, 5, 4, 6).double(), torch.randn(2, 2).double()
    added = torch.randn(2, 10, 4, 6).double() if with_added else None
    with torch.no_grad():
        found = by_pixels(made, x, context, added)
        expected = Whole(context)(made, x, added)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
