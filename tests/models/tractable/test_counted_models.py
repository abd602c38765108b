"""Chow-Liu trees, Bayesian networks, Markov chains: their tables, and what defines each."""

import itertools

import pytest
import torch

import ptheta
from ptheta.errors import PthetaError
from ptheta.models.tractable.bayesian_network import BayesianNetwork
from ptheta.models.tractable.chow_liu import ChowLiuTree, maximum_spanning_tree
from ptheta.models.tractable.codes import Codes, draw_codes
from ptheta.models.tractable.markov import MarkovChain
from ptheta.recipes.registry import build
from ptheta.spaces import Binary, Categorical, Column, Discrete, Real, Table

MIXED = Table(
    (
        Column("a", Discrete(levels=3)),
        Column("b", Categorical(categories=2)),
        Column("c", Discrete(levels=4)),
    )
)


def rows_of(sizes, n, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(size, (n,), generator=g) for size in sizes], dim=1)


def fitted(model, x):
    model.take(model.count(x))
    return model


def dependent_rows(n):
    """Five binary values, each a noisy copy of some before it."""
    g = torch.Generator().manual_seed(1)
    x = torch.zeros(n, 5, dtype=torch.long)
    x[:, 0] = torch.randint(2, (n,), generator=g)
    for d, (parent, noise) in enumerate([(0, 0.1), (0, 0.3), (2, 0.2), (1, 0.25)], start=1):
        flip = torch.rand(n, generator=g) < noise
        x[:, d] = x[:, parent] ^ flip
    return x


def mutual_information(x, i, j):
    joint = torch.zeros(2, 2).double()
    joint.index_put_((x[:, i], x[:, j]), torch.ones(len(x)).double(), accumulate=True)
    joint = (joint + 0.25) / (len(x) + 1)
    product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return (joint * (joint / product).log()).sum().item()


def test_the_tree_has_the_most_mutual_information_of_all_trees():
    x = dependent_rows(400)
    tree = fitted(ChowLiuTree(Binary((5,))), x)
    found = {frozenset(edge) for edge in enumerate(tree.parents.tolist()) if edge[1] >= 0}
    edges = list(itertools.combinations(range(5), 2))
    weight = {frozenset(edge): mutual_information(x, *edge) for edge in edges}

    def spans(chosen):
        reached = {0}
        for _ in range(4):
            reached |= {node for edge in chosen for node in edge if reached & edge}
        return len(reached) == 5

    trees = [
        set(map(frozenset, chosen))
        for chosen in itertools.combinations(edges, 4)
        if spans(list(map(frozenset, chosen)))
    ]
    assert len(trees) == 125  # Cayley: 5 ** 3
    best = max(trees, key=lambda chosen: sum(weight[edge] for edge in chosen))
    assert found == best


def test_the_tables_of_a_tree_are_smoothed_frequencies():
    x = torch.tensor([[0, 0], [0, 0], [0, 1], [1, 1]])
    tree = fitted(ChowLiuTree(Binary((2,)), smoothing=1.0), x)
    # one count over four pairs: (3 + 1/2) / 5 for a first 0, (2 + 1/4) / (3 + 1/2) for 0 after it
    expected = torch.tensor([(3.5 / 5) * (2.25 / 3.5)]).double().log()
    torch.testing.assert_close(tree.log_prob(x[:1]), expected)


def test_a_tree_of_columns_of_different_sizes_sums_to_one():
    tree = fitted(ChowLiuTree(MIXED), rows_of((3, 2, 4), 60))
    every = torch.cartesian_prod(torch.arange(3), torch.arange(2), torch.arange(4))
    assert tree.log_prob(every).exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_one_value_alone_is_a_tree():
    tree = fitted(ChowLiuTree(Binary((1,))), torch.tensor([[0], [1], [1]]))
    assert tree.log_prob(torch.tensor([[1]])).exp().item() == pytest.approx(2.5 / 4)


def test_independent_values_have_a_tree_all_the_same():
    assert maximum_spanning_tree(torch.zeros(3, 3)).tolist().count(-1) == 1


def test_a_tree_of_too_many_codes_is_refused():
    with pytest.raises(PthetaError, match="square of all codes, and 200704 are more than 20000"):
        build("chow-liu", Discrete((1, 28, 28), 256, layout="image"))


def test_real_and_missing_values_are_refused_with_who_can_serve_them():
    table = Table((Column("a", Real()), Column("b", Discrete(levels=3))))
    with pytest.raises(PthetaError, match=r"cannot count real numbers.*Recipes that can: .*made"):
        build("chow-liu", table)
    gaps = Table((Column("a", Categorical(categories=3), missing=True),))
    with pytest.raises(PthetaError, match="no place for the missing values of 'a'"):
        build("latent-class", gaps)


def test_a_network_has_the_conditional_frequencies_of_its_graph():
    x = rows_of((3, 2, 4), 200)
    model = fitted(BayesianNetwork(MIXED, [(1, 2), (), (1,)], smoothing=0.5), x)
    row = torch.tensor([[2, 1, 3]])
    parents = (x[:, 1] == 1) & (x[:, 2] == 3)
    both = parents & (x[:, 0] == 2)
    p_a = (both.sum() + 0.5) / (parents.sum() + 1.5)
    p_b = ((x[:, 1] == 1).sum() + 0.5) / (200 + 1.0)
    p_c = (parents.sum() + 0.5) / ((x[:, 1] == 1).sum() + 2.0)
    torch.testing.assert_close(model.log_prob(row), (p_a * p_b * p_c).log()[None].double())


def test_a_network_draws_from_its_own_density():
    model = fitted(BayesianNetwork(MIXED, [(1, 2), (), (1,)]), rows_of((3, 2, 4), 40))
    every = torch.cartesian_prod(torch.arange(3), torch.arange(2), torch.arange(4))
    torch.manual_seed(0)
    drawn = model.sample(40_000).long()
    share = torch.bincount(drawn @ torch.tensor([8, 4, 1]), minlength=24) / 40_000
    p = model.log_prob(every).exp()
    error = (p * (1 - p) / 40_000).sqrt()
    assert ((share - p).abs() < 5 * error).all()


def test_edges_are_read_by_name_and_by_number():
    named = build("bayes-net", MIXED, settings={"edges": "b -> a, c->a"}).model
    assert [sorted(level) for level in named.levels] == [[1, 2], [0]]
    numbered = build("bayes-net", Binary((3,)), settings={"edges": "2 -> 0"}).model
    assert [sorted(level) for level in numbered.levels] == [[1, 2], [0]]


def test_edges_name_the_columns_of_a_table_of_one_kind(tmp_path):
    path = tmp_path / "garden.csv"
    path.write_text("rain,sprinkler,wet\n" + "0,1,1\n1,0,1\n0,0,0\n1,1,1\n" * 10)
    edges = {"edges": "rain -> wet, sprinkler -> wet"}
    run = ptheta.fit(str(path), "bayes-net", settings=edges, out=tmp_path / "run")
    assert run.model.levels == [[0, 1], [2]]
    assert ptheta.load(tmp_path / "run").model.levels == [[0, 1], [2]]
    with pytest.raises(PthetaError, match="the graph has a cycle: (rain -> wet|wet -> rain)"):
        ptheta.fit(str(path), "bayes-net", settings={"edges": "rain -> wet, wet -> rain"})


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ([(), (0,), (7,)], "value 2 cannot depend on value 7: values are numbered from 0 to 2"),
        ([(), (-1,), ()], "value 1 cannot depend on value -1"),
        ([(), (0,)], "expected the parents of each of 3 values, got those of 2"),
    ],
)
def test_parents_that_are_not_there_are_refused(parents, message):
    with pytest.raises(PthetaError, match=message):
        BayesianNetwork(Binary((3,)), parents)


def test_a_table_of_more_entries_than_any_memory_is_refused():
    with pytest.raises(PthetaError, match="value 79 has so many parents"):
        BayesianNetwork(Binary((80,)), [()] * 79 + [range(79)])


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ("a -> b, b -> a, a -> c", "the graph has a cycle: (a -> b -> a|b -> a -> b).$"),
        ("a -> d", "edge 'a -> d': no value 'd'"),
        ("a b", "an edge is written 'cause -> effect', and 'a b' is not"),
        ("a -> a", "the graph has a cycle: a -> a.$"),
    ],
)
def test_a_graph_that_is_none_is_refused(edges, message):
    with pytest.raises(PthetaError, match=message):
        build("bayes-net", MIXED, settings={"edges": edges})


def test_a_known_transition_matrix_is_recovered():
    transition = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.25, 0.25, 0.5]])
    torch.manual_seed(0)
    x = torch.zeros(2000, 50, dtype=torch.long)
    for t in range(1, 50):
        x[:, t] = torch.multinomial(transition[x[:, t - 1]], 1)[:, 0]
    model = fitted(MarkovChain(Categorical((50,), 3), order=1), x)
    # each row is seen over 20,000 times, so its standard error is under 0.004
    torch.testing.assert_close(model.table[:3].exp().float(), transition, atol=0.02, rtol=0)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_chain_sums_to_one_and_takes_only_its_order_into_account(order):
    space = Categorical((5,), 2)
    model = fitted(MarkovChain(space, order), rows_of((2,) * 5, 30))
    every = torch.cartesian_prod(*[torch.arange(2)] * 5)
    assert model.log_prob(every).exp().sum().item() == pytest.approx(1, abs=1e-6)
    contexts = model.contexts(every)[:, 4]
    last = every[:, 4 - order : 4]
    same = (last[:, None] == last).all(dim=2)
    assert torch.equal(contexts[:, None] == contexts, same)


def test_what_was_never_seen_leans_on_shorter_contexts():
    # after (0, 1) nothing was seen, after 1 alone always a 1
    x = torch.tensor([[1, 1, 1, 1]] * 50)
    model = fitted(MarkovChain(Categorical((4,), 2), order=2, strength=1.0), x)
    assert model.log_prob(torch.tensor([[1, 1, 1, 1]])).exp().item() > 0.9
    unseen = model.table[model.contexts(torch.tensor([[0, 1, 1, 1]]))[0, 2]]
    assert unseen.exp()[1].item() > 0.9


def test_a_table_that_is_too_large_is_refused():
    with pytest.raises(PthetaError, match="order 4 over 65 symbols needs .* ask for a lower order"):
        build("markov", Categorical((64,), 65, layout="sequence"), settings={"order": 4})


def test_values_of_unlike_kinds_are_no_sequence():
    with pytest.raises(PthetaError, match="must all be of one kind"):
        build("markov", MIXED)


def test_codes_are_drawn_by_their_probabilities():
    logits = torch.tensor([0.5, 0.0, 0.5, 0.0]).log().repeat(20_000, 1)
    torch.manual_seed(0)
    share = torch.bincount(draw_codes(logits), minlength=4) / 20_000
    assert share[1] == share[3] == 0
    assert share[0].item() == pytest.approx(0.5, abs=5 * 0.5 / 20_000**0.5)


def test_codes_go_out_and_come_back():
    codes = Codes(Discrete((1, 2, 2), 5, layout="image"))
    x = torch.randint(5, (3, 1, 2, 2)).to(torch.uint8)
    assert torch.equal(codes.back(codes(x)), x)


@pytest.mark.parametrize(
    "recipe", ["independent", "chow-liu", "bayes-net", "markov", "hmm", "latent-class"]
)
def test_log_probabilities_and_draws_follow_the_dtype_that_a_model_is_brought_to(recipe):
    data = ptheta.load_data(dependent_rows(200).numpy())
    settings = {"edges": "0 -> 1"} if recipe == "bayes-net" else {}
    model = ptheta.fit(data, recipe, settings=settings, steps=2).model
    x = data.test.x
    exact = model.double().log_prob(x)
    assert exact.dtype == torch.float64
    for dtype in (torch.float32, torch.float64):
        found = model.to(dtype).log_prob(x)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
        assert data.space.contains(model.sample(20)).all()
