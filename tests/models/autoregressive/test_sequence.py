import pytest
import torch

from ptheta.errors import PthetaError
from ptheta.models.autoregressive.reading import kept
from ptheta.models.autoregressive.sequence import SequenceModel
from ptheta.networks.recurrent import Recurrent
from ptheta.networks.transformer import Transformer
from ptheta.networks.wavenet import WaveNet
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Discrete, Real
from ptheta.testing.examples import example_context, example_rows, states

NETWORKS = {
    "rnn": lambda length: Recurrent(8, 12, 2, "rnn"),
    "lstm": lambda length: Recurrent(8, 12, 1, "lstm"),
    "gru": lambda length: Recurrent(8, 12, 2, "gru"),
    "transformer": lambda length: Transformer(8, 2, 2, length),
    "wavenet": lambda length: WaveNet(8, 3, skip_channels=12),
}
SPACE = Categorical((7,), 5, layout="sequence")


def make(network, space=SPACE, context_space=None, **options):
    model = SequenceModel(space, NETWORKS[network](space.features), context_space, **options)
    for parameter in model.parameters():  # far from the start, where all symbols are as likely
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture(params=NETWORKS)
def network(request):
    return request.param


def one_step(model, codes, context=None):
    """log p of the next symbol from a whole pass over what was read."""
    condition = model.condition_of(context, len(codes))
    outputs = model.network(model.inputs(codes, condition, start=True))
    return model.logits(outputs[:, -1]).log_softmax(dim=-1)


def naive(model, uniforms, context=None, prefix=None, choice=lambda logits: logits):
    """A whole pass for each symbol, all symbols within the window."""
    n = uniforms.shape[2]
    codes = torch.empty(n, 0, dtype=torch.long) if prefix is None else prefix
    for t in range(uniforms.shape[1]):
        p = choice(one_step(model, codes, context)).softmax(dim=-1)
        drawn = (p.cumsum(dim=-1)[:, :-1] <= uniforms[0, t, :, None]).sum(dim=-1)
        codes = torch.cat([codes, drawn[:, None]], dim=1)
    return codes


@pytest.mark.parametrize("space", [SPACE, Binary((9,)), Discrete((4,), 6), Categorical((1,), 3)])
def test_masses_sum_to_one(network, space):
    if space == SPACE:
        space = Categorical((5,), 5, layout="sequence")
    model = make(network, space).double()
    assert model.log_prob(states(space)).exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("context_space", [Categorical(categories=3), Real((2,))])
def test_each_context_has_its_own_normalised_masses(network, context_space):
    space = Categorical((3,), 4, layout="sequence")
    model = make(network, space, context_space).double()
    every = states(space)
    context = example_context(context_space, 4)
    log_p = torch.stack([model.log_prob(every, c.expand(len(every), *c.shape)) for c in context])
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(4).double(), atol=1e-9, rtol=0)
    # the first symbol hears the context too
    assert log_p.reshape(4, 4, -1).logsumexp(dim=2).std(dim=0).max() > 1e-3


def test_the_log_probability_of_a_stream_is_the_sum_of_one_step_ones(network):
    model = make(network).double()
    x = example_rows(SPACE, 20).long()
    total = torch.zeros(20, dtype=torch.float64)
    for t in range(7):
        total += one_step(model, x[:, :t]).gather(1, x[:, t : t + 1])[:, 0]
    torch.testing.assert_close(model.log_prob(x), total, rtol=1e-12, atol=1e-12)


def test_a_symbol_depends_on_all_before_it_and_on_nothing_else(network):
    model = make(network)
    x = example_rows(SPACE, 1).long()
    embedded = model.embedding(x[:, :-1]).detach().requires_grad_()
    model.embedding.forward = lambda codes: embedded
    parameters = model.head.split(model.conditionals(x).parameters)[0][0]  # (symbols, places)
    for place in range(7):
        (gradient,) = torch.autograd.grad(parameters[0, place], embedded, retain_graph=True)
        moved = gradient[0].abs().sum(dim=-1) > 0
        assert moved.tolist() == [other < place for other in range(6)]


@pytest.mark.parametrize("context_space", [None, Categorical(categories=3), Real((2,))])
def test_draws_are_those_of_a_whole_pass_for_each_symbol(network, context_space):
    model = make(network, context_space=context_space).double()
    uniforms, context = torch.rand(2, 7, 50), example_context(context_space, 50)
    assert torch.equal(model.draw(uniforms, context).long(), naive(model, uniforms, context))


@pytest.mark.parametrize("context_space", [Categorical(categories=3), Real((2,))])
def test_a_network_that_takes_a_context_is_handed_it(context_space):
    space = Categorical((5,), 3, layout="sequence")
    features = 3 if isinstance(context_space, Categorical) else 2
    model = SequenceModel(space, WaveNet(6, 3, context_features=features), context_space)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model = model.double().eval()
    every = states(space)
    context = example_context(context_space, 4)
    log_p = torch.stack([model.log_prob(every, c.expand(len(every), *c.shape)) for c in context])
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(4).double(), atol=1e-9, rtol=0)
    # in logarithms, which a first symbol that is all but sure does not flatten
    assert log_p.reshape(4, 3, -1).logsumexp(dim=2).std(dim=0).max() > 1e-2
    uniforms, context = torch.rand(2, 5, 50), example_context(context_space, 50)
    assert torch.equal(model.draw(uniforms, context).long(), naive(model, uniforms, context))
    torch.manual_seed(2)
    extended = model.extend(every[:50, :2], context, length=12).long()
    torch.manual_seed(2)
    expected = naive(model, torch.rand(2, 10, 50), context, every[:50, :2].long())
    assert torch.equal(extended, expected)


def test_tied_weights_are_those_of_the_embeddings():
    model = make("transformer", tied=True).double()
    outputs = torch.randn(4, 8, dtype=torch.float64)
    expected = outputs @ model.embedding.weight.t() + model.bias
    torch.testing.assert_close(model.logits(outputs), expected)
    uniforms = torch.rand(2, 7, 50)
    assert torch.equal(model.draw(uniforms).long(), naive(model, uniforms))


def test_without_a_prefix_or_options_extending_is_sampling(network):
    model = make(network)
    torch.manual_seed(3)
    drawn = model.sample(20)
    torch.manual_seed(3)
    extended = model.extend(torch.empty(20, 0, dtype=torch.long))
    assert drawn.dtype == extended.dtype == SPACE.dtype
    assert torch.equal(drawn, extended)


@pytest.mark.parametrize("so_far", [0, 1, 4, 7])
def test_a_prefix_is_kept_and_what_follows_is_drawn_given_it(network, so_far):
    context_space = Categorical(categories=3)
    model = make(network, context_space=context_space).double()
    prefix, context = example_rows(SPACE, 30)[:, :so_far], example_context(context_space, 30)
    torch.manual_seed(5)
    extended = model.extend(prefix, context).long()
    torch.manual_seed(5)
    uniforms = torch.rand(2, 7 - so_far, 30)
    assert torch.equal(extended, naive(model, uniforms, context, prefix.long()))


def test_what_is_drawn_can_be_trained_on(network):
    space = Categorical((5,), 300, layout="sequence")
    model = make(network, space)
    for drawn in (model.sample(3), model.extend(torch.zeros(3, 2, dtype=torch.long))):
        assert not drawn.is_inference()
        model.log_prob(drawn).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_temperature_zero_is_greedy(network):
    model = make(network)
    prefix = example_rows(SPACE, 10)[:, :2].long()
    codes = prefix
    for _ in range(5):
        codes = torch.cat([codes, one_step(model, codes).argmax(dim=-1, keepdim=True)], dim=1)
    assert torch.equal(model.extend(prefix, temperature=0).long(), codes)


@pytest.mark.parametrize("options", [{"top_k": 2}, {"top_p": 0.5}, {"temperature": 0.3}])
def test_options_change_what_is_drawn_from(network, options):
    model = make(network).double()
    n = 20_000
    prefix = torch.tensor([[3, 1]]).expand(n, -1)
    p = one_step(model, prefix[:1])[0].exp()
    if "top_k" in options:
        p = torch.where(p >= p.sort(descending=True).values[1], p, 0)
    elif "top_p" in options:
        ranked = p.sort(descending=True).values
        last = ranked[(ranked.cumsum(0) < 0.5).sum()]
        p = torch.where(p >= last, p, 0)
    else:
        p = p ** (1 / 0.3)
    p = p / p.sum()
    drawn = model.extend(prefix, length=3, **options)[:, 2].long()
    share = torch.bincount(drawn, minlength=5) / n
    # five standard errors, which are none where nothing is to be drawn
    assert ((share - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()


@pytest.mark.parametrize("name", ["lstm", "wavenet"])
def test_a_network_without_a_window_goes_on_beyond_the_length(name):
    model = make(name).double()
    torch.manual_seed(1)
    extended = model.extend(torch.tensor([[1, 2]]), length=40).long()
    torch.manual_seed(1)
    uniforms = torch.rand(2, 38, 1)
    assert torch.equal(extended, naive(model, uniforms, prefix=torch.tensor([[1, 2]])))


@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_beyond_its_window_a_transformer_reads_the_newer_half_again(length):
    space = Categorical((length,), 5, layout="sequence")
    model = make("transformer", space).double()
    total = 4 * length + 3
    torch.manual_seed(1)
    extended = model.extend(torch.empty(6, 0, dtype=torch.long), length=total).long()
    torch.manual_seed(1)
    uniforms = torch.rand(2, total, 6)
    codes = torch.empty(6, 0, dtype=torch.long)
    first = 0
    for t in range(total):
        if t - first == length:  # with the start symbol they no longer fit
            first = t - length // 2
        p = one_step(model, codes[:, first:]).exp()
        drawn = (p.cumsum(dim=-1)[:, :-1] <= uniforms[0, t, :, None]).sum(dim=-1)
        codes = torch.cat([codes, drawn[:, None]], dim=1)
    assert torch.equal(extended, codes)


def test_a_long_prefix_is_read_as_if_it_had_been_drawn():
    model = make("transformer").double()
    whole = model.extend(torch.empty(10, 0, dtype=torch.long), length=40, temperature=0)
    for so_far in range(41):
        again = model.extend(whole[:, :so_far], length=40, temperature=0)
        # greedy draws follow from what was read alone
        assert torch.equal(again, whole)


def test_what_is_kept_fits_in_the_window_with_the_start_symbol():
    for window in range(1, 12):
        found = [kept(count, window) for count in range(60)]
        assert max(found) <= window - 1
        assert min(found[window:]) == window // 2
    assert kept(1000, None) == 1000


def test_it_starts_near_the_frequencies_of_the_symbols(network):
    x = example_rows(SPACE, 500)
    model = SequenceModel(SPACE, NETWORKS[network](7))
    model.initialize(x)
    p = torch.bincount(x.flatten().long(), minlength=5) / x.numel()
    entropy = -(p * p.log()).sum().item()
    assert -model.log_prob(x).mean().item() / 7 == pytest.approx(entropy, abs=0.2)


def test_it_learns_that_a_sequence_repeats(network):
    space = Binary((6,))
    x = torch.randint(0, 2, (64, 3)).repeat(1, 2)
    model = SequenceModel(space, NETWORKS[network](6))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(100):
        loss = -model.log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # three fair bits have 3 log 2 = 2.08 nats, and frequencies alone would give twice as much
    assert loss.item() < 2.4


@pytest.mark.parametrize(
    ("space", "match"),
    [
        (Real((3,)), "levels or categories in a row, got real numbers"),
        (Discrete((1, 2, 2), 5, layout="image"), "levels or categories in a row, got 5 levels"),
        (Categorical((), 3), "levels or categories in a row"),
    ],
)
def test_what_is_no_row_of_symbols_is_refused(space, match):
    with pytest.raises(ValueError, match=match):
        SequenceModel(space, Recurrent(4, 4))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="sequence of 7 needs a window as long, got 6"):
        SequenceModel(SPACE, Transformer(8, 2, 1, 6))
    with pytest.raises(ValueError, match=r"as large as inputs \(8\), got 12"):
        SequenceModel(SPACE, Recurrent(8, 12), tied=True)
    with pytest.raises(ValueError, match="takes a context of 4 features, and there are 3"):
        SequenceModel(SPACE, WaveNet(8, 2, context_features=4), Categorical(categories=3))
    model = make("gru")
    with pytest.raises(ValueError, match=r"shape \(batch, 7\), got \(2, 6\)"):
        model.log_prob(torch.zeros(2, 6))
    with pytest.raises(ValueError, match=r"at most 5\), which is the length, got \(1, 6\)"):
        model.extend(torch.zeros(1, 6), length=5)
    with pytest.raises(ValueError, match=r"shape \(n, at most 7\).*got \(3,\)"):
        model.extend(torch.zeros(3))
    with pytest.raises(ValueError, match=r"codes, whole numbers, got torch\.float32"):
        model.extend(torch.tensor([[1.9, 2.0]]))
    with pytest.raises(ValueError, match="symbols from 0 to 4, got 2 to 5"):
        model.extend(torch.tensor([[2, 5]]))
    with pytest.raises(ValueError, match="temperature must be 0 or more"):
        model.extend(torch.tensor([[2, 3]]), temperature=-1)


def test_layers_that_nothing_in_a_sequence_could_reach_are_refused():
    space = Discrete((64,), 8, layout="sequence")
    build("wavenet", space, settings={"layers": 6})
    with pytest.raises(PthetaError, match="layers must be at most 6, which see all of a sequence"):
        build("wavenet", space, settings={"layers": 30})
