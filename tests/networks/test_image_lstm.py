import pytest
import torch

from ptheta.networks.causal import Whole
from ptheta.networks.image_lstm import DiagonalBiLSTM, RowLSTM
from ptheta.networks.incremental import Pixels

# two channels of the first colour, two of the second, one of the third
INPUTS, COLOURS = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 2])


def example(make, height=4, width=5):
    torch.manual_seed(0)
    layer = make(INPUTS, COLOURS, context_features=2).double()
    torch.nn.init.normal_(layer.enter.bias)
    x = torch.randn(3, 5, height, width, dtype=torch.double)
    return layer, x, torch.randn(3, 2, dtype=torch.double)


def test_the_diagonal_one_is_two_recursions_of_which_the_right_one_is_a_row_late():
    layer, x, context = example(DiagonalBiLSTM)
    height, width, zero = *x.shape[2:], torch.zeros(3, 3, dtype=torch.double)
    gates = layer.enter(x, context).chunk(2, dim=1)
    found = []
    for way, weight, one in zip((-1, 1), layer.weight, gates, strict=True):
        states, cells = {}, {}
        for r in range(height):
            for c in range(width)[::-way]:
                seen = torch.cat([states.get((r, c + way), zero), states.get((r - 1, c), zero)], 1)
                i, f, o, g = (one[:, :, r, c] + seen @ weight.T).chunk(4, dim=1)
                kept = f.sigmoid() * cells.get((r, c + way), zero)
                cells[r, c] = kept + i.sigmoid() * g.tanh()
                states[r, c] = o.sigmoid() * cells[r, c].tanh()
        found.append(states)
    left, right = found
    y = layer(x, context)
    for r in range(height):
        for c in range(width):
            expected = left[r, c] + right.get((r - 1, c), zero)
            torch.testing.assert_close(y[:, :, r, c], expected, rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("make", [RowLSTM, DiagonalBiLSTM])
@pytest.mark.parametrize(("height", "width"), [(4, 5), (3, 1), (1, 3)])
def test_pixel_by_pixel_is_the_whole_image(make, height, width):
    layer, x, context = example(make, height, width)
    pixels = Pixels(len(x), width, 3, context)
    found = torch.empty(3, 3, height, width, dtype=torch.double)
    for r in range(height):
        for c in range(width):
            for k in range(3):
                pixels.column, pixels.colour = c, k
                found[:, k == COLOURS, r, c] = pixels.states(layer, x[:, k == INPUTS, r, c])
    expected = Whole(context).states(layer, x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [RowLSTM, DiagonalBiLSTM])
def test_forget_gates_start_open_and_no_other(make):
    layer = make(INPUTS, COLOURS)
    biases = layer.enter.bias.detach().view(-1, 4, 3)
    expected = torch.zeros_like(biases)
    expected[:, 1] = 1
    assert torch.equal(biases, expected)
