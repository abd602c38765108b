"""Accuracy against training rows: naive Bayes beside logistic regression, its discriminative twin.

    python benchmarks/twins.py [--seeds 5] [set ...]

After Ng & Jordan (2002), who found naive Bayes nearer to the little that it can reach with few
rows, and logistic regression better with many. In "naive-bayes, shared" all classes have the same
variances, so that both systems have the same family of p(class | x) where values are real or
binary. Each seed is a split and an order of the training rows, of which the first are taken, one
of each class ahead of all others.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from sklearn.datasets import load_breast_cancer, load_wine

import ptheta
from ptheta.data.dataset import Data, Split
from ptheta.evaluation.classification import Classification, classification
from ptheta.spaces import Categorical

SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "naive-bayes": ("naive-bayes", {}),
    "naive-bayes, shared": ("naive-bayes", {"variances": "shared"}),
    "logistic-regression": ("logistic-regression", {}),
}
SIZES = (10, 20, 50, 100, 200, 500, 1000, 5000, 29305)
_GAPS = ("workclass", "occupation", "native_country")


def peers(load: Callable[..., Any], seed: int) -> Data:
    x, y = load(return_X_y=True)
    return ptheta.load_data((x.astype("float32"), y), context="label", seed=seed)


SETS: dict[str, Callable[[int], Data]] = {
    "wine": lambda seed: peers(load_wine, seed),
    "breast-cancer": lambda seed: peers(load_breast_cancer, seed),
    "digits": lambda seed: ptheta.load_data("digits", context="label", seed=seed),
    "adult": lambda seed: ptheta.load_data("adult", context="income", drop=_GAPS, seed=seed),
}


def first_rows(data: Data, rows: int, seed: int) -> Data:
    """The data with so many training rows, among which there is one of each class."""
    context = data.train.context
    assert context is not None
    order = torch.randperm(len(context), generator=torch.Generator().manual_seed(seed))
    shuffled = context[order]
    ahead = torch.stack([(shuffled == c).nonzero()[0, 0] for c in context.unique()])
    rest = torch.ones(len(order), dtype=torch.bool)
    rest[ahead] = False
    taken = torch.cat([order[ahead], order[rest]])[:rows]
    return replace(data, train=Split(data.train.x[taken], context[taken]), fingerprint="")


def measure(data: Data, system: str) -> Classification:
    recipe, settings = SYSTEMS[system]
    run = ptheta.fit(data, recipe, settings=settings, device="cpu")
    assert data.test.context is not None
    told = ptheta.classify(run.model, data.test.x, space=data.space)
    return classification(told, data.test.context)


def row_of(name: str, rows: int, seeds: int) -> str:
    cells = [name, f"{rows:,}"]
    found: dict[str, list[Classification]] = {system: [] for system in SYSTEMS}
    for seed in range(seeds):
        data = first_rows(SETS[name](seed), rows, seed)
        for system in SYSTEMS:
            found[system].append(measure(data, system))
    for told in found.values():
        accuracy = [each.accuracy.value for each in told]
        spread = statistics.stdev(accuracy) if seeds > 1 else 0.0
        loss = statistics.mean(each.log_loss.value for each in told)
        cells.append(f"{statistics.mean(accuracy):.3f} ± {spread:.3f} ({loss:.3f})")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("sets", nargs="*", metavar="set", help=", ".join(SETS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("accuracy on held-out rows, mean and deviation over seeds (log-loss in nats)")
    print("| set | rows | " + " | ".join(SYSTEMS) + " |")
    print("| --- | ---: |" + " ---: |" * len(SYSTEMS))
    for name in options.sets or SETS:
        data = SETS[name](0)
        assert isinstance(data.context_space, Categorical)
        least, most = data.context_space.categories, len(data.train)
        for rows in [size for size in SIZES if least <= size < most] + [most]:
            print(row_of(name, rows, options.seeds), flush=True)


if __name__ == "__main__":
    main()
