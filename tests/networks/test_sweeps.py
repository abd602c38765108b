import pytest
import torch

from ptheta.networks.sweeps import by_diagonals, by_rows, sweep

# of which the last two are narrower than a kernel, or a line
SIZES = [(3, 4), (4, 3), (1, 3), (3, 1)]


def kept_by_pixel(order, x, weight, neighbours, cell):
    """The recursion as it is defined, one pixel after the other."""
    states, cells = {}, {}
    zero = torch.zeros(len(x), x.shape[1] // 4, x.shape[4], dtype=x.dtype)
    for r in range(order.height):
        for c in range(order.width):
            seen = [states.get((r + dr, c + dc), zero) for dr, dc in neighbours]
            i, f, o, g = (x[:, :, r, c] + weight @ torch.cat(seen, dim=1)).chunk(4, dim=1)
            before = cells.get((r + cell[0], c + cell[1]), zero)
            cells[r, c] = f.sigmoid() * before + i.sigmoid() * g.tanh()
            states[r, c] = o.sigmoid() * cells[r, c].tanh()
    grid = [torch.stack([states[r, c] for c in range(order.width)], 2) for r in range(order.height)]
    return torch.stack(grid, dim=2)


def example(order, features=2, directions=2, batch=2):
    torch.manual_seed(0)
    height, width, neighbours = order.height, order.width, len(order.neighbours)
    x = torch.randn(directions, 4 * features, height, width, batch, dtype=torch.double)
    weight = torch.randn(directions, 4 * features, neighbours * features, dtype=torch.double)
    return x.requires_grad_(), weight.requires_grad_()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_diagonals_are_the_recursion_pixel_by_pixel(height, width):
    order = by_diagonals(height, width)
    x, weight = example(order)
    found = sweep(x, weight, order)
    expected = kept_by_pixel(order, x, weight, [(0, -1), (-1, 0)], (0, -1))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_rows_are_the_recursion_pixel_by_pixel(height, width, kernel_size):
    order = by_rows(height, width, kernel_size)
    x, weight = example(order)
    reach = kernel_size // 2
    window = [(-1, column) for column in range(-reach, reach + 1)]
    expected = kept_by_pixel(order, x, weight, window, (-1, 0))
    torch.testing.assert_close(sweep(x, weight, order), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("order", [by_diagonals(3, 3), by_rows(3, 3, 3), by_diagonals(2, 1)])
def test_the_written_gradient_is_that_of_finite_differences(order):
    x, weight = example(order, features=1, batch=1)
    assert torch.autograd.gradcheck(lambda x, weight: sweep(x, weight, order), (x, weight))


@pytest.mark.parametrize(("height", "width"), [*SIZES, (1, 1)])
def test_each_pixel_comes_about_once_on_its_diagonal(height, width):
    order = by_diagonals(height, width)
    assert len(order.pixels) == height + width - 1
    steps, states = torch.full((height * width,), -1), torch.zeros(order.states)
    for t, (pixels, places) in enumerate(order.steps()):
        assert (steps[pixels] == -1).all()
        steps[pixels] = t
        states[places] += t + 1
    skewed = torch.arange(height)[:, None] + torch.arange(width)
    assert torch.equal(steps.reshape(height, width), skewed)
    # and the states of an image are its pixels, with zeros above and to the left
    grid = states[:-1].reshape(height + 1, width + 1)
    assert torch.equal(grid[1:, 1:], skewed + 1.0)
    assert not grid[0].any()
    assert not grid[:, 0].any()


def test_numbers_of_another_precision_are_taken_in_that_of_the_weights():
    order = by_diagonals(3, 3)
    x, weight = (t.detach() for t in example(order))
    half = x.bfloat16().requires_grad_()
    found = sweep(half, weight, order)
    torch.testing.assert_close(found, sweep(half.double(), weight, order))
    found.sum().backward()
    assert half.grad.dtype == torch.bfloat16
