"""Tractable models: densities written down at once."""

__all__ = ["bayes_net", "chow_liu", "hmm", "independent", "markov"]

from collections.abc import Sequence

from ptheta.data.bridged import bridged
from ptheta.data.bridging import standardising
from ptheta.errors import PthetaError, nearest
from ptheta.models.heads import on_reals
from ptheta.models.tractable.bayesian_network import BayesianNetwork, cycle_of
from ptheta.models.tractable.chow_liu import ChowLiuTree
from ptheta.models.tractable.hmm import HiddenMarkovModel
from ptheta.models.tractable.independent import Independent
from ptheta.models.tractable.markov import MarkovChain
from ptheta.recipes.algorithm import Algorithm
from ptheta.recipes.closed_form import counted, expectation_maximised
from ptheta.recipes.settings import Count, NonNegative, PositiveFloat
from ptheta.spaces import Categorical, Real, Space, Table
from ptheta.training.counting import CountingLearner


def independent(
    space: Space,
    context_space: Categorical | Real | None = None,
    *,
    bins: Count = 256,
) -> Algorithm:
    """Independent values, counted: the baseline that all must beat.

    Every value has its own marginal and nothing else: frequencies with half a count of smoothing
    for levels and categories, a histogram for real values. Missing values are left out of
    the counts, and marginalised.

    References:
        The performance of universal encoding (Krichevsky & Trofimov, 1981),
        https://doi.org/10.1109/TIT.1981.1056331

    Arguments:
        space: What one example is; any space.
        context_space: The categories that have marginals of their own.
        bins: The number of bins at most of the histogram of a real value, a power of two.
    """
    if isinstance(context_space, Real) or (context_space is not None and context_space.shape):
        raise PthetaError(
            "counting can be conditioned on one category, not on numbers or sequences."
        )
    if bins & (bins - 1):
        raise PthetaError(f"bins must be a power of two, such as 64 or 256, got {bins}.")
    model = Independent(on_reals(space), context_space, bins=bins)
    bridge = standardising(space)
    return counted(bridged(model, bridge, space), CountingLearner(model, bridge))


def chow_liu(space: Space, *, smoothing: PositiveFloat = 1.0) -> Algorithm:
    """Chow-Liu tree: each value given one other, by the tree of most mutual information.

    References:
        Approximating discrete probability distributions with dependence trees (Chow & Liu, 1968),
        https://doi.org/10.1109/TIT.1968.1054142

    Arguments:
        space: What one example is; levels and categories, without missing values.
        smoothing: The counts, in all, that are spread evenly over the joint of two values.
    """
    model = ChowLiuTree(space, smoothing)
    return counted(model, CountingLearner(model))


def bayes_net(
    space: Space, columns: Sequence[str] = (), *, edges: str = "", smoothing: PositiveFloat = 0.5
) -> Algorithm:
    """Bayesian network of tables, on a graph that is given.

    References:
        Probabilistic reasoning in intelligent systems (Pearl, 1988),
        https://doi.org/10.1016/C2009-0-27609-4

    Arguments:
        space: What one example is; levels and categories, without missing values.
        columns: The names of the values, where they have some.
        edges: The graph, such as ``rain -> wet, sprinkler -> wet``: columns by name, or other
            values by their number from 0. Without edges all values are independent.
        smoothing: The counts added to each entry of a table.

    Raises:
        PthetaError: An edge cannot be read, names no value, or closes a cycle.
    """
    model = BayesianNetwork(space, _parents(edges, space, columns), smoothing)
    return counted(model, CountingLearner(model))


def markov(space: Space, *, order: Count = 2, strength: PositiveFloat = 5.0) -> Algorithm:
    """Markov chain: each value given those just before it, alike at every place.

    References:
        A hierarchical Dirichlet language model (MacKay & Peto, 1995),
        https://doi.org/10.1017/S1351324900000218

    Arguments:
        space: What one example is: a sequence of levels or categories of one kind.
        order: The number of values before that each depends on.
        strength: The weight of what one value fewer says, in counts.
    """
    model = MarkovChain(space, order, strength)
    return counted(model, CountingLearner(model))


def hmm(
    space: Space,
    *,
    states: Count = 16,
    smoothing: NonNegative = 0.1,
    tolerance: NonNegative = 1e-3,
    steps: Count = 200,
) -> Algorithm:
    """Hidden Markov model, by Baum-Welch.

    References:
        A tutorial on hidden Markov models and selected applications in speech recognition
        (Rabiner, 1989), https://doi.org/10.1109/5.18626

    Arguments:
        space: What one example is: a sequence of levels or categories of one kind.
        states: The number of hidden states.
        smoothing: The counts added to each transition and symbol.
        tolerance: The gain in nats per sequence under which an iteration counts as no gain.
        steps: The number of iterations where no budget is given.
    """
    model = HiddenMarkovModel(space, states, smoothing)
    return expectation_maximised(model, tolerance, steps)


def _parents(edges: str, space: Space, columns: Sequence[str]) -> list[list[int]]:
    named = [column.name for column in space.columns] if isinstance(space, Table) else columns
    places = [str(i) for i in range(space.features)]
    names = named if len(named) == len(places) else places
    numbers = {name: i for names_ in (places, names) for i, name in enumerate(names_)}
    parents: list[list[int]] = [[] for _ in range(space.features)]
    for edge in (part.strip() for part in edges.split(",")):
        if not edge:
            continue
        ends = [end.strip() for end in edge.split("->")]
        if len(ends) != 2:
            raise PthetaError(f"an edge is written 'cause -> effect', and '{edge}' is not.")
        for end in ends:
            if end not in numbers:
                raise PthetaError(f"edge '{edge}': no value '{end}'. {nearest(end, names)}")
        cause, effect = (numbers[end] for end in ends)
        if cause not in parents[effect]:
            parents[effect].append(cause)
    if cycle := cycle_of(parents):
        raise PthetaError(f"the graph has a cycle: {' -> '.join(names[d] for d in cycle)}.")
    return parents
