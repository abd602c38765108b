"""Checks of what a model draws, fills in, goes on with and finds."""

__all__ = ["completes", "draws", "extends", "finds", "same_seed"]

import torch
from torch import Tensor

from ptheta.random import seeded
from ptheta.spaces import Space
from ptheta.testing.examples import example_rows
from ptheta.testing.fitted import Make, require


def draws(fitted: Make, space: Space) -> None:
    """Draws have the shape and kind of the space, lie in it, and carry no gradient."""
    found = fitted()
    with seeded(1):
        x = found.model.sample(50, found.given(50))
    require(tuple(x.shape) == (50, *space.shape), f"draws have shape {tuple(x.shape)}")
    require(x.dtype == space.dtype, f"draws are {x.dtype}, expected {space.dtype}")
    require(not x.requires_grad, "draws carry gradient")
    require(bool(space.contains(x).all()), "some draws lie outside the space")


def same_seed(fitted: Make) -> None:
    """Two draws under one seed are the same."""
    found = fitted()
    drawn: list[Tensor] = []
    for _ in range(2):
        with seeded(3):
            drawn.append(found.model.sample(5, found.given(5)))
    require(torch.equal(*drawn), "two draws under one seed differ")


def completes(fitted: Make, space: Space) -> None:
    """What is filled in lies in the space, beside what was known."""
    found = fitted()
    x = example_rows(space, 20, seed=1)
    # a gap in what is known stays one; the rest is to lie in the space
    x = x.nan_to_num(nan=0.0) if x.is_floating_point() else x
    for first in range(2):
        known = (torch.arange(space.features) % 2 == first).reshape(space.shape)
        with seeded(0):
            whole = found.model.complete(x, known, found.given(20))
        require(whole.shape == x.shape, f"completed rows have shape {tuple(whole.shape)}")
        require(torch.equal(whole[:, known], x[:, known]), "a value that is known was changed")
        require(bool(space.contains(whole).all()), "a completed row lies outside the space")


def extends(fitted: Make, space: Space) -> None:
    """A sequence that goes on keeps its beginning, and lies in the space."""
    found = fitted()
    so_far, length = (space.features + 1) // 2, space.features + 3
    prefix = example_rows(space, 20, seed=1)[:, :so_far]
    with seeded(0):
        whole = found.model.extend(prefix, found.given(20), length=length, top_p=0.9)
    require(tuple(whole.shape) == (20, length), f"sequences have shape {tuple(whole.shape)}")
    require(whole.dtype == space.dtype, f"sequences are {whole.dtype}, expected {space.dtype}")
    require(torch.equal(whole[:, :so_far], prefix), "a symbol of the beginning was changed")
    require(bool(space.contains(whole).all()), "a sequence lies outside the space")


def finds(fitted: Make, space: Space) -> None:
    """The sequences found are of the space, and the same alone and in a batch."""
    found = fitted()
    context = found.given(20)
    for beams in (1, 3):
        whole = found.model.beam_search(context, beams=beams)
        require(tuple(whole.shape) == (20, *space.shape), f"found shape {tuple(whole.shape)}")
        require(whole.dtype == space.dtype, f"found {whole.dtype}, expected {space.dtype}")
        require(bool(space.contains(whole).all()), "what is found lies outside the space")
        for row in range(3):
            assert context is not None
            alone = found.model.beam_search(context[row : row + 1], beams=beams)
            require(torch.equal(alone[0], whole[row]), "alone another sequence is found")
