import math

import pytest
import torch

from ptheta.networks.attention import _turned, causal
from ptheta.networks.recurrent import Recurrent
from ptheta.networks.transformer import Transformer
from ptheta.networks.wavenet import WaveNet

NETWORKS = {
    "rnn": lambda: Recurrent(8, 12, 2, "rnn"),
    "lstm": lambda: Recurrent(8, 12, 2, "lstm"),
    "gru": lambda: Recurrent(8, 12, 2, "gru"),
    "transformer": lambda: Transformer(8, heads=2, layers=3, window=11),
    "wavenet": lambda: WaveNet(8, layers=4),
    "wavenet-stacks": lambda: WaveNet(8, layers=3, stacks=2),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    network = NETWORKS[request.param]()
    for parameter in network.parameters():  # far from the start, where blocks add next to nothing
        torch.nn.init.normal_(parameter, std=0.5)
    return network.eval()


@pytest.mark.parametrize(("dtype", "slack"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("cuts", [[1] * 11, [11], [4, 1, 1, 5], [1, 10], [3, 3, 3, 2]])
def test_reading_in_pieces_gives_what_the_whole_gives(network, cuts, dtype, slack):
    network = network.to(dtype)
    inputs = torch.randn(3, 11, 8, dtype=dtype)
    with torch.no_grad():
        reader = network.reader(3)
        pieces = torch.cat([reader(piece) for piece in inputs.split(cuts, dim=1)], dim=1)
        torch.testing.assert_close(pieces, network(inputs), rtol=slack, atol=slack)


def test_an_output_depends_on_all_inputs_so_far_and_on_nothing_else(network):
    inputs = torch.randn(1, 11, 8, requires_grad=True)
    outputs = network(inputs)
    for place in range(11):
        (gradient,) = torch.autograd.grad(outputs[0, place].sum(), inputs, retain_graph=True)
        moved = gradient[0].abs().sum(dim=-1) > 0
        assert moved.tolist() == [other <= place for other in range(11)]


def test_attention_is_the_formula_of_the_paper():
    network = Transformer(6, heads=1, layers=1, window=4).double()
    attention = network.blocks[0].attention
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    h = torch.randn(1, 4, 6, dtype=torch.float64)
    q, k, v = (h[0] @ attention.inward.weight.t() + attention.inward.bias).split(6, dim=1)

    def turned(x, place):
        # equation 34, the planes being (0, 3), (1, 4) and (2, 5), and 10000^(-i/3) their speeds
        x = x.clone()
        for i in range(3):
            a = place * torch.tensor(10_000.0 ** (-i / 3), dtype=torch.float64)
            x[i], x[i + 3] = (
                x[i] * a.cos() - x[i + 3] * a.sin(),
                x[i] * a.sin() + x[i + 3] * a.cos(),
            )
        return x

    expected = []
    for m in range(4):
        scores = [turned(q[m], m) @ turned(k[n], n) / math.sqrt(6) for n in range(m + 1)]
        expected.append(torch.stack(scores).softmax(dim=0) @ v[: m + 1])
    expected = torch.stack(expected) @ attention.outward.weight.t() + attention.outward.bias
    found = network.blocks[0].attention(h, network.angles(0, 4), causal)
    # the angles are kept in float32
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-6)


def test_a_query_and_a_key_know_how_far_apart_they_are_and_not_where():
    network = Transformer(16, heads=1, layers=1, window=50)
    angles = network.angles(0, 50)
    q, k = torch.randn(2, 16)
    scores = _turned(q.expand(50, 16), angles) @ _turned(k.expand(50, 16), angles).t()
    for apart in (0, 1, 7, 20):
        along = scores.diagonal(apart)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-4, atol=1e-4)


def test_weights_start_as_gpt_2_says():
    network = Transformer(64, heads=4, layers=8, window=10)
    block = network.blocks[3]
    for module, std in [
        (block.attention.inward, 0.02),
        (block.up, 0.02),
        (block.attention.outward, 0.02 / 4),  # 16 additions to the residual stream
        (block.down, 0.02 / 4),
    ]:
        # 4096 weights and more: the deviation is known within 1 / sqrt(2 * 4096) = 1.1%
        assert module.weight.std().item() == pytest.approx(std, rel=0.06)
        assert not module.bias.any()


def test_forget_gates_of_an_lstm_start_open():
    network = Recurrent(3, 4, 2, "lstm")
    for layer in range(2):
        bias = getattr(network.cells, f"bias_ih_l{layer}").split(4)
        assert torch.equal(bias[1], torch.ones(4))
        assert all(b.abs().max() <= 0.5 for b in (bias[0], bias[2], bias[3]))


def test_dropout_is_of_training_alone():
    for network in (
        Recurrent(8, 12, 2, dropout=0.5),
        Transformer(8, 2, 2, 5, dropout=0.5),
    ):
        inputs = torch.randn(2, 5, 8)
        assert not torch.equal(network(inputs), network(inputs))
        network.eval()
        assert torch.equal(network(inputs), network(inputs))


def test_features_that_make_no_pairs_for_each_head_are_refused():
    with pytest.raises(ValueError, match=r"multiple of twice the heads \(8\), got 12"):
        Transformer(12, heads=4, layers=1, window=5)
