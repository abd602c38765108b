import math
import os
import signal
from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric

from ptheta.data.dataset import Split
from ptheta.data.load import load_data
from ptheta.errors import PthetaError
from ptheta.fitting import fit, load
from ptheta.spaces import Real
from ptheta.training.batches import Batches
from ptheta.training.folder import RunFolder
from ptheta.training.guard import Diverged, Guard
from ptheta.training.history import History
from ptheta.training.session import Plan, train
from ptheta.training.state import join_state, split_state


def batches(rows, size, **options):
    split = Split(torch.arange(rows)[:, None].float())
    return Batches(split, size, seed=0, device=torch.device("cpu"), **options)


def test_an_epoch_sees_every_row_once():
    source = batches(10, 5)
    seen = torch.cat([source.next().x for _ in range(2)]).flatten()
    assert seen.sort().values.tolist() == list(range(10))


def test_processes_share_each_batch():
    whole = batches(10, 4).next().x.flatten().tolist()
    shares = [batches(10, 4, rank=r, processes=2).next().x.flatten().tolist() for r in range(2)]
    assert sorted(whole) == sorted(shares[0] + shares[1])


def test_a_place_in_the_order_is_found_again():
    source = batches(10, 3)
    for _ in range(5):
        source.next()
    state = source.state_dict()
    expected = [source.next().x.tolist() for _ in range(6)]
    other = batches(10, 3)
    other.load_state_dict(state)
    assert [other.next().x.tolist() for _ in range(6)] == expected


def test_state_with_numbers_for_keys_and_infinities_survives_json():
    import json

    state = {0: (1.5, -math.inf, None, True), "a": [torch.arange(3), "text"]}
    skeleton, tensors = split_state(state)
    back = join_state(json.loads(json.dumps(skeleton)), tensors)
    assert back[0] == (1.5, -math.inf, None, True)
    assert back["a"][1] == "text"
    assert back["a"][0].tolist() == [0, 1, 2]


def test_the_guard_names_the_first_step_and_its_terms():
    guard = Guard(every=3)
    guard(1, {"loss": torch.tensor(1.0)})
    guard(2, {"loss": torch.tensor(math.nan), "penalty": torch.tensor(7.0)})
    with pytest.raises(Diverged, match="step 2 .*penalty 7"):
        guard(3, {"loss": torch.tensor(math.inf)})


def test_a_divergence_goes_back_to_the_last_good_state(blobs, tmp_path):
    with pytest.raises(Diverged, match=r"learning_rate=.*is in") as error:
        fit(
            blobs,
            "realnvp",
            settings={"learning_rate": 1e30},
            steps=300,
            out=tmp_path / "run",
        )
    assert "step" in str(error.value)
    run = load(tmp_path / "run")
    assert run.stopped.startswith("diverged")
    assert all(v.isfinite().all() for v in run.model.state_dict().values())


def test_ctrl_c_saves_and_can_be_resumed(blobs, tmp_path):
    def interrupt(step, metrics):
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    run = fit(blobs, "realnvp", steps=50, out=tmp_path / "run", callbacks=[interrupt])
    assert run.steps == 4
    assert run.stopped == "interrupted"
    on = fit(blobs, "realnvp", steps=8, out=tmp_path / "run", resume=True)
    assert on.steps == 8


def test_the_best_weights_are_kept_and_training_stops_early(levels):
    # 210 rows and networks of 64 units: the held-out bound turns within a few hundred steps
    settings = {"dropout": 0.0, "layers": 2, "hidden_features": 64, "learning_rate": 1e-2}
    run = fit(levels, "realnvp", steps=6000, settings=settings)
    looks = [row["validation"] for row in run.history if "validation" in row]
    assert run.steps < 6000
    assert "no better" in run.stopped
    assert max(looks) > looks[-1]


class Counting(torch.nn.Module):
    """A model whose one weight is the number of steps, and its learner; and the figure falls."""

    name, slack = "falling", 0.0

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def setup(self, fabric):
        pass

    def step(self, batch):
        self.steps += 1
        return {"loss": torch.zeros(())}

    def __call__(self, model):
        return -model.steps.item()


@pytest.mark.parametrize(("keep", "kept"), [("best", 1), ("last", 5)])
def test_the_best_weights_are_kept_or_the_last(keep, kept):
    model = Counting()
    plan = Plan(
        model=model,
        learner=model,
        batches=batches(10, 5),
        figure=model,
        steps=5,
        seconds=None,
        evaluate_every=1,
        patience=None,
        early=False,
        ema=None,
        folder=None,
        checkpoint_seconds=math.inf,
        keep=keep,
    )
    outcome = train(plan, Fabric(accelerator="cpu", devices=1))
    assert outcome.model.steps == kept


@pytest.mark.parametrize("budget", [{"steps": 0}, {"seconds": -1.0}, {"epochs": 0.0}])
def test_a_budget_of_nothing_is_refused(blobs, budget):
    with pytest.raises(PthetaError, match="input should be greater than"):
        fit(blobs, "realnvp", **budget)


@pytest.mark.parametrize("budget", [{"steps": 2.5}, {"steps": "three"}, {"seconds": "long"}])
def test_a_budget_that_is_no_number_is_refused(budget):
    name, value = next(iter(budget.items()))
    with pytest.raises(PthetaError, match=f"{name} cannot be {value!r}: input should be a valid"):
        fit("moons", "gmm", **budget)


def test_more_processes_than_processors_are_refused(blobs):
    with pytest.raises(PthetaError, match="5000 processes are more than this machine has room for"):
        fit(blobs, "realnvp", processes=5000, device="cpu")


def test_a_name_is_loaded_before_it_is_fitted():
    by_name, loaded = fit("moons", "gmm", steps=1), fit(load_data("moons"), "gmm", steps=1)
    assert by_name.fingerprint == loaded.fingerprint
    with pytest.raises(PthetaError, match="Did you mean 'moons'"):
        fit("moosn", "gmm")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "tpu"}, "no device 'tpu'"),
        ({"precision": "bf16"}, "bf16-mixed"),
        ({"resume": True}, "which run"),
    ],
)
def test_what_cannot_be_had_is_said(blobs, options, words):
    with pytest.raises(PthetaError, match=words):
        fit(blobs, "realnvp", steps=1, **options)


def test_bf16_by_flag(blobs):
    run = fit(blobs, "realnvp", steps=20, precision="bf16-mixed")
    assert run.model.log_prob(blobs.test.x).isfinite().all()


def test_mixed_precision_keeps_the_digits_of_the_data(blobs):
    # a thousand away from the origin bfloat16 has no digit left of the blobs' shape
    far = replace(blobs, **{
        name: Split(getattr(blobs, name).x + 1000.0) for name in ("train", "validation", "test")
    })  # fmt: skip
    full, mixed = (
        -fit(far, "realnvp", steps=100, precision=precision).model.log_prob(far.test.x).mean()
        for precision in ("32-true", "bf16-mixed")
    )
    assert abs(full - mixed) < 0.2


def test_a_run_cut_off_before_its_first_checkpoint_starts_again(blobs, tmp_path):
    def cut(step, metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(blobs, "realnvp", steps=5, out=tmp_path / "run", callbacks=[cut])
    again = fit(blobs, "realnvp", steps=5, out=tmp_path / "run", resume=True)
    whole = fit(blobs, "realnvp", steps=5)
    assert torch.equal(again.model.log_prob(blobs.test.x), whole.model.log_prob(blobs.test.x))


def test_a_divergence_can_be_resumed_from_the_last_good_state(blobs, tmp_path):
    def poison(step, metrics):
        if step == 125:
            metrics["loss"].fill_(math.nan)

    with pytest.raises(Diverged, match="step 125"):
        fit(blobs, "realnvp", steps=200, out=tmp_path / "run", callbacks=[poison])
    # the last look at held-out data was after step 100
    assert RunFolder(tmp_path / "run").read_state()["step"] == 100
    assert not RunFolder(tmp_path / "run").read_record().finished
    on = fit(blobs, "realnvp", steps=130, out=tmp_path / "run", resume=True)
    assert on.steps == 130


def test_numbers_as_context_are_standardised(blobs):
    data = [
        replace(
            blobs,
            context_space=Real((1,)),
            **{
                name: Split(
                    getattr(blobs, name).x,
                    (getattr(blobs, name).x[:, :1] > 0).float() * scale + offset,
                )
                for name in ("train", "validation", "test")
            },
        )
        for scale, offset in ((1.0, 0.0), (10.0, 2000.0))
    ]
    small, large = (
        fit(d, "realnvp", steps=100).model.log_prob(d.test.x, d.test.context).mean() for d in data
    )
    assert abs(small - large) < 0.05


def test_a_run_says_what_its_model_can_do(blobs):
    run = fit(blobs, "gmm", steps=3)
    assert repr(run) == "<gmm on blobs: sample, log_prob (exact), complete; 3 steps, 3 steps done>"
    assert "sample, log_prob (exact)" in repr(run.model)


@pytest.mark.parametrize("every", [3, 10])
def test_every_look_at_held_out_data_is_on_record(every):
    looks = {5: -2.0, 7: -1.5}
    history = History(every, lambda: 1.0, lambda step: looks.get(step, math.nan), examples=4)
    for step in range(1, 13):
        history(step, {"loss": torch.tensor(float(step))})
    found = {row["step"]: row.get("validation") for row in history.rows}
    assert found == {**dict.fromkeys(range(every, 13, every)), **looks}
    assert list(found) == sorted(found)
    # every step is in the mean of one row
    ends = [0, *found]
    totals = [
        row["loss"] * (end - start)
        for row, start, end in zip(history.rows, ends, ends[1:], strict=False)
    ]
    assert sum(totals) == sum(range(1, ends[-1] + 1))
