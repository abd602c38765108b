"""The named systems: one table from a name to the function that puts the system together."""

__all__ = [
    "RECIPES",
    "Description",
    "build",
    "describe",
    "find",
    "importable",
    "names",
    "offering",
    "register",
    "serving",
]

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from ptheta.errors import PthetaError, nearest
from ptheta.protocols import Capability, DensityKind, capabilities, density_kind
from ptheta.recipes.algorithm import Algorithm, Freedom
from ptheta.recipes.settings import Setting, check_settings, settings_of
from ptheta.spaces import (
    Binary,
    Categorical,
    Column,
    Discrete,
    Positive,
    Real,
    Space,
    Table,
)

RECIPES: dict[str, str] = {
    "independent": "ptheta.recipes.tractable:independent",
    "chow-liu": "ptheta.recipes.tractable:chow_liu",
    "bayes-net": "ptheta.recipes.tractable:bayes_net",
    "naive-bayes": "ptheta.recipes.classifier:naive_bayes",
    "logistic-regression": "ptheta.recipes.classifier:logistic_regression",
    "markov": "ptheta.recipes.tractable:markov",
    "hmm": "ptheta.recipes.tractable:hmm",
    "gmm": "ptheta.recipes.latent:gmm",
    "latent-class": "ptheta.recipes.latent:latent_class",
    "fvsbn": "ptheta.recipes.autoregressive.vectors:fvsbn",
    "nade": "ptheta.recipes.autoregressive.vectors:nade",
    "eonade": "ptheta.recipes.autoregressive.vectors:eonade",
    "made": "ptheta.recipes.autoregressive.vectors:made",
    "pixelcnn": "ptheta.recipes.autoregressive.images:pixelcnn",
    "gated-pixelcnn": "ptheta.recipes.autoregressive.images:gated_pixelcnn",
    "row-lstm": "ptheta.recipes.autoregressive.images:row_lstm",
    "diagonal-bilstm": "ptheta.recipes.autoregressive.images:diagonal_bilstm",
    "char-rnn": "ptheta.recipes.autoregressive.sequences:char_rnn",
    "char-lstm": "ptheta.recipes.autoregressive.sequences:char_lstm",
    "char-gru": "ptheta.recipes.autoregressive.sequences:char_gru",
    "transformer": "ptheta.recipes.autoregressive.sequences:transformer",
    "wavenet": "ptheta.recipes.autoregressive.sequences:wavenet",
    "seq2seq-lstm": "ptheta.recipes.autoregressive.translation:seq2seq_lstm",
    "seq2seq-transformer": "ptheta.recipes.autoregressive.translation:seq2seq_transformer",
    "affine": "ptheta.recipes.flows.linear:affine",
    "planar": "ptheta.recipes.flows.linear:planar",
    "radial": "ptheta.recipes.flows.linear:radial",
    "nice": "ptheta.recipes.flows.coupling:nice",
    "realnvp": "ptheta.recipes.flows.coupling:realnvp",
    "realnvp-multiscale": "ptheta.recipes.flows.images:realnvp_multiscale",
    "glow": "ptheta.recipes.flows.images:glow",
    "nsf-coupling": "ptheta.recipes.flows.coupling:nsf_coupling",
    "maf": "ptheta.recipes.flows.autoregressive:maf",
    "iaf": "ptheta.recipes.flows.autoregressive:iaf",
    "nsf-autoregressive": "ptheta.recipes.flows.autoregressive:nsf_autoregressive",
    "i-resnet": "ptheta.recipes.flows.residual:i_resnet",
    "residual-flow": "ptheta.recipes.flows.residual:residual_flow",
    "mintnet": "ptheta.recipes.flows.residual:mintnet",
    "vae": "ptheta.recipes.latent:vae",
    "gan": "ptheta.recipes.implicit:gan",
    "rbm": "ptheta.recipes.energy.rbm:rbm",
    "dbn": "ptheta.recipes.energy.dbn:dbn",
    "dbm": "ptheta.recipes.energy.dbm:dbm",
    "potts": "ptheta.recipes.energy.pairwise:potts",
    "ebm": "ptheta.recipes.energy.neural:ebm",
    "discrete-ebm": "ptheta.recipes.energy.discrete:discrete_ebm",
    "ncsn": "ptheta.recipes.score.langevin:ncsn",
    "ddpm": "ptheta.recipes.score.chain:ddpm",
    "score-sde": "ptheta.recipes.score.flow:score_sde",
    "flow-matching": "ptheta.recipes.score.flow:flow_matching",
}

_REGISTERED: dict[str, Callable[..., Algorithm]] = {}

# one small example of each kind of data, with what it is conditioned on, if anything: what a recipe
# serves is found by asking it to
_PROBES: dict[str, tuple[Space, Categorical | Real | None]] = {
    "real vectors": (Real((3,)), None),
    "positive vectors": (Positive((3,)), None),
    "binary vectors": (Binary((4,)), None),
    "levelled images": (Discrete((1, 4, 4), 17, layout="image"), None),
    "real images": (Real((1, 4, 4), layout="image"), None),
    "categories": (Categorical((3,), 4), None),
    "numeric tables": (Table((Column("a", Real()), Column("b", Discrete(levels=5)))), None),
    "mixed tables": (
        Table((Column("a", Real()), Column("b", Categorical(categories=3)))),
        None,
    ),
    "missing values": (Table((Column("a", Real(), missing=True), Column("b", Real()))), None),
    "sequences given sequences": (
        Categorical((3,), 4, layout="sequence"),
        Categorical((5,), 3, layout="sequence"),
    ),
}
_CLASS = Categorical(categories=2)


@dataclass(frozen=True)
class Description:
    """What a recipe is and can do.

    Arguments:
        name: Its name.
        family: Its family.
        title: The first line of its docstring.
        sources: The papers that it follows.
        settings: What can be set.
        conditional: Whether it takes a context.
        densities: The kind of density for each kind of space that it serves.
        capabilities: What its model of real vectors, or else of its first space, can do.
        constraints: What its family forbids.
    """

    name: str
    family: str
    title: str
    sources: tuple[str, ...]
    settings: tuple[Setting, ...]
    conditional: bool
    densities: Mapping[str, DensityKind]
    capabilities: tuple[Capability, ...]
    constraints: tuple[Freedom, ...]


def names() -> tuple[str, ...]:
    """The names of all recipes: ptheta's, those registered, and those of installed packages."""
    return tuple(dict.fromkeys((*RECIPES, *_REGISTERED, *_entry_points())))


def register(name: str, recipe: Callable[..., Algorithm]) -> None:
    """Gives a recipe of one's own a name, for as long as this Python runs.

    A package that is installed names its recipes by the entry point group ``ptheta.recipes``.

    Arguments:
        name: The name.
        recipe: The function.

    Raises:
        ValueError: ptheta has a recipe of that name.
    """
    if name in RECIPES:
        raise ValueError(f"ptheta has a recipe '{name}' of its own; take another name")
    _REGISTERED[name] = recipe
    serving.cache_clear()


def importable(name: str) -> bool:
    """Whether every process on this machine knows a recipe by its name."""
    return name not in _REGISTERED


def find(name: str) -> Callable[..., Algorithm]:
    """The function of a recipe.

    Arguments:
        name: The recipe's name; nothing else is ever imported by it.

    Raises:
        PthetaError: There is no such recipe.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    target = RECIPES.get(name) or _entry_points().get(name)
    if target is None:
        raise PthetaError(f"there is no recipe '{name}'. {nearest(name, names())}")
    module, function = target.split(":")
    return getattr(import_module(module), function)


def build(
    name: str,
    space: Space,
    context_space: Categorical | Real | None = None,
    settings: Mapping[str, Any] | None = None,
    columns: Sequence[str] = (),
) -> Algorithm:
    """Puts a named system together for a space.

    Arguments:
        name: The recipe's name.
        space: What one example is.
        context_space: What it is conditioned on, if anything.
        settings: Settings that differ from the defaults.
        columns: The names of the values, where they have some, for recipes that speak of them.

    Raises:
        PthetaError: There is no such recipe or setting, a value is out of bounds, or the
            recipe cannot serve the space; the sentence says which recipes can.
    """
    recipe = find(name)
    checked = check_settings(name, recipe, settings or {})
    if context_space is not None:
        if not _conditional(recipe):
            able = ", ".join(other for other in names() if _conditional(find(other)))
            raise PthetaError(f"{name} cannot be conditioned on a context. These can: {able}.")
        checked["context_space"] = context_space
    if "columns" in inspect.signature(recipe).parameters:
        checked["columns"] = columns
    try:
        return recipe(space, **checked)
    except PthetaError as error:
        able = ", ".join(serving(space, context_space))
        if name in able.split(", "):
            raise PthetaError(f"{name} cannot be built: {error}") from None
        hint = f" Recipes that can: {able}." if able else ""
        raise PthetaError(f"{name} cannot model this data: {error}{hint}") from None
    except ValueError as error:
        raise PthetaError(f"{name} cannot be built with these settings: {error}") from None
    except (MemoryError, RuntimeError) as error:
        reason = str(error).split("\n", 1)[0] or "out of memory"
        raise PthetaError(
            f"{name} cannot be built with these settings, most likely because they need more "
            f"memory than there is ({reason[:120]}). Ask for smaller ones."
        ) from None


@cache
def serving(space: Space, context_space: Categorical | Real | None = None) -> tuple[str, ...]:
    """The recipes that can model a space with their default settings.

    Arguments:
        space: What one example is.
        context_space: What it is conditioned on, if anything.
    """
    return tuple(name for name in names() if _served(name, space, context_space) is not None)


def offering(*capabilities: Capability) -> tuple[str, ...]:
    """The recipes whose model can be asked for something.

    Arguments:
        capabilities: What the model is asked for, such as ``extend``; any of several will do.
    """
    return tuple(name for name in names() if {*capabilities} & {*describe(name).capabilities})


@cache
def describe(name: str) -> Description:
    """What a recipe is, what can be set, and what it can do, found by building small ones.

    Arguments:
        name: The recipe's name.
    """
    recipe = find(name)
    doc = inspect.getdoc(recipe) or ""
    built = {label: _probed(name, *probe) for label, probe in _PROBES.items()}
    served = {label: algorithm for label, algorithm in built.items() if algorithm is not None}
    if not served:
        raise PthetaError(f"recipe '{name}' serves no kind of data that ptheta knows.")
    first = next(iter(served.values()))
    return Description(
        name=name,
        family=_family(recipe),
        title=doc.split("\n", 1)[0],
        sources=_references(doc),
        settings=settings_of(recipe),
        conditional=_conditional(recipe),
        densities={label: density_kind(algorithm.model) for label, algorithm in served.items()},
        capabilities=capabilities(first.model),
        constraints=first.constraints,
    )


def _family(recipe: Callable[..., Algorithm]) -> str:
    parts = recipe.__module__.split(".")
    # ptheta.recipes.<family>, or a module of one's own
    return parts[2] if parts[:2] == ["ptheta", "recipes"] else parts[-1]


def _served(
    name: str, space: Space, context_space: Categorical | Real | None = None
) -> Algorithm | None:
    recipe = find(name)
    if context_space is not None and not _conditional(recipe):
        return None
    try:
        return recipe(space) if context_space is None else recipe(space, context_space)
    except PthetaError:
        return None


def _probed(name: str, space: Space, context_space: Categorical | Real | None) -> Algorithm | None:
    found = _served(name, space, context_space)
    if found is None and context_space is None:
        # some serve nothing but data with a class
        return _served(name, space, _CLASS)
    return found


def _conditional(recipe: Callable[..., Algorithm]) -> bool:
    return "context_space" in inspect.signature(recipe).parameters


def _references(doc: str) -> tuple[str, ...]:
    """The entries of a docstring's references, each of which ends with its address."""
    _, found, rest = doc.partition("References:")
    entries: list[str] = []
    entry = ""
    for line in rest.split("\n")[1:] if found else []:
        if line.strip() and not line.startswith(" "):
            break
        entry = f"{entry} {line.strip()}".strip()
        if "https://" in line:
            entries.append(entry)
            entry = ""
    return (*entries, entry) if entry else tuple(entries)


@cache
def _entry_points() -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group="ptheta.recipes")}
