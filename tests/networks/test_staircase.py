"""Products in bands are those with the masked weights, whole, and so are their gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ptheta.networks.masked import MaskedLinear
from ptheta.networks.staircase import Band, bands_of, staircase_linear

OUTPUTS, INPUTS = 512, 300


def staircase(first: int = 0) -> Tensor:
    """Rows that see one column more than those before, the first of them none."""
    steps = torch.linspace(first, INPUTS, OUTPUTS).round()
    return steps[:, None] > torch.arange(INPUTS)


def pieces(mask: Tensor, rows: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    sizes = ((rows, INPUTS), (OUTPUTS, INPUTS), (OUTPUTS,))
    x, weight, bias = (torch.randn(size, dtype=torch.float64) for size in sizes)
    return x.requires_grad_(), (weight * mask).requires_grad_(), bias.requires_grad_()


@pytest.mark.parametrize("has_bias", [True, False])
def test_products_and_gradients_are_those_of_the_masked_weights(has_bias: bool) -> None:
    mask = staircase()
    x, weight, bias = pieces(mask)
    biases = bias if has_bias else None
    of = (x, weight, bias) if has_bias else (x, weight)
    found = staircase_linear(x, weight, biases, mask.double(), bands_of(mask))
    whole = F.linear(x, weight * mask, biases)
    torch.testing.assert_close(found, whole)
    outward = torch.randn_like(found)
    gradients = torch.autograd.grad(found, of, outward)
    torch.testing.assert_close(gradients, torch.autograd.grad(whole, of, outward))
    assert not gradients[1][~mask].any()


def test_second_derivatives_are_those_of_the_masked_weights() -> None:
    mask = staircase()
    x, weight, bias = pieces(mask)

    def squared_slopes(y: Tensor) -> tuple[Tensor, ...]:
        slopes = torch.autograd.grad(y.tanh().sum(), (x, weight), create_graph=True)
        return torch.autograd.grad(
            torch.stack([s.square().sum() for s in slopes]).sum(), (x, weight, bias)
        )

    found = staircase_linear(x, weight, bias, mask.double(), bands_of(mask))
    expected = squared_slopes(F.linear(x, weight * mask, bias))
    torch.testing.assert_close(squared_slopes(found), expected)


def test_a_batch_of_weights_is_multiplied_as_one_by_one() -> None:
    mask = staircase()
    x, weight, bias = pieces(mask)
    weights = torch.stack([weight, 2 * weight])

    def product(weight: Tensor) -> Tensor:
        return staircase_linear(x, weight, bias, mask.double(), bands_of(mask))

    expected = torch.stack([F.linear(x, w, bias) for w in weights])
    torch.testing.assert_close(torch.vmap(product)(weights), expected)


def test_bands_hold_what_their_rows_see() -> None:
    mask = torch.zeros(OUTPUTS, INPUTS, dtype=torch.bool)
    mask[200:] = staircase()[200:]
    bands = bands_of(mask)
    assert bands[0] == Band(0, 128, 0, 0), "these rows see nothing"
    for band in bands:
        rows = mask[band.start : band.end]
        assert rows[:, : band.whole].all()
        assert not rows[:, band.columns :].any()
    assert bands[-1].end == OUTPUTS


def test_masks_that_are_small_or_all_but_whole_have_no_bands() -> None:
    assert bands_of(staircase()[:100]) == ()
    assert bands_of(staircase(first=INPUTS - 10)) == ()
    # a context after the values is seen by every row
    assert bands_of(torch.cat([staircase(), torch.ones(OUTPUTS, 2, dtype=torch.bool)], 1)) == ()


def test_a_layer_takes_bands_where_they_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def counted(x: Tensor, *rest: Any) -> Tensor:
        taken.append(len(x))
        return staircase_linear(x, *rest)

    monkeypatch.setattr("ptheta.networks.masked.staircase_linear", counted)
    layer, x = MaskedLinear(staircase()), torch.randn(4, INPUTS)
    found = layer(x)
    assert taken == [4]
    torch.testing.assert_close(layer(x.expand(2, 4, INPUTS))[0], found)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert taken == [4], "neither of these is a plain product"
