import math
from itertools import permutations

import torch

from ptheta.models.autoregressive.eonade import EoNADE
from ptheta.objectives.order_agnostic import OrderAgnosticLikelihood, known_at_random
from ptheta.objectives.types import Batch
from ptheta.spaces import Categorical, Column, Discrete, Real, Table


def along(model, order, row):
    """log p of a row by the conditionals of one order of the values that it has."""
    total = torch.zeros((), dtype=torch.float64)
    for d, position in enumerate(order):
        known = torch.zeros(1, len(row), dtype=torch.bool)
        known[:, list(order[:d])] = True
        total += model.log_prob_given(row[None], known)[0, position]
    return total


def test_the_loss_is_the_mean_over_all_orders():
    columns = [Column("a", Real(), missing=True), Column("b", Categorical(categories=3))]
    columns += [Column("c", Discrete(levels=2)), Column("d", Discrete(levels=4))]
    torch.manual_seed(0)
    model = EoNADE(Table(tuple(columns)), hidden_features=(7,), orders=1).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    x = torch.tensor([[0.4, 1, 0, 2], [math.nan, 2, 1, 0]], dtype=torch.float64)
    for row in x:
        observed = (~row.isnan()).nonzero()[:, 0].tolist()
        exact = torch.stack([along(model, order, row) for order in permutations(observed)])
        torch.manual_seed(0)
        n = 40_000
        losses = torch.stack(
            [
                OrderAgnosticLikelihood().loss(model, Batch(row.expand(n // 40, -1))).value
                for _ in range(40)
            ]
        )
        error = losses.std() / 40**0.5
        assert abs(losses.mean() + exact.mean()) < 4 * error


def test_every_number_of_known_values_is_as_likely_and_missing_ones_are_never_known():
    torch.manual_seed(0)
    there = torch.tensor([[True, True, False, True]]).expand(30_000, -1)
    known, weight = known_at_random(there)
    assert not known[:, 2].any()
    counts = known.sum(dim=1)
    assert torch.equal(weight, 3 / (3 - counts))
    share = torch.bincount(counts, minlength=4) / len(counts)
    # four standard deviations of a share of a third
    assert (share[:3] - 1 / 3).abs().max() < 4 * (2 / 9 / len(counts)) ** 0.5
    assert share[3] == 0
