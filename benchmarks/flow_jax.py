"""The flows of flowjax, compiled by XLA, by the verbs of the benchmark."""

__all__ = ["flowjax_works"]

import importlib
from collections.abc import Callable
from typing import Any

from flow_systems import BINS, BOUND, Cell
from torch import Tensor


def flowjax_works(cell: Cell, features: int, x: Tensor) -> dict[str, Callable[[], int]]:
    """Training, scoring and drawing batches of a size, each compiled before the clock starts.

    Arguments:
        cell: The architecture. Between layers values are dealt at random, not turned round.
        features: The number of values.
        x: The batch, with shape (rows, features).
    """
    jax, eqx, optax = (importlib.import_module(name) for name in ("jax", "equinox", "optax"))
    flows = importlib.import_module("flowjax.flows")
    normal = importlib.import_module("flowjax.distributions").Normal
    bijections = importlib.import_module("flowjax.bijections")
    paramax = importlib.import_module("paramax")

    made = flows.masked_autoregressive_flow if cell.autoregressive else flows.coupling_flow
    spline = bijections.RationalQuadraticSpline(knots=BINS, interval=BOUND) if cell.spline else None
    flow = made(
        jax.random.key(0),
        base_dist=normal(jax.numpy.zeros(features)),
        transformer=spline,
        flow_layers=cell.layers,
        nn_width=cell.hidden,
        nn_depth=2,
    )
    rows = jax.numpy.asarray(x.numpy())

    def base(flow: Any) -> Any:
        return flow.base_dist

    def is_fixed(leaf: Any) -> bool:
        return isinstance(leaf, paramax.NonTrainable)

    # the base distribution is no more trained than that of the others
    flow = eqx.tree_at(base, flow, replace_fn=paramax.non_trainable)
    optimiser = optax.chain(optax.clip_by_global_norm(5.0), optax.adamw(1e-3, weight_decay=0.01))
    weights, rest = eqx.partition(flow, eqx.is_inexact_array, is_leaf=is_fixed)
    state: list[Any] = [weights, optimiser.init(weights)]

    @eqx.filter_jit
    def step(weights: Any, moments: Any) -> Any:
        def loss(weights: Any) -> Any:
            return -paramax.unwrap(eqx.combine(weights, rest)).log_prob(rows).mean()

        gradient = eqx.filter_grad(loss)(weights)
        updates, moments = optimiser.update(gradient, moments, weights)
        return eqx.apply_updates(weights, updates), moments

    @eqx.filter_jit
    def score(weights: Any) -> Any:
        return paramax.unwrap(eqx.combine(weights, rest)).log_prob(rows)

    @eqx.filter_jit
    def draw(weights: Any, key: Any) -> Any:
        return paramax.unwrap(eqx.combine(weights, rest)).sample(key, (len(x),))

    def trained() -> int:
        state[:] = jax.block_until_ready(step(*state))
        return len(x)

    def scored() -> int:
        jax.block_until_ready(score(state[0]))
        return len(x)

    def drawn() -> int:
        jax.block_until_ready(draw(state[0], jax.random.key(1)))
        return len(x)

    return {"train": trained, "log_prob": scored, "sample": drawn}
