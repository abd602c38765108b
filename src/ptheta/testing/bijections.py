"""The checks that every bijection passes."""

__all__ = ["bijection_checks"]

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ptheta.models.flows.bijections import Bijection
from ptheta.random import seeded
from ptheta.testing.checks import Check

_ROWS = 5
_DRAWS = 200  # of an estimate, for each row


def bijection_checks(
    make: Callable[[], Bijection],
    noise: tuple[int, ...],
    data: tuple[int, ...] | None = None,
    *,
    context_features: int = 0,
) -> Iterator[Check]:
    """The checks of a bijection, on one whose parameters are stirred away from their start.

    Arguments:
        make: Makes the bijection; called anew for each check.
        noise: The shape of the noise of one example.
        data: The shape of one example; None means that of the noise.
        context_features: The number of features of the context.
    """
    tried = partial(_Tried, make, noise, noise if data is None else data, context_features)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        name = "the maps undo each other, and their log-determinants cancel, in "
        yield Check(name + str(dtype), partial(_round_trip, tried, dtype, tolerance))
    for forward in (True, False):
        way = "forward" if forward else "inverse"
        yield Check(f"{way}: the log-determinant is exact", partial(_log_det, tried, forward))
        yield Check(f"{way}: a batch is a loop over rows", partial(_batch, tried, forward))
        yield Check(f"{way}: extreme values come back", partial(_extremes, tried, forward))
        yield Check(
            f"{way}: extremes and their gradients are finite",
            partial(_mixed_extremes, tried, forward),
        )
        yield Check(f"{way}: the map alone is the same map", partial(_alone, tried, forward))
        yield Check(f"{way}: the gradient is exact", partial(_gradient, tried, forward))
        if context_features:
            yield Check(f"{way}: each row follows its context", partial(_context, tried, forward))
    yield Check("estimates of the log-determinant average to it", partial(_estimates, tried))


class _Tried:
    """A bijection with inputs for both ways."""

    def __init__(
        self,
        make: Callable[[], Bijection],
        noise: tuple[int, ...],
        data: tuple[int, ...],
        context_features: int,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        with seeded(0), torch.enable_grad():
            self.z = torch.randn(_ROWS, *noise, dtype=dtype)
            self.context = (
                torch.randn(_ROWS, context_features, dtype=dtype) if context_features else None
            )
            self.bijection = make().to(dtype).eval()
            x = torch.randn(_ROWS, *data, dtype=dtype)
            self.bijection.initialize(x, self.context)
            for _ in range(3):
                self.active = _stir(self.bijection, x, self.context)
        self.x = self.bijection.forward_and_log_det(self.z, self.context)[0].detach()

    def start(self, forward: bool) -> Tensor:
        return self.z if forward else self.x

    def __call__(
        self, forward: bool, values: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        map_ = self.bijection
        return (map_.forward_and_log_det if forward else map_.inverse_and_log_det)(values, context)


def _stir(bijection: Bijection, x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
    """Moves the parameters that matter, and gives which do: what is masked has no gradient."""
    if not list(bijection.parameters()):
        return {}
    z, log_det = bijection.inverse_and_log_det(x, context)
    (z.square().sum() - log_det.sum()).backward()
    active: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, parameter in bijection.named_parameters():
            if parameter.grad is not None:
                active[name] = parameter.grad != 0
                parameter += 0.2 * torch.randn_like(parameter) * active[name]
    bijection.zero_grad()
    return active


@torch.no_grad()
def _round_trip(tried: Callable[..., _Tried], dtype: torch.dtype, tolerance: float) -> None:
    found = tried(dtype)
    x, forward = found(True, found.z, found.context)
    z, inverse = found(False, x, found.context)
    torch.testing.assert_close(z, found.z, rtol=tolerance, atol=tolerance)
    # errors of the values add up
    allowed = tolerance * max(1, found.z[0].numel())
    torch.testing.assert_close(-inverse, forward, rtol=allowed, atol=allowed)


def _log_det(tried: Callable[..., _Tried], forward: bool) -> None:
    found = tried()
    start = found.start(forward)
    _, log_det = found(forward, start, found.context)
    for row in range(2):
        given = None if found.context is None else found.context[row : row + 1]

        def alone(values: Tensor, given: Tensor | None = given) -> Tensor:
            return found(forward, values[None], given)[0].flatten()

        jacobian = torch.autograd.functional.jacobian(alone, start[row])
        exact = torch.linalg.slogdet(jacobian.flatten(1)).logabsdet
        torch.testing.assert_close(log_det[row].detach(), exact, rtol=1e-7, atol=1e-7)


@torch.no_grad()
def _batch(tried: Callable[..., _Tried], forward: bool) -> None:
    found = tried()
    start = found.start(forward)
    together, log_det = found(forward, start, found.context)
    for rows in (slice(0, 0), slice(0, 1), slice(2, 5)):
        given = None if found.context is None else found.context[rows]
        alone, its_log_det = found(forward, start[rows], given)
        torch.testing.assert_close(alone, together[rows], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(its_log_det, log_det[rows], rtol=1e-8, atol=1e-8)


@torch.no_grad()
def _extremes(tried: Callable[..., _Tried], forward: bool) -> None:
    found = tried(torch.float32)
    start = found.start(forward)
    for extreme in (0.0, 1e-30, -1e-30, 1e30, -1e30):
        given = torch.full_like(start, extreme)
        values, log_det = found(forward, given, found.context)
        assert values.isfinite().all(), f"{extreme:g} is mapped to {values}"
        assert log_det.isfinite().all(), f"{extreme:g} has log-determinant {log_det}"
        back, _ = found(not forward, values, found.context)
        size = max(1.0, abs(extreme), float(values.abs().max()))
        torch.testing.assert_close(back / size, given / size, rtol=0, atol=1e-4)


def _mixed_extremes(tried: Callable[..., _Tried], forward: bool) -> None:
    found = tried(torch.float32)
    start = found.start(forward)
    for extreme in (1e-30, 1e15, -1e15, 1e30, -1e30):
        given = (extreme * _mixed(start)).requires_grad_()
        values, log_det = found(forward, given, found.context)
        assert values.isfinite().all(), f"{given} is mapped to {values}"
        assert log_det.isfinite().all(), f"{given} has log-determinant {log_det}"
        # as large as the values are, so is what they owe to weights: of 1e30 that is no float
        weights = _active(found) if abs(extreme) < 1e30 else []
        for gradient in torch.autograd.grad(values.sum() + log_det.sum(), [given, *weights]):
            assert gradient.isfinite().all(), f"{given} has gradient {gradient}"
        with torch.no_grad():
            back, _ = found(not forward, values, found.context)
            again, _ = found(forward, back, found.context)
        # a zero beside a large value comes back as what that one is rounded by, and maps that read
        # it may then be others; but what comes back has the same values, to the largest's digits
        size = values.detach().flatten(1).abs().amax(dim=1).clamp(min=1)
        size = size.reshape(-1, *(1,) * (values.dim() - 1))
        torch.testing.assert_close(again / size, values.detach() / size, rtol=0, atol=1e-4)


def _mixed(like: Tensor) -> Tensor:
    """Rows of ones alike, of either sign by turns, alone at an end among zeros, and all but one."""
    place = torch.arange(like[0].numel())
    first, odd = place == 0, place % 2 == 1
    rows = [place >= 0, 1 - 2 * odd.long(), first, place == place[-1], ~first]
    return torch.stack([row.to(like.dtype) for row in rows]).reshape(like.shape)


def _active(found: _Tried) -> list[nn.Parameter]:
    return [found.bijection.get_parameter(name) for name in found.active]


@torch.no_grad()
def _alone(tried: Callable[..., _Tried], forward: bool) -> None:
    found = tried()
    start = found.start(forward)
    alone = found.bijection.forward if forward else found.bijection.inverse
    expected, _ = found(forward, start, found.context)
    torch.testing.assert_close(alone(start, found.context), expected, rtol=1e-8, atol=1e-8)


@torch.no_grad()
def _context(tried: Callable[..., _Tried], forward: bool) -> None:
    found = tried()
    assert found.context is not None
    start = found.start(forward)
    values, _ = found(forward, start, found.context)
    others, _ = found(forward, start, found.context.roll(1, dims=0))
    moved = (values - others).flatten(1).abs().amax(dim=1)
    assert (moved > 1e-6).all(), f"another context moves rows by {moved}"


@torch.no_grad()
def _estimates(tried: Callable[..., _Tried]) -> None:
    found = tried()
    given = None if found.context is None else found.context.repeat_interleave(_DRAWS, dim=0)
    exact_z, exact = found(False, found.x, found.context)
    with seeded(1):
        z, estimates = found.bijection.inverse_and_log_det_estimate(
            found.x.repeat_interleave(_DRAWS, dim=0), given
        )
    expected = exact_z.repeat_interleave(_DRAWS, dim=0)
    torch.testing.assert_close(z, expected, rtol=1e-8, atol=1e-8)
    estimates = estimates.unflatten(0, (-1, _DRAWS))
    error = estimates.std(dim=1) / math.sqrt(_DRAWS)
    off = (estimates.mean(dim=1) - exact).abs()
    assert (off < 5 * error + 1e-4).all(), f"estimates are off by {off}, errors are {error}"


def _gradient(tried: Callable[..., _Tried], forward: bool) -> None:
    found = tried()
    context = () if found.context is None else (found.context,)
    module = _Directed(found, forward)

    def of_all(start: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        given, parameters = rest[: len(context)], rest[len(context) :]
        active = zip(found.active.items(), parameters, strict=True)
        state = {f"bijection.{name}": mask * value for (name, mask), value in active}
        return functional_call(module, state, (start, *given))

    values = [found.bijection.get_parameter(name).detach() for name in found.active]
    inputs = [found.start(forward), *context, *values]
    leaves = [value.clone().requires_grad_() for value in inputs]
    # hooks on solutions are not made for gradients that are left undefined
    assert torch.autograd.gradcheck(of_all, leaves, fast_mode=True, check_undefined_grad=False)


class _Directed(nn.Module):
    """A bijection in one direction, as a module whose parameters can be exchanged."""

    def __init__(self, tried: _Tried, forward: bool) -> None:
        super().__init__()
        self.tried = tried
        # as a part of the module, so that its parameters are exchanged
        self.bijection = tried.bijection
        self.direction = forward

    def forward(self, start: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.tried(self.direction, start, context)
