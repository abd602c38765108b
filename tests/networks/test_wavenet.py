import pytest
import torch

from ptheta.networks.wavenet import WaveNet


def make(*sizes, **options):
    network = WaveNet(*sizes, **options).double()
    for parameter in network.parameters():  # far from the start, and so that no gate is shut
        torch.nn.init.normal_(parameter, std=0.4)
    return network.eval()


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_a_stack_of_k_layers_sees_the_newest_2_to_the_k_inputs_and_no_others(layers):
    network = make(4, layers)
    length = 2 ** (layers + 1) + 3
    inputs = torch.randn(1, length, 4, dtype=torch.float64, requires_grad=True)
    outputs = network(inputs)
    assert network.receptive_field == 2**layers
    for place in range(length):
        (gradient,) = torch.autograd.grad(outputs[0, place].sum(), inputs, retain_graph=True)
        moved = gradient[0].abs().sum(dim=-1) > 0
        seen = [0 <= place - other < 2**layers for other in range(length)]
        assert moved.tolist() == seen


def test_stacks_see_as_far_as_they_do_one_after_the_other():
    network = make(4, 3, stacks=2)
    inputs = torch.randn(1, 40, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(inputs)[0, -1].sum(), inputs)
    seen = (gradient[0].abs().sum(dim=-1) > 0).sum().item()
    assert seen == network.receptive_field == 2 * (2**3 - 1) + 1


def test_it_is_the_formula_of_the_paper():
    network = make(3, 2, skip_channels=5, context_features=2)
    inputs = torch.randn(1, 6, 5, dtype=torch.float64)
    inputs[:, :, 3:] = inputs[:, :1, 3:]
    x, given = inputs[0, :, :3], inputs[0, 0, 3:]
    skips = network.skip.bias
    for layer, dilation in enumerate([1, 2]):
        weight, bias = network.gates[layer].weight, network.gates[layer].bias
        shift = network.shifts.weight[6 * layer : 6 * layer + 6] @ given
        before = torch.cat([torch.zeros(dilation, 3).double(), x[:-dilation]])
        gates = before @ weight[:, :3].t() + x @ weight[:, 3:].t() + bias + shift
        h = gates[:, :3].tanh() * gates[:, 3:].sigmoid()  # equation 3
        skips = skips + h @ network.skip.weight[:, 3 * layer : 3 * layer + 3].t()
        if layer == 0:
            x = x + h @ network.residuals[0].weight.t()
    hidden = skips.relu() @ network.last.weight.t() + network.last.bias
    torch.testing.assert_close(network(inputs)[0], hidden.relu(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(4, 3), (4, 4), (3, 2, 3)])
@pytest.mark.parametrize("context_features", [0, 2])
def test_queues_give_what_the_whole_gives_far_beyond_the_receptive_field(sizes, context_features):
    network = make(*sizes, context_features=context_features)
    inputs = torch.randn(3, 75, network.in_features, dtype=torch.float64)
    inputs[..., network.channels :] = inputs[:, :1, network.channels :]
    with torch.no_grad():
        reader = network.reader(3)
        # one by one, then pieces that begin anywhere in the rings, then one by one again
        cuts = [1] * 22 + [5, 1, 9, 1, 1, 13] + [1] * 23
        pieces = torch.cat([reader(piece) for piece in inputs.split(cuts, dim=1)], dim=1)
        torch.testing.assert_close(pieces, network(inputs), rtol=1e-10, atol=1e-10)


def test_the_context_reaches_every_layer_at_every_place():
    network = make(3, 4, context_features=2)
    seen = []
    network.skip.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    inputs = torch.randn(5, 9, 5, dtype=torch.float64)
    moved = inputs.clone()
    moved[:, :, 3:] += 1
    whole = network.shifts.weight.data.clone()
    for layer in range(4):
        network.shifts.weight.data.zero_()
        own = slice(6 * layer, 6 * layer + 6)
        network.shifts.weight.data[own] = whole[own]  # this layer alone hears it
        network(inputs), network(moved)
        change = (seen[-1] - seen[-2]).abs().unflatten(2, (4, 3)).amax(dim=3)
        assert (change[..., :layer] == 0).all()
        assert (change[..., layer] > 0).all()


def test_a_reader_keeps_what_its_layers_still_need_and_no_more():
    reader = make(4, 5).reader(2)
    assert [len(queue.pairs) for queue in reader.queues] == [1, 2, 4, 8, 16]
