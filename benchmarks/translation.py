"""English to French, symbol by symbol: what sequence to sequence models get right.

    python benchmarks/translation.py --minutes 15
    python benchmarks/translation.py runs/a runs/b

Nats and accuracy are those of the next symbol given the true ones before it, up to and with the end
of each held-out sentence. BLEU is sacrebleu's, of whole translations: greedy, by 4 beams, and by 4
beams with a length penalty of 1. The last row hands in the English sentence as it is.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ptheta
from ptheta.data.dataset import Split
from ptheta.data.sentences import decode_sentences
from ptheta.models.autoregressive.seq2seq import Seq2Seq
from ptheta.spaces import Categorical, end_of

RECIPES = ("seq2seq-lstm", "seq2seq-transformer")
SEARCHES = ((1, 0.0), (4, 0.0), (4, 1.0))


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    try:
        sacrebleu: Any = import_module("sacrebleu")
    except ImportError:
        raise SystemExit("BLEU needs sacrebleu: pip install 'ptheta[benchmark]'") from None
    return sacrebleu.corpus_bleu(list(translations), [list(references)]).score


@torch.no_grad()
def next_symbols(model: Seq2Seq, x: Tensor, context: Tensor) -> tuple[float, float]:
    """The nats and the accuracy of a symbol, those up to and with the end alone."""
    end = end_of(model.space)
    nats = right = count = 0.0
    for index in torch.arange(len(x)).split(100):
        codes, given = x[index].long(), model.given(context[index], len(index))
        inputs = model.inputs(codes[:, :-1], given.condition, start=True)
        log_p = model.logits(given.network(inputs)).log_softmax(dim=-1)
        ended = codes == end
        counted = ended.cumsum(dim=1) - ended.long() == 0
        nats -= log_p.gather(2, codes[:, :, None])[:, :, 0][counted].sum().item()
        right += (log_p.argmax(dim=2) == codes)[counted].sum().item()
        count += counted.sum().item()
    return nats / count, right / count


def row(run: ptheta.Run, data: ptheta.Data, shown: int) -> list[str]:
    model = run.model.eval()
    assert isinstance(model, Seq2Seq)
    assert isinstance(data.space, Categorical)
    assert data.test.context is not None
    x, context = data.test.x[:], data.test.context
    nats, accuracy = next_symbols(model, x, context)
    references = decode_sentences(x, data.space)
    cells = [run.recipe, f"{sum(p.numel() for p in model.parameters()):,}", f"{run.steps:,}"]
    cells += [f"{nats:.3f}", f"{accuracy:.1%}"]
    found: list[list[str]] = []
    for beams, penalty in SEARCHES:
        codes = ptheta.translate(model, context, beams=beams, length_penalty=penalty)
        found.append(decode_sentences(codes, data.space))
        cells.append(f"{bleu(found[-1], references):.1f}")
    for i in range(0, len(x), max(1, len(x) // max(1, shown)))[:shown]:
        print(f"    {references[i]}\n        {found[0][i]}\n        {found[-1][i]}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="*", help="runs on eng-fra; by default each recipe is fitted")
    parser.add_argument("--minutes", type=float, default=15.0, help="of each fit")
    parser.add_argument("--rows", type=int, default=2000, help="of the test split, at most")
    parser.add_argument("--show", type=int, default=0, help="so many translations")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = ptheta.load_data("eng-fra", context="english")
    assert data.test.context is not None
    g = torch.Generator().manual_seed(0)
    kept = torch.randperm(len(data.test), generator=g)[: asked.rows]
    data = replace(data, test=Split(data.test.x[kept], data.test.context[kept]))
    assert isinstance(data.space, Categorical)
    assert isinstance(data.context_space, Categorical)
    assert data.test.context is not None
    runs = [ptheta.load(run) for run in asked.runs]
    if not runs:
        folder = Path(tempfile.mkdtemp())
        for name in RECIPES:
            runs.append(ptheta.fit(data, name, seconds=60 * asked.minutes, out=folder / name))
    print("| recipe | parameters | steps | nats a symbol | accuracy | greedy | 4 beams "
          "| 4 beams, penalty 1 |\n| --- |" + " ---: |" * 7)  # fmt: skip
    for run in runs:
        print("|", " | ".join(row(run, data, asked.show)), "|", flush=True)
    copied = bleu(
        decode_sentences(data.test.context, data.context_space),
        decode_sentences(data.test.x[:], data.space),
    )
    print(f"| the source as it is | | | | | {copied:.1f} | | |")


if __name__ == "__main__":
    main()
