import pytest
import torch
from torch import nn

from ptheta.models.diffusion.classifier import NoisedClassifier
from ptheta.models.diffusion.denoiser import Denoiser
from ptheta.models.diffusion.guidance import ClassifierFree, ClassifierGuided
from ptheta.models.diffusion.paths import (
    Cosine,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from ptheta.networks.residual import ResidualMLP
from ptheta.noising import Prediction
from ptheta.objectives.noised_classes import DenoisingAndClassifying
from ptheta.objectives.types import Batch
from ptheta.random import seeded
from ptheta.recipes.registry import build
from ptheta.spaces import Categorical, Real

MEANS = torch.tensor([[-1.0, 0.5], [1.5, 0.0]], dtype=torch.float64)
STDS = torch.tensor([[0.4, 0.8], [0.7, 0.3]], dtype=torch.float64)
SHARES = torch.tensor([0.3, 0.7], dtype=torch.float64)
PATHS = [Cosine(), SubVariancePreserving(), VarianceExploding(0.1, 5.0)]
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)


class TwoGaussians(nn.Module):
    """Two classes whose noised laws are known, as a denoiser with or without them."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def joint(self, x, t):
        """log p(x_t, class), with shape (batch, 2)."""
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        variances = (alpha.square()[:, None, None] * STDS.square()) + sigma[:, None, None].square()
        off = x[:, None] - alpha[:, None, None] * MEANS
        return SHARES.log() - (off.square() / variances + variances.log()).sum(dim=2) / 2

    def class_log_prob(self, x, *, t):
        return self.joint(x, t).log_softmax(dim=1)

    def predict(self, x, context=None, *, t):
        t = torch.as_tensor(t, dtype=x.dtype).expand(len(x))
        alpha, sigma = self.path.alpha(t)[:, None], self.path.sigma(t)[:, None]
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            joint = self.joint(at, t)
            log_prob = joint.logsumexp(1) if context is None else joint.gather(1, context[:, None])
            (score,) = torch.autograd.grad(log_prob.sum(), at)
        noise = -sigma * score
        return Prediction((x - sigma * noise) / alpha, noise)


@each_path
def test_a_classifier_makes_the_denoiser_of_all_classes_that_of_one(path):
    model = TwoGaussians(path)
    x, t = torch.randn(50, 2, dtype=torch.float64), torch.linspace(0.05, 1, 50).double()
    context = torch.arange(50) % 2
    # by the rule of Bayes: grad log p(x) + grad log p(c | x) = grad log p(x | c)
    leaning = ClassifierGuided(model, model)
    found, expected = leaning.predict(x, context, t=t), model.predict(x, context, t=t)
    torch.testing.assert_close(found.noise, expected.noise)
    torch.testing.assert_close(found.data, expected.data)
    torch.testing.assert_close(leaning.predict(x, t=t), model.predict(x, t=t))


@each_path
def test_both_guides_lean_alike(path):
    # eps(c) + w (eps(c) - eps) and eps - (1 + w) sigma grad log p(c | x) are one and the same
    model = TwoGaussians(path)
    x, t = torch.randn(50, 2, dtype=torch.float64), torch.linspace(0.05, 1, 50).double()
    context = torch.arange(50) % 2
    free = ClassifierFree(model, 2.5).predict(x, context, t=t)
    classified = ClassifierGuided(model, model, 2.5).predict(x, context, t=t)
    torch.testing.assert_close(free.noise, classified.noise)
    torch.testing.assert_close(free.data, classified.data)
    # the two of a prediction still mix to what is noised
    alpha, sigma = path.alpha(t)[:, None], path.sigma(t)[:, None]
    torch.testing.assert_close(alpha * free.data + sigma * free.noise, x)


def test_without_weight_or_context_there_is_no_guidance():
    model = TwoGaussians(Cosine())
    x, context = torch.randn(5, 2, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1])
    for weight, given in ((0.0, context), (3.0, None)):
        found = ClassifierFree(model, weight).predict(x, given, t=0.4)
        torch.testing.assert_close(found, model.predict(x, given, t=0.4))


def test_guidance_by_a_classifier_can_be_differentiated():
    model = ClassifierGuided(TwoGaussians(Cosine()), TwoGaussians(Cosine()), 1.0)
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    t, context = torch.full((3,), 0.5, dtype=torch.float64), torch.tensor([0, 1, 0])
    alpha = model.path.alpha(t)[:, None]
    moved = model.predict(x, context, t=t).data - model.model.predict(x, t=t).data
    (found,) = torch.autograd.grad(moved.sum(), x)
    hessian = torch.autograd.functional.hessian(
        lambda at: model.classifier.class_log_prob(at, t=t).gather(1, context[:, None]).sum(), x
    )
    expected = 2 * model.path.sigma(t)[:, None].square() / alpha * hessian.sum(dim=(0, 1))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("space", [Categorical(categories=3), Real((2,))], ids=["codes", "numbers"])
def test_a_denoiser_from_which_contexts_are_hidden_answers_without(space):
    def perceptron(told):
        return ResidualMLP(2, 2, 16, 1, told)

    model = Denoiser(Cosine(), perceptron, space, hidden_contexts=0.25)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    context = torch.full((4000,), 2) if space == Categorical(categories=3) else torch.ones(4000, 2)
    x = torch.ones(4000, 2)
    with torch.no_grad():
        with seeded(0):
            trained = model.train().predict(x, context, t=0.5).data
        model.eval()
        given, free = model.predict(x, context, t=0.5).data, model.predict(x, t=0.5).data
    assert not torch.allclose(given[0], free[0])
    hidden = torch.isclose(trained, free).all(dim=1)
    assert torch.isclose(trained, given).all(dim=1).logical_xor(hidden).all()
    # within four standard errors of the share
    assert abs(hidden.float().mean() - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5


def test_a_context_that_is_never_hidden_is_needed():
    model = Denoiser(
        Cosine(), lambda told: ResidualMLP(2, 2, 8, 1, told), Categorical(categories=3)
    )
    with pytest.raises(ValueError, match="this model is conditional"):
        model.predict(torch.zeros(1, 2), t=0.5)


def test_a_classifier_learns_the_classes_of_every_level():
    torch.manual_seed(0)
    path = VarianceExploding(0.1, 5.0, levels=6)
    truth = TwoGaussians(path)
    classifier = NoisedClassifier(path, lambda told: ResidualMLP(2, 2, 32, 1, told))
    model = ClassifierGuided(Denoiser(path, lambda told: ResidualMLP(2, 2, 8, 1, told)), classifier)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    objective = DenoisingAndClassifying()

    def draw(n):
        c = (torch.rand(n) > SHARES[0]).long()
        return (MEANS[c] + STDS[c] * torch.randn(n, 2)).float(), c

    for _ in range(400):
        optimizer.zero_grad()
        loss = objective.loss(model, Batch(*draw(512)))
        loss.value.backward()
        optimizer.step()
        schedule.step()
    assert set(loss.terms) == {"denoising", "classes"}
    for t in path.times():
        x, c = draw(4000)
        x = x + path.sigma(t) * torch.randn_like(x)
        times = t.expand(4000)
        expected = truth.class_log_prob(x.double(), t=times.double())
        with torch.no_grad():
            found = classifier.class_log_prob(x, t=t)
        # the divergence from the truth, in nats
        assert (expected.exp() * (expected - found)).sum(dim=1).mean() < 0.02
        assert found.exp().sum(dim=1).allclose(torch.ones(4000))


def test_a_classifier_without_classes_to_learn_from_says_so():
    model = ClassifierGuided(TwoGaussians(Cosine()), TwoGaussians(Cosine()))
    model.model.score = lambda x, context=None, *, t: x
    with pytest.raises(ValueError, match="learns from classes, and the batch has none"):
        DenoisingAndClassifying().loss(model, Batch(torch.zeros(3, 2)))


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (torch.tensor([0, 2]), "codes from 0 to 1"),
        (torch.tensor([-1, 0]), "codes from 0 to 1"),
        (torch.tensor([0.5, 1.0]), "codes from 0 to 1"),
        (torch.tensor([0, 1, 1]), "2 rows of context"),
        (torch.tensor([0]), "2 rows of context"),
    ],
)
def test_a_classifier_guides_to_classes_that_it_knows(context, said):
    path = VariancePreserving()
    model = TwoGaussians(path)
    with pytest.raises(ValueError, match=said):
        ClassifierGuided(model, model).predict(torch.randn(2, 2).double(), context, t=0.5)


@pytest.mark.parametrize("guided_by", ["denoiser", "classifier"])
def test_training_is_watched_without_guidance(guided_by):
    space, classes = Real((2,)), Categorical(categories=3)
    x, context = torch.randn(100, 2), torch.arange(100) % 3
    found = []
    for weight in (0.0, 5.0):
        torch.manual_seed(0)
        algorithm = build("ddpm", space, classes, {"guidance": weight, "guided_by": guided_by})
        for parameter in algorithm.model.parameters():
            nn.init.normal_(parameter, std=0.3)
        algorithm.model.initialize(x, context)
        torch.manual_seed(0)
        found.append(algorithm.watched_model.elbo(x, context).mean())
        torch.manual_seed(0)
        guided = algorithm.model.elbo(x, context).mean()
    torch.testing.assert_close(found[0], found[1])
    assert (guided - found[1]).abs() > 1


def test_guidance_leaves_the_variances_of_steps_as_they_are():
    class Spread(TwoGaussians):
        def predict(self, x, context=None, *, t):
            return super().predict(x, context, t=t)._replace(spread=torch.full_like(x, 0.25))

    path = Cosine()
    guided = ClassifierGuided(Spread(path), TwoGaussians(path), weight=1.0)
    x = torch.randn(3, 2, dtype=torch.float64)
    found = guided.predict(x, torch.tensor([0, 1, 1]), t=0.5)
    assert torch.equal(found.spread, torch.full_like(x, 0.25))
