import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression as Peer

from ptheta.errors import PthetaError
from ptheta.models.tractable.logistic_regression import LogisticRegression
from ptheta.objectives.likelihood import ConditionalLikelihood
from ptheta.objectives.types import Batch
from ptheta.spaces import Categorical, Column, Discrete, Real, Table
from ptheta.testing.examples import example_context, example_rows
from ptheta.training.quasi_newton import QuasiNewtonLearner


def optimum(space, x, y, C):  # noqa: N803
    model = LogisticRegression(space, Categorical(categories=int(y.max()) + 1))
    learner = QuasiNewtonLearner(model, ConditionalLikelihood(), penalty=1 / C, tolerance=1e-10)
    learner.setup(Fabric(accelerator="cpu", devices=1))
    for _ in range(2000):
        learner.step(Batch(x, y))
        if learner.converged:
            return model.requires_grad_(True)
    raise AssertionError("not converged after 2000 passes")


def standardised(load):
    x, y = load(return_X_y=True)
    return torch.from_numpy((x - x.mean(axis=0)) / x.std(axis=0)), torch.from_numpy(y)


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_it_agrees_with_scikit_learn(load, C):  # noqa: N803
    # three classes have a weight vector each, two have one between them, here as there
    # newton-cg, since the peer's default solver stops a millionth short of the optimum
    x, y = standardised(load)
    model = optimum(Real((x.shape[1],)), x, y, C)
    peer = Peer(C=C, solver="newton-cg", tol=1e-12, max_iter=1000).fit(x.numpy(), y.numpy())
    expected = torch.from_numpy(peer.predict_proba(x.numpy()))
    torch.testing.assert_close(model.class_log_prob(x).exp(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.weight.detach(), torch.from_numpy(peer.coef_), rtol=0,
                               atol=1e-5)  # fmt: skip


def test_categories_and_levels_are_features_as_a_person_would_make_them():
    space = Table(
        (
            Column("a", Real()),
            Column("b", Categorical(categories=3)),
            Column("c", Discrete(levels=5)),
        )
    )
    x, y = example_rows(space, 200), example_context(Categorical(categories=2), 200)
    model = optimum(space, x, y, 1.0)
    a, b, c = x.numpy().T
    made = np.column_stack([a, b == 0, b == 1, b == 2, (c - 2) / 2])
    peer = Peer(solver="newton-cg", tol=1e-12, max_iter=1000).fit(made, y.numpy())
    expected = torch.from_numpy(peer.predict_proba(made))
    torch.testing.assert_close(model.class_log_prob(x).exp(), expected, rtol=0, atol=1e-6)


def test_the_penalised_likelihood_is_stationary_at_the_optimum():
    x, y = standardised(load_wine)
    model = optimum(Real((13,)), x, y, 2.0)

    def objective(weight, bias):
        loss = -(x @ weight.T + bias).log_softmax(dim=1)[torch.arange(len(x)), y].sum()
        return (2.0 * loss + 0.5 * weight.square().sum()) / (2.0 * len(x))

    at = model.weight.detach(), model.bias.detach()
    gradients = torch.func.grad(objective, argnums=(0, 1))(*at)
    assert max(part.abs().max().item() for part in gradients) < 1e-10
    # convex, so a step in any direction is a step up
    for seed in range(5):
        g = torch.Generator().manual_seed(seed)
        moved = [p + 0.1 * torch.randn(p.shape, generator=g, dtype=torch.float64) for p in at]
        assert objective(*moved) > objective(*at)


def test_probabilities_of_classes_sum_to_one_in_either_precision():
    model = LogisticRegression(Real((3,)), Categorical(categories=2))
    torch.nn.init.normal_(model.weight)
    x = torch.randn(5, 3)
    for found in (model.class_log_prob(x), model.float().class_log_prob(x)):
        torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(5).to(found))


def test_rows_of_one_class_are_refused():
    model = LogisticRegression(Real((1,)), Categorical((), 2, ("sick", "well")))
    with pytest.raises(PthetaError, match="every training row is of class 'well'"):
        model.initialize(torch.zeros(3, 1), torch.ones(3, dtype=torch.long))
    model.initialize(torch.zeros(2, 1), torch.tensor([0, 1]))
