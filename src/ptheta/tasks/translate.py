"""The likeliest sequences given others, such as translations."""

__all__ = ["translate"]

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from ptheta.asking import batches, in_sentences
from ptheta.border import Count, checked
from ptheta.density import device_of, evaluating
from ptheta.errors import PthetaError
from ptheta.protocols import SupportsBeamSearch, capabilities
from ptheta.recipes.registry import offering


@checked
@torch.no_grad()
def translate(
    model: nn.Module,
    context: Tensor,
    *,
    beams: Count = 4,
    length_penalty: Annotated[float, Ge(0)] = 0.0,
    batch_size: Count = 100,
) -> Tensor:
    """The likeliest sequence that is found for each source, in batches.

    Arguments:
        model: The model.
        context: The codes of the sources, with shape (n, *context_shape).
        beams: The beginnings that are kept while the sequence is searched; 1 is greedy.
        length_penalty: The exponent by which long sentences are favoured; 0 ranks them by their
            probability alone.
        batch_size: The number of sources translated at a time.

    Returns:
        The codes, with shape (n, length), on the CPU.

    Raises:
        PthetaError: The model cannot search, or there is no source, or a source is not of its
            space.
    """
    if not isinstance(model, SupportsBeamSearch):
        raise PthetaError(
            f"this model cannot translate: it offers {', '.join(capabilities(model))}. "
            f"Recipes that can: {', '.join(offering('beam_search'))}."
        )
    if not len(context):
        raise PthetaError("there is nothing to translate. Give one source at least.")
    device = device_of(model)
    parts: list[Tensor] = []
    with evaluating(model), in_sentences():
        for batch in batches(len(context), batch_size):
            given = context[batch].to(device)
            part = model.beam_search(given, beams=beams, length_penalty=length_penalty)
            parts.append(part.cpu())
    return torch.cat(parts)
