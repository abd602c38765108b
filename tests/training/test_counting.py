import pytest
import torch
from lightning_fabric import Fabric

from ptheta.data.bridging import standardising
from ptheta.models.tractable.independent import Independent
from ptheta.objectives.types import Batch
from ptheta.spaces import Discrete
from ptheta.training.counting import CountingLearner

SPACE = Discrete((2,), 3)


def learner():
    found = CountingLearner(Independent(SPACE), standardising(SPACE))
    found.setup(Fabric(accelerator="cpu", devices=1))
    return found


def test_the_loss_is_the_nats_of_the_counted_model():
    found = learner()
    x = torch.tensor([[0, 1], [0, 2]])
    loss = found.step(Batch(x))["loss"]
    # 2.5 / 3.5 for the first value, 1.5 / 3.5 for the second
    assert loss.item() == pytest.approx(-torch.tensor(2.5 * 1.5 / 3.5**2).log().item(), rel=1e-5)


def test_counting_the_whole_again_changes_nothing():
    found = learner()
    assert not found.converged
    found.step(Batch(torch.tensor([[0, 1]])))
    once = found.model.counts.clone()
    found.step(Batch(torch.tensor([[0, 1]])))
    assert torch.equal(found.model.counts, once)
    assert found.converged


def test_pieces_of_a_pass_add_up_to_the_whole_across_a_resume():
    x = torch.randint(0, 3, (10, 2))
    first, second, whole = learner(), learner(), learner()
    first.step(Batch(x[:4], last=False))
    assert not first.converged
    second.load_state_dict(first.state_dict())
    second.step(Batch(x[4:]))
    whole.step(Batch(x))
    assert torch.equal(second.model.counts, whole.model.counts)
    assert second.converged
