"""What the counted products have in common: a class of rows at a time, and little memory."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ptheta.models.tractable.independent import Independent
from ptheta.models.tractable.naive_bayes import NaiveBayes
from ptheta.spaces import Categorical, Column, Discrete, Real, Table
from ptheta.testing.examples import example_context, example_rows

CLASSES = Categorical(categories=3)
MIXED = Table((Column("a", Real(), missing=True), Column("b", Discrete(levels=9))))


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that is made."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return made


def fitted(kind, space, x, context):
    model = kind(space, CLASSES)
    model.take(model.count(x, context))
    return model


@pytest.mark.parametrize("kind", [NaiveBayes, Independent])
@pytest.mark.parametrize("space", [MIXED, Discrete((1, 2, 2), 17, layout="image")])
def test_rows_of_several_classes_are_rows_of_each(kind, space):
    x, y = example_rows(space, 40), example_context(CLASSES, 40)
    model = fitted(kind, space, x, y)
    found = model.log_prob(x, y)
    for row in range(40):
        one = model.head(model.parameters_of_classes()[y[row]]).log_prob(x[row])
        torch.testing.assert_close(found[row], one)


def test_draws_are_of_the_class_that_is_asked_for():
    # each class has one level alone
    space, y = Discrete((2, 2), 3), torch.arange(3)
    x = y[:, None, None].expand(3, 2, 2)
    model = NaiveBayes(space, CLASSES, alpha=1e-12)
    model.take(model.count(x, y))
    asked = torch.tensor([2, 0, 1, 1, 2])
    assert torch.equal(model.sample(5, asked), asked[:, None, None].expand(5, 2, 2).to(space.dtype))


@pytest.mark.parametrize("kind", [NaiveBayes, Independent])
def test_no_step_holds_the_parameters_of_every_row(kind):
    # 60,000 digits of 256 levels would take 96 GB
    space, rows = Discrete((1, 8, 8), 256, layout="image"), 1000
    x, y = example_rows(space, rows), example_context(CLASSES, rows)
    with Largest() as seen:
        model = fitted(kind, space, x, y)
        model.log_prob(x, y)
    values = rows * space.features * 8
    counts = len(model.counts) * space.features * 256 * 8
    assert seen.bytes <= max(values, counts)
    with Largest() as seen:
        model.sample(rows, y)
        model.sample(rows, torch.zeros(rows))
    # whether each level is passed, in a byte
    assert seen.bytes <= max(rows * space.features * 256, counts)
