"""Checks of what a model tells of rows: latents and classes."""

__all__ = ["classes_of_batch", "classifies", "comes_back", "encodes", "follows_bayes"]

import torch

from ptheta.spaces import Space
from ptheta.testing.fitted import Make, require


def encodes(fitted: Make) -> None:
    """There is a finite latent for each row."""
    found = fitted()
    z = found.model.encode(found.x[:6], found.given(6))
    require(len(z) == 6 and bool(z.isfinite().all()), "a latent is missing or not finite")


@torch.no_grad()
def comes_back(fitted: Make, space: Space) -> None:
    """A row that is encoded and decoded is the row."""
    found = fitted()
    z = found.model.encode(found.x, found.context)
    back = found.model.decode(z, found.context)
    require(back.dtype == space.dtype, f"decoded rows are {back.dtype}, expected {space.dtype}")
    torch.testing.assert_close(back, found.x, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def classifies(fitted: Make) -> None:
    """The probabilities of the classes of a row sum to one."""
    found = fitted()
    assert found.context is not None
    log_p = found.model.class_log_prob(found.x)
    require(
        log_p.dim() == 2 and len(log_p) == len(found.x) and log_p.shape[1] > found.context.max(),
        f"class_log_prob has shape {tuple(log_p.shape)}, expected (batch, classes)",
    )
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(len(log_p)).to(log_p))


@torch.no_grad()
def classes_of_batch(fitted: Make) -> None:
    """The classes of a batch are those of its rows."""
    found = fitted()
    x = found.x[:8]
    one_by_one = torch.cat([found.model.class_log_prob(row) for row in x.split(1)])
    torch.testing.assert_close(found.model.class_log_prob(x), one_by_one, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def follows_bayes(fitted: Make) -> None:
    """Classes given rows are, up to how frequent they are, rows given classes."""
    found = fitted()
    x = found.x[:16]
    posterior = found.model.class_log_prob(x)
    labels = torch.arange(posterior.shape[1])
    given = torch.stack([found.model.log_prob(x, c.expand(len(x))) for c in labels], dim=1)
    # what is left is how frequent the classes are, over how likely the row is
    left = posterior - given
    prior = (left - left[:, :1])[:1].expand_as(left)
    torch.testing.assert_close(left - left[:, :1], prior, rtol=1e-4, atol=1e-4)
