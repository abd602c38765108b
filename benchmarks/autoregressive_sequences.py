"""Sequences: draws with and without a cache, and training beside a bare hand-written loop.

    python benchmarks/autoregressive_sequences.py

A Transformer of 4 layers of 128, and an LSTM of one layer of 256, on 65 symbols. minGPT draws with
a whole pass over what was read for each symbol, and with attention that is not fused.
"""

from timing import interleaved, machine  # isort: skip

from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from ptheta.models.autoregressive.choosing import Choice
from ptheta.models.autoregressive.sequence import SequenceModel
from ptheta.networks import transformer
from ptheta.networks.recurrent import Recurrent
from ptheta.networks.sequence import SequenceNetwork
from ptheta.networks.transformer import Transformer
from ptheta.objectives.likelihood import MaximumLikelihood
from ptheta.objectives.types import Batch
from ptheta.spaces import Categorical
from ptheta.training.gradient import GradientLearner

SYMBOLS, FEATURES, PROMPTS, DRAWN = 65, 128, 16, 128
BATCH, STEPS = 32, 4


def model_of(network: SequenceNetwork, length: int) -> SequenceModel:
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


class Bare(nn.Module):
    """The same network as a person would write it, with cross-entropy."""

    def __init__(self, network: SequenceNetwork) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS + 1, network.in_features)
        self.network = network
        self.output = nn.Linear(network.features, SYMBOLS)

    def forward(self, x: Tensor) -> Tensor:
        start = torch.full_like(x[:, :1], SYMBOLS)
        logits = self.output(self.network(self.embedding(torch.cat([start, x[:, :-1]], dim=1))))
        return F.cross_entropy(logits.flatten(0, 1), x.flatten())


def bare_training(network: SequenceNetwork, x: Tensor) -> Callable[[], int]:
    bare = Bare(network)
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-3, fused=True)

    def work() -> int:
        for _ in range(STEPS):
            loss = bare(x)
            loss.backward()
            nn.utils.clip_grad_norm_(bare.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return STEPS * x.numel()

    return work


def our_training(network: SequenceNetwork, x: Tensor) -> Callable[[], int]:
    learner = GradientLearner(model_of(network, x.shape[1]), MaximumLikelihood(), clip=1.0)
    learner.setup(Fabric(accelerator="cpu", devices=1))

    def work() -> int:
        for _ in range(STEPS):
            learner.step(Batch(x.to(torch.uint8), None))
        return STEPS * x.numel()

    return work


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
    show(f"{name}, {PROMPTS} prompts of {so_far}, {DRAWN} symbols drawn", seconds)
    for peer in list(systems)[1:]:
        print(f"ptheta is {seconds[peer] / seconds['ptheta']:.1f} times as fast as {peer}")


def training(name: str, make: Callable[[], SequenceNetwork], length: int) -> None:
    x = torch.randint(0, SYMBOLS, (BATCH, length))
    seconds = interleaved(
        {"bare loop": bare_training(make(), x), "ptheta": our_training(make(), x)}, rounds=5
    )
    show(f"{name}, training, batches of {BATCH} x {length}", seconds)
    print(f"{'overhead':18} {seconds['ptheta'] / seconds['bare loop'] - 1:8.1%}")


def show(title: str, seconds: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, taken in seconds.items():
        print(f"{name:18} {1 / taken:8,.0f} symbols/s")


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(machine())
    draws("Transformer 4 x 128", Transformer(FEATURES, 4, 4, 257), 1)
    draws("Transformer 4 x 128", Transformer(FEATURES, 4, 4, 257), 127)
    draws("LSTM 256", Recurrent(FEATURES, 256), 127)
    training("Transformer 4 x 128", lambda: Transformer(FEATURES, 4, 4, 64), 64)
    training("LSTM 256", lambda: Recurrent(FEATURES, 256), 64)


if __name__ == "__main__":
    main()
