"""PixelCNN, gated PixelCNN, and PixelRNN by rows and by diagonals."""

import math
from functools import partial

import pytest
import torch

from ptheta.errors import PthetaError
from ptheta.models.autoregressive.gated_pixelcnn import GatedPixelCNN
from ptheta.models.autoregressive.pixelcnn import PixelCNN
from ptheta.models.autoregressive.pixelrnn import PixelRNN
from ptheta.models.heads.discrete import LogisticMixtureKind, SoftmaxKind
from ptheta.networks.image_lstm import DiagonalBiLSTM, RowLSTM
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Discrete, Real
from ptheta.testing.examples import example_context, example_rows, states

MODELS = {
    "pixelcnn": PixelCNN,
    "gated-pixelcnn": GatedPixelCNN,
    "row-lstm": partial(PixelRNN, lstm=RowLSTM),
    "diagonal-bilstm": partial(PixelRNN, lstm=DiagonalBiLSTM),
}


def layers(model):
    return "blocks" if model == "pixelcnn" else "layers"


def made(model, shape, levels=2, context_space=None, depth=2, **options):
    """A model far from its start, so that no part of it is near zero."""
    torch.manual_seed(0)
    space = Discrete(shape, levels, layout="image")
    found = MODELS[model](space, context_space, **{"channels": 12, layers(model): depth} | options)
    for name, parameter in found.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return found.double().eval()


def dependence(model):
    """Which values move the conditional of each, (values, values), both in the order of drawing."""
    colours, height, width = model.space.shape
    x = model.features(example_rows(model.space, 32)).double().requires_grad_()
    model.features.forward = lambda _: x
    parameters = model.conditionals(example_rows(model.space, 32)).parameters
    parts = parameters.unflatten(1, (-1, model.space.features)).sum(dim=(0, 1))
    found = torch.stack(
        [torch.autograd.grad(p, x, retain_graph=True)[0].abs().sum(dim=0) > 0 for p in parts]
    )
    order = torch.arange(model.space.features).reshape(colours, height, width)
    order = order.permute(1, 2, 0).flatten()
    return found[order][:, order]


@pytest.mark.parametrize(
    ("model", "depth", "shape"),
    [
        ("gated-pixelcnn", 5, (1, 5, 6)),
        ("gated-pixelcnn", 5, (3, 3, 3)),
        # wider than the first kernel reaches, so that the states do the rest
        ("diagonal-bilstm", 1, (1, 6, 9)),
        ("diagonal-bilstm", 1, (1, 9, 6)),
        ("diagonal-bilstm", 2, (3, 3, 6)),
    ],
)
def test_these_see_all_of_the_past_and_nothing_else(model, depth, shape):
    found = dependence(made(model, shape, levels=3, depth=depth))
    assert torch.equal(found, torch.ones_like(found).tril(-1))


def test_the_plain_one_has_its_blind_spot_and_sees_nothing_of_the_future():
    height, width = 4, 9
    found = dependence(made("pixelcnn", (1, height, width), depth=8))
    row, column = torch.arange(height * width) // width, torch.arange(height * width) % width
    up = row[:, None] - row
    right = column - column[:, None]
    past = (up > 0) | ((up == 0) & (right < 0))
    # the first layer reaches 3 to the right a row up, each other layer 1 for 1 row
    blind = (up > 0) & (right > up + 2)
    assert torch.equal(found, past & ~blind)
    # of the first pixel of the last row: the row above it from the fifth pixel on, and so on
    unseen = [[6, 7, 8], [5, 6, 7, 8], [4, 5, 6, 7, 8]]
    seen = found[3 * width].reshape(height, width)
    assert [(~seen[r]).nonzero().flatten().tolist() for r in range(3)] == unseen


@pytest.mark.parametrize(("depth", "kernel_size"), [(1, 3), (2, 3), (1, 5)])
def test_rows_see_a_triangle_above_each_pixel_and_nothing_of_the_future(depth, kernel_size):
    height, width, reach = 6, 16, kernel_size // 2
    found = dependence(
        made(
            "row-lstm",
            (1, height, width),
            depth=depth,
            lstm=partial(RowLSTM, kernel_size=kernel_size),
        )
    )
    row, column = torch.arange(height * width) // width, torch.arange(height * width) % width
    up = row[:, None] - row
    right = column - column[:, None]
    # the first layer reaches 3 to both sides and 3 up, the input of each other layer so many to
    # the left in its row, and the states of all layers together so many to both sides a row
    left = 3 + depth * reach
    triangle = (up > 0) & (right <= 3 + reach * (up - 1)) & (right >= -left - reach * up)
    assert torch.equal(found, triangle | ((up == 0) & (right < 0) & (right >= -left)))
    if (depth, kernel_size) == (1, 3):
        seen = found[3 * width + 6].reshape(height, width).int().sum(dim=1)
        # of column 6: columns 2 to 5 of its row, 1 to 9 above, then from the edge to 10 and to 11
        assert seen.tolist() == [12, 11, 9, 4, 0, 0]


@pytest.mark.parametrize("model", ["pixelcnn", "row-lstm"])
def test_images_of_three_columns_are_too_narrow_for_a_blind_spot(model):
    # the first layer reaches 3 to both sides, and so all of each row above
    found = dependence(made(model, (3, 3, 3), levels=3))
    assert torch.equal(found, torch.ones_like(found).tril(-1))


def test_colours_come_in_order_within_a_pixel():
    # in images of one pixel nothing else is left to see
    for model in MODELS:
        found = dependence(made(model, (3, 1, 1), levels=4))
        assert torch.equal(found, torch.ones(3, 3, dtype=torch.bool).tril(-1))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("shape", "levels", "softmax_levels"),
    [((1, 2, 3), 2, 2), ((3, 1, 2), 3, 3), ((1, 2, 2), 6, 6), ((1, 2, 2), 6, 2)],
)
def test_masses_sum_to_one(model, shape, levels, softmax_levels):
    found = made(model, shape, levels, softmax_levels=softmax_levels)
    total = found.log_prob(states(found.space)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("context_space", [Categorical(categories=3), Real((2,))])
def test_each_context_has_its_own_normalised_masses(model, context_space):
    found = made(model, (1, 2, 2), 3, context_space)
    every, context = states(found.space), example_context(context_space, 4)
    log_p = torch.stack([found.log_prob(every, c.expand(len(every), *c.shape)) for c in context])
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(4).double())
    first = log_p.reshape(4, 3, -1).exp().sum(dim=2)
    assert first.std(dim=0).max() > 1e-3  # the first value hears the context too


def naive(model, uniforms, context=None):
    """A whole evaluation for each value."""
    colours, height, width = model.space.shape
    x = torch.zeros(uniforms.shape[2], *model.space.shape, dtype=model.space.dtype)
    for r in range(height):
        for c in range(width):
            for k in range(colours):
                d = (k * height + r) * width + c
                parameters = model.conditionals(x, context).parameters
                own = parameters.unflatten(1, (-1, model.space.features))[:, :, d].T
                x[:, k, r, c] = model.head.kind(d).draw(own, uniforms[:, d]).to(x.dtype)
    return x


# in double precision, where another order of the same sums never moves a draw
@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("shape", "levels", "softmax_levels"),
    [((1, 5, 6), 2, 2), ((1, 4, 3), 17, 17), ((3, 3, 4), 6, 6), ((3, 2, 3), 256, 32)],
)
@pytest.mark.parametrize("context_space", [None, Categorical(categories=3), Real((2,))])
def test_cached_draws_are_those_of_whole_evaluations(
    model, shape, levels, softmax_levels, context_space
):
    found = made(model, shape, levels, context_space, softmax_levels=softmax_levels)
    uniforms = torch.rand(2, found.space.features, 12, dtype=torch.double)
    context = example_context(context_space, 12)
    drawn = found.draw(uniforms, context)
    assert torch.equal(drawn, naive(found, uniforms, context))
    assert drawn.float().std() > 0.3


@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
def test_fewer_channels_than_colours_still_work(model):
    found = made(model, (3, 2, 2), 4, channels=2)
    uniforms = torch.rand(2, 12, 8, dtype=torch.double)
    assert torch.equal(found.draw(uniforms), naive(found, uniforms))


@pytest.mark.parametrize("model", MODELS)
def test_it_learns_what_marginals_cannot(model):
    # the lower row repeats the upper one: two fair bits in all, where marginals need four
    upper = torch.randint(0, 2, (256, 1, 1, 2), dtype=torch.uint8)
    x = upper.expand(-1, 1, 2, 2)
    found = MODELS[model](Binary((1, 2, 2), "image"), **{"channels": 8, layers(model): 1})
    found.initialize(x)
    optimizer = torch.optim.Adam(found.parameters(), lr=0.03)
    for _ in range(60):
        loss = -found.log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(2 * math.log(2), abs=0.05)


@pytest.mark.parametrize("model", MODELS)
def test_it_starts_near_the_marginal_of_each_colour(model):
    found = made(model, (3, 2, 2), 6)
    x = example_rows(found.space, 500)
    found.initialize(x)
    shares = torch.stack([torch.bincount(x[:, k].flatten(), minlength=6) / 2000 for k in range(3)])
    marginal = shares.log().gather(1, x.movedim(1, 0).flatten(1).long()).sum() / len(x)
    assert abs(found.log_prob(x).mean() - marginal) < 0.3


@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
def test_single_precision_is_double_precision_rounded(model):
    found = made(model, (1, 4, 5), 3)
    x = example_rows(found.space, 20)
    expected = found.log_prob(x)
    torch.testing.assert_close(found.float().log_prob(x).double(), expected, rtol=1e-5, atol=1e-4)
    assert found.draw(torch.rand(2, 20, 3)).shape == (3, 1, 4, 5)


def test_few_levels_have_a_softmax_and_many_a_mixture():
    kinds = [made("pixelcnn", (1, 2, 2), n, softmax_levels=32).head.kinds[0] for n in (17, 256)]
    assert kinds == [SoftmaxKind(17, ordered=True), LogisticMixtureKind(256, 5)]
    setting = {"softmax_levels": 256}
    photo = build("pixelcnn", Discrete((3, 4, 4), 256, layout="image"), settings=setting)
    assert photo.model.model.head.kinds == (SoftmaxKind(256, ordered=True),)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("space", [Real((1, 4, 4), "image"), Binary((16,)), Categorical((4,), 3)])
def test_what_is_no_image_of_levels_is_refused(name, space):
    with pytest.raises(PthetaError, match=r"models images of levels.*Recipes that can: .*made"):
        build(name, space)


def test_images_of_another_size_and_even_kernels_are_refused():
    with pytest.raises(ValueError, match=r"of shape \(1, 4, 4\), got \(1, 5, 4\)"):
        made("pixelcnn", (1, 4, 4)).log_prob(torch.zeros(2, 1, 5, 4))
    with pytest.raises(ValueError, match="odd"):
        made("gated-pixelcnn", (1, 4, 4), kernel_size=4)
    with pytest.raises(ValueError, match="odd"):
        made("row-lstm", (1, 4, 4), lstm=partial(RowLSTM, kernel_size=4))
    with pytest.raises(ValueError, match="expected images of levels"):
        PixelCNN(Binary((4,)))
