"""Sequences: draws with and without a cache, and training beside a bare hand-written loop.

    python benchmarks/autoregressive_sequences.py

A Transformer of 4 layers of 128, and an LSTM of one layer of 256, on 65 symbols; a WaveNet of 10
layers of 32 channels on 256 levels. minGPT draws with a whole pass over what was read for each
symbol, and with attention that is not fused; a WaveNet without queues draws with a pass over its
receptive field of 1,024 symbols.
"""

from loops import bare, report, run, trained  # isort: skip
from timing import interleaved  # isort: skip

from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.autoregressive.choosing import Choice
from ptheta.models.autoregressive.sequence import SequenceModel
from ptheta.networks import transformer
from ptheta.networks.recurrent import Recurrent
from ptheta.networks.sequence import SequenceNetwork
from ptheta.networks.transformer import Transformer
from ptheta.networks.wavenet import WaveNet
from ptheta.spaces import Categorical, Discrete

SYMBOLS, FEATURES, PROMPTS, DRAWN = 65, 128, 16, 128
BATCH, STEPS = 32, 4
LEVELS, SOUNDS, FIELD, SAMPLES = 256, 4, 1024, 200


def model_of(network: SequenceNetwork, length: int) -> SequenceModel:
    if isinstance(network, WaveNet):
        return SequenceModel(Discrete((length,), LEVELS, layout="sequence"), network)
    return SequenceModel(Categorical((length,), SYMBOLS, layout="sequence"), network)


@torch.no_grad()
def without_cache(model: SequenceModel, prefix: Tensor) -> int:
    """A whole pass for each symbol."""
    codes, choice = prefix, Choice()
    for _ in range(DRAWN):
        outputs = model.network(model.inputs(codes, None, start=True))
        logits = choice(model.logits(outputs[:, -1]))
        drawn = torch.multinomial(logits.softmax(dim=-1), 1)
        codes = torch.cat([codes, drawn], dim=1)
    return PROMPTS * DRAWN


def as_mingpt(model: SequenceModel, prefix: Tensor) -> int:
    with mock.patch.object(transformer, "causal", plain_attention):
        return without_cache(model, prefix)


def plain_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    scores = queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(~seen, -torch.inf).softmax(dim=-1) @ values


def with_cache(model: SequenceModel, prefix: Tensor) -> int:
    model.extend(prefix, length=prefix.shape[1] + DRAWN)
    return PROMPTS * DRAWN


@torch.no_grad()
def without_queues(model: SequenceModel, prefix: Tensor) -> int:
    """A pass over the receptive field for each sample, of a few samples."""
    codes, few = prefix, 5
    for _ in range(few):
        seen = codes[:, -FIELD:]
        outputs = model.network(model.inputs(seen, None, start=False))
        drawn = torch.multinomial(model.logits(outputs[:, -1]).softmax(dim=-1), 1)
        codes = torch.cat([codes, drawn], dim=1)
    return SOUNDS * few


def with_queues(model: SequenceModel, prefix: Tensor) -> int:
    model.extend(prefix[:, :1], length=1 + SAMPLES)
    return SOUNDS * SAMPLES


class Bare(nn.Module):
    """The same network as a person would write it, with cross-entropy."""

    def __init__(self, network: SequenceNetwork) -> None:
        super().__init__()
        self.symbols = LEVELS if isinstance(network, WaveNet) else SYMBOLS
        self.embedding = nn.Embedding(self.symbols + 1, network.in_features)
        self.network = network
        self.output = nn.Linear(network.features, self.symbols)

    def forward(self, x: Tensor) -> Tensor:
        start = torch.full_like(x[:, :1], self.symbols)
        logits = self.output(self.network(self.embedding(torch.cat([start, x[:, :-1]], dim=1))))
        return F.cross_entropy(logits.flatten(0, 1), x.flatten())


def draws(name: str, network: SequenceNetwork, so_far: int) -> None:
    model = model_of(network, so_far + DRAWN + 1).eval()
    prefix = torch.randint(0, SYMBOLS, (PROMPTS, so_far))
    systems = {
        "ptheta": partial(with_cache, model, prefix),
        "a pass a symbol": partial(without_cache, model, prefix),
    }
    if isinstance(network, Transformer):
        systems["minGPT's way"] = partial(as_mingpt, model, prefix)
    seconds = interleaved(systems, rounds=3)
    report(f"{name}, {PROMPTS} prompts of {so_far}, {DRAWN} symbols drawn", "symbols", seconds)


def sounds(network: WaveNet) -> None:
    model = model_of(network, FIELD).eval()
    prefix = torch.randint(0, LEVELS, (SOUNDS, FIELD))
    systems = {
        "ptheta": partial(with_queues, model, prefix),
        "a pass a symbol": partial(without_queues, model, prefix),
    }
    seconds = interleaved(systems, rounds=5)
    report(f"WaveNet 10 x 32, receptive field {FIELD}, {SOUNDS} sounds", "symbols", seconds)


def training(
    name: str, make: Callable[[], SequenceNetwork], length: int, batch: int = BATCH
) -> None:
    x = torch.randint(0, SYMBOLS, (batch, length))
    ours, module = model_of(make(), length), Bare(make())
    seconds = interleaved(
        {
            "ptheta": trained(ours, x.to(torch.uint8), STEPS, clip=1.0),
            "bare loop": bare(module, module, x, STEPS, clip=1.0),
        },
        rounds=5,
    )
    report(f"{name}, training, batches of {batch} x {length}", "sequences", seconds)


SYSTEMS = {
    "transformer-drawing": lambda: draws(
        "Transformer 4 x 128", Transformer(FEATURES, 4, 4, 257), 1
    ),
    "transformer-prompted": lambda: draws(
        "Transformer 4 x 128", Transformer(FEATURES, 4, 4, 257), 127
    ),
    "lstm-prompted": lambda: draws("LSTM 256", Recurrent(FEATURES, 256), 127),
    "transformer-training": lambda: training(
        "Transformer 4 x 128", lambda: Transformer(FEATURES, 4, 4, 64), 64
    ),
    "wavenet-drawing": lambda: sounds(WaveNet(32, 10)),
    "lstm-training": lambda: training("LSTM 256", lambda: Recurrent(FEATURES, 256), 64),
    "wavenet-training": lambda: training("WaveNet 10 x 32", lambda: WaveNet(32, 10), FIELD, 4),
}


if __name__ == "__main__":
    torch.manual_seed(0)
    run(SYSTEMS)
