import itertools
import math

import pytest
import torch

from ptheta.models.autoregressive.seq2seq import Seq2Seq
from ptheta.networks.attending import AttendingRecurrent, AttendingTransformer
from ptheta.networks.encoders import RecurrentEncoder, TransformerEncoder
from ptheta.spaces import Categorical, Real
from ptheta.testing.examples import states

SOURCE = Categorical((5,), 4, ("a", "b", "c", ""), layout="sequence")
TARGET = Categorical((4,), 3, ("x", "y", ""), layout="sequence")
END = 2
# sources of 3, 0, 5 and 1 symbols
CONTEXT = torch.tensor([[0, 2, 1, 3, 3], [3, 3, 3, 3, 3], [2, 2, 0, 1, 0], [1, 3, 3, 3, 3]])


def transformer(source, target):
    places, length = source.features, target.features
    encoder = TransformerEncoder(8, 2, 2, places)
    return Seq2Seq(target, source, encoder, AttendingTransformer(8, 8, 2, 2, length, places))


def lstm(source, target):
    return Seq2Seq(target, source, RecurrentEncoder(6, 10, 2), AttendingRecurrent(6, 8, 10, 2))


def mixed(source, target):
    encoder = TransformerEncoder(8, 2, 1, source.features)
    return Seq2Seq(target, source, encoder, AttendingRecurrent(6, 8, 8))


MODELS = {"transformer": transformer, "lstm": lstm, "mixed": mixed}


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


def make(name, source=SOURCE, target=TARGET):
    model = MODELS[name](source, target)
    for parameter in model.parameters():  # far from the start, where all symbols are as likely
        torch.nn.init.normal_(parameter, std=0.7)
    return model.eval()


def one_step(model, codes, context):
    """log p of the next symbol from a whole pass over what was read."""
    given = model.given(context, len(codes))
    outputs = given.network(model.inputs(codes, given.condition, start=True))
    return model.logits(outputs[:, -1]).log_softmax(dim=-1)


def test_masses_sum_to_one_given_each_source(name):
    model = make(name).double()
    every = states(TARGET)
    log_p = torch.stack([model.log_prob(every, c.expand(len(every), -1)) for c in CONTEXT])
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(4).double(), atol=1e-9, rtol=0)
    first = log_p.reshape(4, 3, -1).exp().sum(dim=2)
    assert first.std(dim=0).max() > 1e-6  # the first symbol hears the source too


def test_a_symbol_depends_on_the_source_and_those_before_it_and_on_nothing_else(name):
    model = make(name).double()
    x, context = states(TARGET)[5:6].long(), CONTEXT[2:3]
    embedded = model.embedding(x[:, :-1]).detach().requires_grad_()
    source = model.source(context).detach().requires_grad_()
    model.embedding.forward = lambda codes: embedded
    model.source.forward = lambda codes: source
    logits = model.head.split(model.conditionals(x, context).parameters)[0][0]  # (symbols, places)
    for place in range(4):
        seen = torch.autograd.grad(logits[0, place], (embedded, source), retain_graph=True)
        before, given = (gradient[0].abs().sum(dim=-1) > 0 for gradient in seen)
        assert before.tolist() == [other < place for other in range(3)]
        assert given.all()


def test_what_follows_the_end_of_a_source_has_no_influence(name):
    model = make(name).double()
    x = states(TARGET)[:4].long()
    source = model.source(CONTEXT).detach().requires_grad_()
    model.source.forward = lambda codes: source
    (gradient,) = torch.autograd.grad(model.log_prob(x, CONTEXT).sum(), source)
    moved = gradient.abs().sum(dim=-1) > 0
    # the end itself is read, once
    assert moved.sum(dim=1).tolist() == [4, 1, 5, 2]
    assert torch.equal(moved, moved.cummin(dim=1).values)


def test_more_room_for_the_source_changes_nothing(name):
    torch.manual_seed(0)
    model = make(name).double()
    wide = Categorical((9,), 4, SOURCE.labels, layout="sequence")
    other = make(name, source=wide).double()
    other.load_state_dict(model.state_dict())
    longer = torch.cat([CONTEXT, torch.full((4, 4), 3)], dim=1)
    x = states(TARGET)[7:11].long()
    # a source that filled its room had no end before, and is left out
    rows = torch.tensor([0, 1, 3])
    found, expected = other.log_prob(x, longer), model.log_prob(x, CONTEXT)
    torch.testing.assert_close(found[rows], expected[rows], rtol=1e-12, atol=1e-12)


def test_draws_are_those_of_a_whole_pass_for_each_symbol(name):
    model = make(name).double()
    context = CONTEXT.repeat(10, 1)
    uniforms = torch.rand(2, 4, 40)
    codes = torch.empty(40, 0, dtype=torch.long)
    for t in range(4):
        p = one_step(model, codes, context).exp()
        drawn = (p.cumsum(dim=-1)[:, :-1] <= uniforms[0, t, :, None]).sum(dim=-1)
        codes = torch.cat([codes, drawn[:, None]], dim=1)
    assert torch.equal(model.draw(uniforms, context).long(), codes)


@pytest.mark.parametrize(("dtype", "slack"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("cuts", [[1] * 4, [4], [1, 3], [2, 1, 1]])
def test_reading_in_pieces_gives_what_the_whole_gives(name, cuts, dtype, slack):
    model = make(name).to(dtype)
    network = model.given(CONTEXT, 4).network
    inputs = torch.randn(4, 4, model.network.in_features, dtype=dtype)
    with torch.no_grad():
        reader = network.reader(4)
        pieces = torch.cat([reader(piece) for piece in inputs.split(cuts, dim=1)], dim=1)
        torch.testing.assert_close(pieces, network(inputs), rtol=slack, atol=slack)


def test_a_reader_goes_on_with_the_rows_that_are_selected(name):
    model = make(name).double()
    memory = model.memory(CONTEXT[:1], 1).repeated(3)
    network = model.network.attending(memory)
    inputs = torch.randn(3, 4, model.network.in_features, dtype=torch.float64)
    rows = torch.tensor([2, 0, 2])
    with torch.no_grad():
        reader = network.reader(3)
        reader(inputs[:, :2])
        reader.select(rows)
        found = reader(inputs[:, 2:])
        joined = torch.cat([inputs[rows, :2], inputs[:, 2:]], dim=1)
        torch.testing.assert_close(found, network(joined)[:, 2:], rtol=1e-12, atol=1e-12)


def sentences(model, context):
    """Every sentence of up to four symbols, with the log-probability of it and of its end."""
    words = [word for length in range(5) for word in itertools.product((0, 1), repeat=length)]
    codes = torch.tensor([[*word, *[END] * (4 - len(word))] for word in words])
    counted = torch.tensor([min(len(word) + 1, 4) for word in words])
    given = context.expand(len(codes), -1)
    total = torch.zeros(len(codes), dtype=torch.float64)
    for t in range(4):
        log_p = one_step(model, codes[:, :t], given).gather(1, codes[:, t : t + 1])[:, 0]
        total += torch.where(t < counted, log_p, 0)
    return codes, total, counted


@pytest.mark.parametrize("length_penalty", [0.0, 1.5])
def test_with_enough_beams_the_best_sentence_is_found(name, length_penalty):
    for _ in range(5):
        model = make(name).double()
        found = model.beam_search(CONTEXT, beams=31, length_penalty=length_penalty).long()
        for row, context in enumerate(CONTEXT):
            codes, total, counted = sentences(model, context)
            assert len(codes) == 31
            best = (total / ((5 + counted) / 6) ** length_penalty).argmax()
            assert torch.equal(found[row], codes[best])


def test_one_beam_takes_the_likeliest_symbol_until_the_end(name):
    different = set()
    for _ in range(10):
        model = make(name).double()
        context = torch.randint(0, 4, (20, 5))
        codes = torch.empty(20, 0, dtype=torch.long)
        ended = torch.zeros(20, dtype=torch.bool)
        for _ in range(4):
            likeliest = one_step(model, codes, context).argmax(dim=-1)
            likeliest[ended] = END
            ended |= likeliest == END
            codes = torch.cat([codes, likeliest[:, None]], dim=1)
        found = model.beam_search(context)
        assert found.dtype == TARGET.dtype
        assert not found.is_inference()
        assert torch.equal(found.long(), codes)
        different |= set(map(tuple, codes.tolist()))
    assert len(different) >= 3


def test_sequences_without_an_end_are_searched_to_their_length(name):
    target = Categorical((3,), 3, layout="sequence")
    source = Categorical((5,), 4, layout="sequence")
    model = make(name, source, target).double()
    context = torch.randint(0, 4, (4, 5))
    every = states(target)
    log_p = torch.stack([model.log_prob(every, c.expand(27, -1)) for c in context])
    assert torch.equal(model.beam_search(context, beams=27), every[log_p.argmax(dim=1)])


def test_the_penalty_is_that_of_the_paper():
    model = make("lstm").double()
    # the end is likely after nothing: without a penalty the empty sentence is the likeliest
    with torch.no_grad():
        model.output.weight.zero_()
        model.bias.copy_(torch.tensor([math.log(0.7), math.log(1e-9), math.log(0.3)]))
    assert model.beam_search(CONTEXT[:1], beams=31).tolist() == [[END] * 4]
    # log 0.3 = -1.20 beats 4 log 0.7 = -1.43, which an exponent of 1 divides by 9 / 6
    longer = model.beam_search(CONTEXT[:1], beams=31, length_penalty=1.0)
    assert longer.tolist() == [[0, 0, 0, 0]]


def pairs(rows, categories, least, most, turned, seed):
    """Sequences of distinct lengths, and the same ones from the back where they are turned."""
    g = torch.Generator().manual_seed(seed)
    places = torch.arange(most)
    lengths = torch.randint(least, most + 1, (rows, 1), generator=g)
    source = torch.randint(0, categories, (rows, most), generator=g)
    source = torch.where(places < lengths, source, categories)
    order = torch.where(places < lengths, lengths - 1 - places, places)
    return source.gather(1, order) if turned else source, source


def learnt(model, x, context, steps, learning_rate):
    """Trains by likelihood, the rate falling to nothing."""
    model.initialize(x, context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 20) * (1 - step / steps)
    )
    for _ in range(steps):
        rows = torch.randint(0, len(x), (64,))
        loss = -model.log_prob(x[rows], context[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def small(name, space):
    length = space.features
    if name == "transformer":
        network = AttendingTransformer(32, 32, 2, 1, length, length)
        return Seq2Seq(space, space, TransformerEncoder(32, 2, 1, length), network)
    network = AttendingRecurrent(32, 48, 48)
    return Seq2Seq(space, space, RecurrentEncoder(32, 48), network, embedding_scale=1.0)


@pytest.mark.parametrize("network", ["transformer", "lstm"])
def test_it_learns_to_copy_exactly(network):
    space = Categorical((5,), 4, ("a", "b", "c", ""), layout="sequence")
    torch.manual_seed(0)
    rate = 4e-3 if network == "transformer" else 2e-2
    model = learnt(small(network, space), *pairs(4000, 3, 3, 5, False, 0), 120, rate)
    x, context = pairs(300, 3, 3, 5, False, 1)
    assert torch.equal(model.beam_search(context).long(), x)


@pytest.mark.parametrize("network", ["transformer", "lstm"])
def test_it_learns_to_reverse_exactly(network):
    space = Categorical((4,), 4, ("a", "b", "c", ""), layout="sequence")
    torch.manual_seed(0)
    rate = 4e-3 if network == "transformer" else 2e-2
    model = learnt(small(network, space), *pairs(4000, 3, 3, 4, True, 0), 200, rate)
    x, context = pairs(300, 3, 3, 4, True, 1)
    assert torch.equal(model.beam_search(context).long(), x)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["transformer", "lstm"])
def test_it_learns_to_reverse_longer_ones_exactly(network):
    space = Categorical((8,), 9, (*"abcdefgh", ""), layout="sequence")
    torch.manual_seed(0)
    rate = 4e-3 if network == "transformer" else 1e-2
    model = learnt(small(network, space), *pairs(4000, 8, 5, 8, True, 0), 900, rate)
    x, context = pairs(300, 8, 5, 8, True, 1)
    for beams in (1, 4):
        assert torch.equal(model.beam_search(context, beams=beams).long(), x)


def test_it_starts_near_the_frequencies_of_the_symbols(name):
    x = torch.randint(0, 3, (500, 4)) * torch.randint(0, 2, (500, 4))
    context = torch.randint(0, 4, (500, 5))
    model = MODELS[name](SOURCE, TARGET)
    model.initialize(x, context)
    p = torch.bincount(x.flatten(), minlength=3) / x.numel()
    entropy = -(p * p.log()).sum().item()
    assert -model.log_prob(x, context).mean().item() / 4 == pytest.approx(entropy, abs=0.2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"source of categories in a row, got 3 categories"):
        lstm(Categorical((), 3), TARGET)
    with pytest.raises(ValueError, match="levels or categories in a row, got real numbers"):
        lstm(SOURCE, Real((3,)))
    with pytest.raises(ValueError, match="sequence of 4 needs a window as long, got 3"):
        Seq2Seq(TARGET, SOURCE, TransformerEncoder(8, 2, 1, 5),
                AttendingTransformer(8, 8, 2, 1, 3, 5))  # fmt: skip
    with pytest.raises(ValueError, match="two directions must be even, got 7"):
        RecurrentEncoder(4, 7)
    model = make("lstm")
    with pytest.raises(ValueError, match="beams must be at least 1, got 0"):
        model.beam_search(CONTEXT, beams=0)
    with pytest.raises(ValueError, match="length penalty must be 0 or more, got -1"):
        model.beam_search(CONTEXT, length_penalty=-1)
    with pytest.raises(ValueError, match=r"this model is conditional .* give context="):
        model.sample(3)
    with pytest.raises(ValueError, match="expected 4 rows of context, one for each row, got 3"):
        model.log_prob(torch.zeros(4, 4), CONTEXT[:3])
    with pytest.raises(ValueError, match="codes from 0 to 3"):
        model.beam_search(CONTEXT + 1)
