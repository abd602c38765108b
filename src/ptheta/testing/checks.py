"""The checks that every recipe passes, chosen by what its model can do."""

__all__ = ["Check", "checks"]

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ptheta.objectives.types import Batch
from ptheta.protocols import (
    SupportsBeamSearch,
    SupportsClassify,
    SupportsComplete,
    SupportsElbo,
    SupportsEncode,
    SupportsExtend,
    SupportsInitialize,
    SupportsInitializeContext,
    SupportsLogProb,
    SupportsSample,
    SupportsScore,
    SupportsUnnormalizedLogProb,
)
from ptheta.random import seeded
from ptheta.recipes.algorithm import Algorithm
from ptheta.spaces import Categorical, Positive, Real, Space
from ptheta.testing.examples import example_context, example_rows, grid, line, states

_ROWS = 256
_DRAWS = 4000
_STIR, _FEW = 0.1, 10  # how far parameters are moved, and the inputs that a vector counts as


@dataclass(frozen=True)
class Check:
    """One property.

    Arguments:
        name: What is checked.
        run: Checks it; raises AssertionError where it does not hold.
    """

    name: str
    run: Callable[[], None]


def checks(
    make: Callable[[], Algorithm],
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    steps: int = 10,
) -> Iterator[Check]:
    """The checks that apply to a recipe on a space.

    Statistical checks use a fixed seed and a bound of five standard errors, which a correct
    model crosses once in two million times.

    Arguments:
        make: Makes the algorithm; called anew for each check.
        space: The space.
        context_space: What it is conditioned on, if anything.
        steps: The number of updates before a model is checked.
    """
    fitted = partial(_fitted, make, space, context_space, steps)
    found = fitted()
    model = found.model
    yield Check("every update is finite and reaches every parameter", partial(_learns, fitted))
    yield Check("state goes out and comes back", partial(_round_trip, fitted))
    if isinstance(context_space, Real):
        yield Check("networks see the context standardised", partial(_standardises, fitted))
    if "invertible" in found.algorithm.constraints:
        # a flow of few updates is near the identity, where much that is wrong passes
        fitted = partial(_stirred, fitted)
        yield Check("a decoded latent is the row", partial(_comes_back, fitted, space))
    if isinstance(model, SupportsSample):
        yield Check("draws lie in the space", partial(_draws, fitted, space))
        yield Check("the same seed gives the same draws", partial(_same_seed, fitted))
    if isinstance(model, SupportsLogProb):
        yield Check("a batch is a loop over rows", partial(_batch_is_loop, fitted, "log_prob"))
        yield Check("draws have a density", partial(_draws_have_density, fitted))
        if _support(space)[0] is not None:
            yield Check("probabilities sum to one", partial(_normalised, fitted, space))
            yield Check("draws follow the density", partial(_goodness_of_fit, fitted, space))
    if isinstance(model, SupportsElbo):
        if states(space) is not None:
            yield Check("the bound lies under the evidence", partial(_bound_sums, fitted, space))
        yield Check("the bound rises with particles", partial(_bound_rises, fitted))
    if isinstance(model, SupportsUnnormalizedLogProb):
        verb = "unnormalized_log_prob"
        yield Check("a batch is a loop over rows", partial(_batch_is_loop, fitted, verb))
    if isinstance(model, SupportsScore) and space.continuous:
        yield Check("the score is the gradient", partial(_score_is_gradient, fitted))
    if isinstance(model, SupportsEncode):
        yield Check("a latent for each row", partial(_encodes, fitted))
    if isinstance(model, SupportsComplete):
        yield Check("what is known is kept", partial(_completes, fitted, space))
    if isinstance(model, SupportsClassify):
        yield Check("the classes of a row have probabilities", partial(_classifies, fitted))
        yield Check("a batch is a loop over rows", partial(_classes_of_batch, fitted))
    if isinstance(model, SupportsClassify) and isinstance(model, SupportsLogProb):
        yield Check("classes follow the rule of Bayes", partial(_follows_bayes, fitted))
    if isinstance(model, SupportsExtend):
        yield Check("a beginning is kept", partial(_extends, fitted, space))
    if isinstance(model, SupportsBeamSearch):
        yield Check(
            "what is found is the same alone and in a batch", partial(_finds, fitted, space)
        )


@dataclass(frozen=True)
class _Fitted:
    algorithm: Algorithm
    x: Tensor
    context: Tensor | None
    before: dict[str, Tensor]

    @property
    def model(self) -> Any:
        return self.algorithm.model

    def given(self, rows: int) -> Tensor | None:
        if self.context is None:
            return None
        return self.context[torch.arange(rows) % len(self.context)]


def _fitted(
    make: Callable[[], Algorithm],
    space: Space,
    context_space: Categorical | Real | None,
    steps: int,
) -> _Fitted:
    from lightning_fabric import Fabric

    with seeded(0), torch.enable_grad():
        algorithm = make()
        x = example_rows(space, _ROWS)
        context = example_context(context_space, _ROWS)
        if isinstance(algorithm.model, SupportsInitialize):
            algorithm.model.initialize(x, context)
        before = {k: v.clone() for k, v in algorithm.model.named_parameters()}
        algorithm.learner.setup(Fabric(accelerator="cpu", devices=1))
        for _ in range(steps):
            metrics = algorithm.learner.step(Batch(x, context))
            _require(bool(metrics["loss"].isfinite()), f"the loss is {metrics['loss'].item()}")
        algorithm.model.eval()
    return _Fitted(algorithm, x, context, before)


def _stirred(fitted: Callable[[], _Fitted]) -> _Fitted:
    """With parameters away from their start; what no update moves, as a masked weight, stays."""
    found = fitted()
    with torch.no_grad(), seeded(7):
        for name, parameter in found.model.named_parameters():
            inputs = parameter[0].numel() if parameter.dim() > 1 else _FEW
            noise = _STIR / math.sqrt(inputs) * torch.randn_like(parameter)
            parameter += noise * (parameter != found.before[name])
    return found


def _learns(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    for name, parameter in found.model.named_parameters():
        _require(bool(parameter.isfinite().all()), f"{name} is not finite")
        moved = not torch.equal(parameter, found.before[name])
        # a weight that is masked whole is zero, and stays so
        idle = not parameter.requires_grad or not bool(parameter.any())
        _require(moved or idle, f"{name} never moved: no gradient reaches it")


def _completes(fitted: Callable[[], _Fitted], space: Space) -> None:
    found = fitted()
    x = example_rows(space, 20, seed=1)
    # a gap in what is known stays one; the rest is to lie in the space
    x = x.nan_to_num(nan=0.0) if x.is_floating_point() else x
    for first in range(2):
        known = (torch.arange(space.features) % 2 == first).reshape(space.shape)
        with seeded(0):
            whole = found.model.complete(x, known, found.given(20))
        _require(whole.shape == x.shape, f"completed rows have shape {tuple(whole.shape)}")
        _require(torch.equal(whole[:, known], x[:, known]), "a value that is known was changed")
        _require(bool(space.contains(whole).all()), "a completed row lies outside the space")


def _extends(fitted: Callable[[], _Fitted], space: Space) -> None:
    found = fitted()
    so_far, length = (space.features + 1) // 2, space.features + 3
    prefix = example_rows(space, 20, seed=1)[:, :so_far]
    with seeded(0):
        whole = found.model.extend(prefix, found.given(20), length=length, top_p=0.9)
    _require(tuple(whole.shape) == (20, length), f"sequences have shape {tuple(whole.shape)}")
    _require(whole.dtype == space.dtype, f"sequences are {whole.dtype}, expected {space.dtype}")
    _require(torch.equal(whole[:, :so_far], prefix), "a symbol of the beginning was changed")
    _require(bool(space.contains(whole).all()), "a sequence lies outside the space")


@torch.no_grad()
def _classifies(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    assert found.context is not None
    log_p = found.model.class_log_prob(found.x)
    _require(
        log_p.dim() == 2 and len(log_p) == len(found.x) and log_p.shape[1] > found.context.max(),
        f"class_log_prob has shape {tuple(log_p.shape)}, expected (batch, classes)",
    )
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(len(log_p)).to(log_p))


@torch.no_grad()
def _classes_of_batch(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    x = found.x[:8]
    one_by_one = torch.cat([found.model.class_log_prob(row) for row in x.split(1)])
    torch.testing.assert_close(found.model.class_log_prob(x), one_by_one, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def _follows_bayes(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    x = found.x[:16]
    posterior = found.model.class_log_prob(x)
    labels = torch.arange(posterior.shape[1])
    given = torch.stack([found.model.log_prob(x, c.expand(len(x))) for c in labels], dim=1)
    # what is left is how frequent the classes are, over how likely the row is
    left = posterior - given
    prior = (left - left[:, :1])[:1].expand_as(left)
    torch.testing.assert_close(left - left[:, :1], prior, rtol=1e-4, atol=1e-4)


def _finds(fitted: Callable[[], _Fitted], space: Space) -> None:
    found = fitted()
    context = found.given(20)
    for beams in (1, 3):
        whole = found.model.beam_search(context, beams=beams)
        _require(tuple(whole.shape) == (20, *space.shape), f"found shape {tuple(whole.shape)}")
        _require(whole.dtype == space.dtype, f"found {whole.dtype}, expected {space.dtype}")
        _require(bool(space.contains(whole).all()), "what is found lies outside the space")
        for row in range(3):
            assert context is not None
            alone = found.model.beam_search(context[row : row + 1], beams=beams)
            _require(torch.equal(alone[0], whole[row]), "alone another sequence is found")


def _round_trip(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    state = {k: v.clone() for k, v in found.model.state_dict().items()}
    with torch.no_grad():
        for tensor in found.model.state_dict().values():
            tensor.zero_()
    found.model.load_state_dict(state)
    for name, tensor in found.model.state_dict().items():
        _require(torch.equal(tensor, state[name]), f"{name} came back changed")


@torch.no_grad()
def _standardises(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    modules = found.model.modules()
    pieces: list[Any] = [each for each in modules if isinstance(each, SupportsInitializeContext)]
    _require(bool(pieces), "no part of the model fits the scale of the context")
    for piece in pieces:
        seen = piece(found.context, _ROWS)
        assert seen is not None
        mean, spread = seen.mean(dim=0), seen.std(dim=0, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-4)
        torch.testing.assert_close(spread, torch.ones_like(spread), rtol=0, atol=1e-4)


def _draws(fitted: Callable[[], _Fitted], space: Space) -> None:
    found = fitted()
    with seeded(1):
        x = found.model.sample(50, found.given(50))
    _require(tuple(x.shape) == (50, *space.shape), f"draws have shape {tuple(x.shape)}")
    _require(x.dtype == space.dtype, f"draws are {x.dtype}, expected {space.dtype}")
    _require(not x.requires_grad, "draws carry gradient")
    _require(bool(space.contains(x).all()), "some draws lie outside the space")


def _same_seed(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    drawn: list[Tensor] = []
    for _ in range(2):
        with seeded(3):
            drawn.append(found.model.sample(5, found.given(5)))
    _require(torch.equal(*drawn), "two draws under one seed differ")


@torch.no_grad()
def _batch_is_loop(fitted: Callable[[], _Fitted], verb: str) -> None:
    found = fitted()
    x, context = found.x[:8], found.given(8)
    ask = getattr(found.model, verb)
    whole = ask(x, context)
    _require(tuple(whole.shape) == (8,), f"{verb} has shape {tuple(whole.shape)}, expected (8,)")
    one_by_one = torch.cat(
        [ask(x[i : i + 1], None if context is None else context[i : i + 1]) for i in range(8)]
    )
    torch.testing.assert_close(whole, one_by_one, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def _normalised(fitted: Callable[[], _Fitted], space: Space) -> None:
    found = fitted()
    # stirred flows can reach far
    x, weight = _support(space, reach=min(20.0, max(9.0, 2 * _farthest(found))))
    assert x is not None
    total = (found.model.log_prob(x, _one(found, len(x))).double().exp() * weight).sum().item()
    _require(
        abs(total - 1) < (1e-2 if states(space) is None else 1e-4),
        f"the density sums to {total:.6f}",
    )


@torch.no_grad()
def _draws_have_density(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    with seeded(6):
        drawn = found.model.sample(50, found.given(50))
    log_p = found.model.log_prob(drawn, found.given(50))
    _require(bool(log_p.isfinite().all()), "some draws have no probability")


@torch.no_grad()
def _goodness_of_fit(fitted: Callable[[], _Fitted], space: Space) -> None:
    found = fitted()
    with seeded(2):
        drawn = found.model.sample(_DRAWS, _one(found, _DRAWS))
    mine = found.model.log_prob(drawn, _one(found, _DRAWS)).double()
    x, weight = _support(space)
    assert x is not None
    # the mean log-density of draws is the negative entropy, which the support gives exactly
    log_p = found.model.log_prob(x, _one(found, len(x))).double()
    p = log_p.exp() * weight
    expected = (p * log_p.clamp(min=-700)).sum()
    error = mine.std() / math.sqrt(_DRAWS)
    slack = 1e-2 if states(space) is None else 1e-3
    off = (mine.mean() - expected).abs().item()
    _require(off < 5 * error.item() + slack, f"draws are off their own density by {off:.4f} nats")


@torch.no_grad()
def _bound_sums(fitted: Callable[[], _Fitted], space: Space) -> None:
    found = fitted()
    x = states(space)
    assert x is not None
    with seeded(4):
        draws = torch.stack([found.model.elbo(x, _one(found, len(x))) for _ in range(8)])
    # the mean of draws of a bound is a bound on log p(x), and the p(x) sum to one at most
    total = draws.mean(dim=0).double().exp().sum().item()
    _require(total < 1.02, f"the exponentials of the bound sum to {total:.4f}")


@torch.no_grad()
def _bound_rises(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    x, context = found.x[:64], found.given(64)
    with seeded(5):
        one = torch.stack([found.model.elbo(x, context) for _ in range(10)])
        many = torch.stack([found.model.elbo(x, context, particles=8) for _ in range(10)])
    gain = many.mean(dim=1) - one.mean(dim=1)
    error = (gain.std() / math.sqrt(10)).item()
    _require(gain.mean().item() > -5 * error - 1e-4, f"the bound fell by {-gain.mean():.4f} nats")


def _score_is_gradient(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    verb = "log_prob" if isinstance(found.model, SupportsLogProb) else "unnormalized_log_prob"
    x = found.x[:16].clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(getattr(found.model, verb)(x, found.given(16)).sum(), x)
    score = fitted().model.score(x.detach(), found.given(16))
    torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-5)


def _encodes(fitted: Callable[[], _Fitted]) -> None:
    found = fitted()
    z = found.model.encode(found.x[:6], found.given(6))
    _require(len(z) == 6 and bool(z.isfinite().all()), "a latent is missing or not finite")


@torch.no_grad()
def _comes_back(fitted: Callable[[], _Fitted], space: Space) -> None:
    found = fitted()
    z = found.model.encode(found.x, found.context)
    back = found.model.decode(z, found.context)
    _require(back.dtype == space.dtype, f"decoded rows are {back.dtype}, expected {space.dtype}")
    torch.testing.assert_close(back, found.x, rtol=1e-3, atol=1e-3)


def _farthest(found: _Fitted) -> float:
    if not isinstance(found.model, SupportsSample):
        return 0.0
    with seeded(5):
        return found.model.sample(200, _one(found, 200)).abs().max().item()


def _support(space: Space, reach: float = 9.0) -> tuple[Tensor | None, Tensor | float]:
    finite = states(space)
    if finite is not None:
        return finite, 1.0
    if isinstance(space, Real) and space.shape == (2,):
        return grid(reach, 1 + round(300 * reach / 9))
    if isinstance(space, Real | Positive) and space.shape == (1,):
        return line(12.0, 4001, positive=isinstance(space, Positive))
    return None, 1.0


def _one(found: _Fitted, rows: int) -> Tensor | None:
    """The first context for every row: a density is normalised for each context."""
    if found.context is None:
        return None
    return found.context[:1].expand(rows, *found.context.shape[1:])


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
