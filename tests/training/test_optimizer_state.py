import pytest
import torch

from ptheta.training.optimizer_state import restore_optimizer


def trained(*shapes):
    parameters = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
    optimizer = torch.optim.Adam(parameters)
    sum(p.square().sum() for p in parameters).backward()
    optimizer.step()
    return optimizer


def test_the_state_of_other_parameters_is_refused():
    state = trained((2, 3), (4,)).state_dict()
    with pytest.raises(ValueError, match=r"'exp_avg' of parameter 0 .*\(4,\), got \(2, 3\)"):
        restore_optimizer(trained((4,), (2, 3)), state)


def test_the_state_of_the_same_parameters_is_put_back():
    first, second = trained((2, 3), (4,)), trained((2, 3), (4,))
    first.step()
    restore_optimizer(second, first.state_dict())
    assert second.state_dict()["state"][1]["step"] == 2
