"""Going on with a beginning, such as a prompt."""

__all__ = ["extend"]

import torch
from torch import Tensor, nn

from ptheta.asking import batches, in_sentences, refuse_context
from ptheta.border import Count, Seed, checked
from ptheta.density import device_of, evaluating
from ptheta.errors import PthetaError
from ptheta.protocols import SupportsExtend, capabilities
from ptheta.random import seeded
from ptheta.recipes.registry import offering


@checked
@torch.no_grad()
def extend(
    model: nn.Module,
    prefix: Tensor,
    context: Tensor | None = None,
    *,
    length: Count | None = None,
    temperature: float = 1.0,
    top_k: Count | None = None,
    top_p: float = 1.0,
    batch_size: Count = 1000,
    seed: Seed | None = 0,
) -> Tensor:
    """Sequences that begin with a prefix, in batches.

    Arguments:
        model: The model.
        prefix: The codes so far, with shape (n, so_far); there may be none.
        context: What each is conditioned on, with shape (n, *context_shape).
        length: The symbols of a sequence in all; None takes those of the space.
        temperature: What logits are divided by; 0 takes the likeliest symbol.
        top_k: The number of likeliest symbols that are drawn from; None takes all.
        top_p: The probability of the likeliest symbols that are drawn from.
        batch_size: The number of sequences drawn at a time.
        seed: The seed; the same seed and batch size give the same sequences.

    Returns:
        The codes, with shape (n, length), on the CPU.

    Raises:
        PthetaError: The model cannot go on with a beginning, or what is asked for is out of
            bounds.
    """
    if not isinstance(model, SupportsExtend):
        raise PthetaError(
            "this model cannot go on with a beginning: it offers "
            f"{', '.join(capabilities(model))}. Recipes that can: {', '.join(offering('extend'))}."
        )
    refuse_context(context, len(prefix))
    device = device_of(model)
    parts: list[Tensor] = []
    with seeded(seed), evaluating(model), in_sentences():
        for batch in batches(len(prefix), batch_size):
            part = model.extend(
                prefix[batch].to(device),
                None if context is None else context[batch].to(device),
                length=length,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
            )
            parts.append(part.cpu())
    return torch.cat(parts)
