"""Messages on grids: exact where there is no loop, and near where couplings are weak."""

import math

import pytest
import torch
from grids import evidence, marginals, stirred

from ptheta.inference.belief_propagation import SupportsPotentials, belief_propagation
from ptheta.models.energy.pairwise import PairwiseField

CHAINS = [((1, 9), 2), ((9, 1), 2), ((1, 7), 3), ((7, 1), 3), ((1, 1), 3), ((1, 1, 8), 2)]


@pytest.mark.parametrize(("shape", "states"), CHAINS)
def test_chains_are_exact_once_messages_have_gone_along_them(shape, states):
    torch.manual_seed(0)
    field, context = stirred(shape, states), evidence(3, shape, states)
    expected = marginals(field, context)
    sites = shape[-2] * shape[-1]
    # from one end to the other there are sites - 1 steps, and a round more finds nothing new
    found = belief_propagation(
        *field.potentials(context), rounds=sites, damping=0.0, tolerance=1e-12
    )
    torch.testing.assert_close(found.marginals, expected, rtol=0, atol=1e-12)
    assert found.converged.all()


@pytest.mark.parametrize(("shape", "states"), CHAINS)
def test_damped_messages_of_chains_come_to_the_same(shape, states):
    torch.manual_seed(0)
    field, context = stirred(shape, states), evidence(3, shape, states)
    found = belief_propagation(*field.potentials(context), rounds=200, tolerance=1e-9)
    assert found.converged.all()
    # what is left of each of nine sites' messages is of the order of the tolerance
    torch.testing.assert_close(found.marginals, marginals(field, context), rtol=0, atol=1e-6)


def weak(beta, states):
    """A field of 3 x 3 whose couplings are of the size beta, and its marginals' largest error."""
    field = PairwiseField((3, 3), states).double()
    with torch.no_grad():
        field.horizontal.fill_(beta)
        field.vertical.fill_(-beta)
    context = evidence(5, (3, 3), states)
    found = belief_propagation(*field.potentials(context), rounds=200, tolerance=1e-12)
    assert found.converged.all()
    return (found.marginals - marginals(field, context)).abs().max().item()


@pytest.mark.parametrize("states", [2, 3])
def test_weak_couplings_leave_a_small_error_of_the_order_of_the_shortest_loop(states):
    # The first term that messages get wrong goes round a square, and is a product of the four
    # couplings of it, each at most tanh(beta / 2) for two states and less for more; a site is in
    # up to four squares, and a probability is half of a mean of signs.
    errors = []
    for beta in (0.4, 0.2):
        torch.manual_seed(0)
        errors.append(weak(beta, states))
        assert errors[-1] < 2 * math.tanh(beta / 2) ** 4
    # half the couplings, a sixteenth of the error: nearer to the fourth order than to the third
    assert errors[0] / errors[1] > 2**3.5


def test_a_grid_without_couplings_is_its_sites():
    torch.manual_seed(0)
    context = evidence(2, (3, 4), 3)
    found = belief_propagation(context, torch.zeros(3, 3).double(), torch.zeros(3, 3).double())
    torch.testing.assert_close(found.marginals, context.softmax(dim=-1))
    assert (found.moved < 1e-15).all()


def test_rows_of_a_batch_do_not_touch_each_other():
    torch.manual_seed(0)
    field, context = stirred((3, 4), 3, scale=0.3), evidence(4, (3, 4), 3)
    together = belief_propagation(*field.potentials(context), rounds=7)
    for row in range(4):
        alone = belief_propagation(*field.potentials(context[row : row + 1]), rounds=7)
        torch.testing.assert_close(together.marginals[row], alone.marginals[0])
        torch.testing.assert_close(together.moved[row], alone.moved[0])


def test_what_has_not_converged_is_said_row_by_row():
    torch.manual_seed(0)
    field = PairwiseField((6, 6)).double()
    with torch.no_grad():
        field.horizontal.fill_(-4.0)
        field.vertical.fill_(-4.0)
    easy, hard = torch.zeros(1, 6, 6, 2).double(), 0.3 * evidence(1, (6, 6), 2)
    found = belief_propagation(*field.potentials(torch.cat([easy, hard])), rounds=4, damping=0.0)
    # without evidence all messages are zero from the first, and stay
    assert found.converged.tolist() == [True, False]
    assert found.moved[0] == 0
    assert found.moved[1] > 1e-2


def test_undamped_messages_may_swing_where_damped_ones_settle():
    # neighbours that all differ, at strong couplings, with a pull of all sites to one state
    field = PairwiseField((4, 4)).double()
    with torch.no_grad():
        field.unary.copy_(torch.tensor([0.0, 1.0]))
        field.horizontal.fill_(-2.0)
        field.vertical.fill_(-2.0)
    swung, settled = (
        belief_propagation(*field.potentials(), rounds=300, damping=damping)
        for damping in (0.0, 0.5)
    )
    assert not swung.converged.any()
    assert swung.moved.item() > 1
    assert settled.converged.all()


def test_strong_potentials_do_not_overflow():
    equal = 200 * torch.eye(2)
    unary = torch.zeros(1, 1, 5, 2)
    unary[0, 0, 0, 1] = 300
    found = belief_propagation(unary, equal, equal)
    assert found.marginals.isfinite().all()
    torch.testing.assert_close(found.marginals[0, 0, :, 1], torch.ones(5))


def test_of_no_rows_there_are_no_beliefs():
    found = belief_propagation(torch.zeros(0, 3, 3, 2), torch.eye(2), torch.eye(2))
    assert found.marginals.shape == (0, 3, 3, 2)


def test_a_field_tells_its_potentials():
    assert isinstance(PairwiseField((2, 2)), SupportsPotentials)


@pytest.mark.parametrize(
    ("unary", "horizontal", "message"),
    [
        ((2, 3, 2), (2, 2), r"expected log-potentials of sites .*, got shape \(2, 3, 2\)"),
        ((1, 2, 3, 2), (3, 3), r"of pairs with shape \(2, 2\), got shapes \(3, 3\) and \(2, 2\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(unary, horizontal, message):
    with pytest.raises(ValueError, match=message):
        belief_propagation(torch.zeros(unary), torch.zeros(horizontal), torch.zeros(2, 2))


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_potentials_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="expected log-potentials that are finite, got some"):
        belief_propagation(torch.full((1, 2, 2, 2), bad), torch.zeros(2, 2), torch.zeros(2, 2))


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"damping": 1.0}, {"damping": -0.1}])
def test_settings_out_of_bounds_are_refused(settings):
    with pytest.raises(ValueError, match="expected one round or more and a damping from 0"):
        belief_propagation(
            torch.zeros(1, 2, 2, 2), torch.zeros(2, 2), torch.zeros(2, 2), **settings
        )
