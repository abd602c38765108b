import json

import pytest
import torch

from ptheta.data.load import load_data
from ptheta.data.text import prompt_codes
from ptheta.errors import PthetaError
from ptheta.fitting import load
from ptheta.recipes.registry import build, describe, names
from ptheta.spaces import Categorical, Discrete
from ptheta.tasks.extend import extend

SPACE = Categorical((6,), 3, ("a", "b", "c"), layout="sequence")


@pytest.fixture
def model():
    return build("char-gru", SPACE).model


def test_batches_are_seeded_and_leave_the_caller_s_state_alone(model):
    prefix = torch.tensor([[0, 1]]).expand(7, -1)
    before = torch.get_rng_state()
    one = extend(model, prefix, length=9, batch_size=3, seed=4)
    other = extend(model, prefix, length=9, batch_size=3, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.shape == (7, 9)
    assert torch.equal(one, other)
    assert torch.equal(one[:, :2].long(), prefix)
    assert not torch.equal(one, extend(model, prefix, length=9, batch_size=3, seed=5))


def test_a_model_that_cannot_is_refused():
    with pytest.raises(PthetaError, match="cannot go on with a beginning: it offers sample") as no:
        extend(build("made", SPACE).model, torch.zeros(1, 0))
    able = [name for name in names() if "extend" in describe(name).capabilities]
    assert {"char-rnn", "wavenet", "seq2seq-lstm"} < set(able)
    assert str(no.value).endswith(f"Recipes that can: {', '.join(able)}.")


def test_what_is_out_of_bounds_is_one_sentence(model):
    with pytest.raises(PthetaError, match="top-p must be above 0 and at most 1, got 2"):
        extend(model, torch.zeros(1, 0), top_p=2)
    with pytest.raises(PthetaError, match="symbols from 0 to 2, got 0 to 3"):
        extend(model, torch.tensor([[0, 3]]))


def test_a_prompt_is_codes_and_its_first_unknown_symbol_is_named():
    assert prompt_codes("cab", SPACE).tolist() == [2, 0, 1]
    assert prompt_codes("", SPACE).shape == (0,)
    with pytest.raises(PthetaError, match=r"has 'z' at character 3, .* among the 3 symbols"):
        prompt_codes("abzy", SPACE)
    with pytest.raises(PthetaError, match=r"has '\\udcff' at character 1"):
        prompt_codes("\udcff", SPACE)  # what a byte that is no UTF-8 becomes on the command line


@pytest.mark.parametrize(
    "space", [Discrete((4,), 5), Categorical((3,), 2), Categorical((3,), 2, ("red", "green"))]
)
def test_what_has_no_characters_has_no_prompt(space):
    assert prompt_codes("", space).shape == (0,)
    with pytest.raises(PthetaError, match=r"which has no characters. .* give codes in Python"):
        prompt_codes("a", space)


@pytest.fixture(scope="module")
def run(tmp_path_factory, exit_code):
    """A run on 'abc, ' again and again, in windows of 10."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "a.txt").write_text("abc, " * 200)
    code = exit_code(
        *("fit", folder / "a.txt", "char-gru", "--window", 10, "--steps", 80, "--quiet"),
        *("--set", "learning_rate=0.03", "--out", folder / "run"),
    )
    assert code == 0
    return folder / "run"


def test_the_window_of_a_text_is_kept_with_the_run(run):
    record = json.loads((run / "run.json").read_text())
    assert record["origin"]["window"] == 10
    assert record["space"]["shape"] == [10]
    assert load_data(**record["origin"]).space.shape == (10,)


def test_the_first_look_at_a_text_is_a_text(run):
    looks = (run / "samples" / "samples.txt").read_text().split("\n\n")
    assert len(looks) == 64
    assert {len(look.removesuffix("\n")) for look in looks} == {10}


def test_a_prompt_is_gone_on_with_beyond_the_window(run, tmp_path, capsys, exit_code):
    out = tmp_path / "out.txt"
    code = exit_code(
        *("sample", run, "-n", 3, "--prompt", "c, a", "--length", 44, "-o", out),
        *("--temperature", 0.5, "--top-k", 3, "--top-p", 0.9),
    )
    assert code == 0, capsys.readouterr().err
    # what follows is certain, and was learnt
    assert out.read_text() == "\n\n".join(["c, a" + "bc, a" * 8] * 3) + "\n"


def test_options_without_a_prompt_begin_with_nothing(run, tmp_path, exit_code):
    greedy, table = tmp_path / "greedy.txt", tmp_path / "long.csv"
    assert exit_code("sample", run, "-n", 5, "--temperature", 0, "-o", greedy) == 0
    lines = greedy.read_text().split("\n\n")
    assert len({line.strip() for line in lines}) == 1
    assert len(lines[0]) == 10
    assert exit_code("sample", run, "-n", 2, "--length", 12, "-o", table) == 0
    assert table.read_text().splitlines()[0] == ",".join(f"x{i}" for i in range(12))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--prompt", "abq"), "ptheta: the prompt has 'q' at character 3"),
        (
            ("--prompt", "abc, ", "--length", 3),
            "the prompt has 5 characters, which leaves nothing to draw",
        ),
        (("--top-p", 0), "--top-p"),
        (("--temperature", -1), "--temperature"),
    ],
)
def test_what_cannot_be_gone_on_with_is_one_sentence(
    run, tmp_path, capsys, arguments, sentence, exit_code
):
    assert exit_code("sample", run, *arguments, "-o", tmp_path / "out.txt") == 2
    assert sentence in capsys.readouterr().err


def test_a_run_that_cannot_go_on_says_what_it_offers_and_which_can(tmp_path, capsys, exit_code):
    assert exit_code("fit", "moons", "gmm", "--steps", 2, "--quiet", "--out", tmp_path / "a") == 0
    out = tmp_path / "out.txt"
    assert exit_code("sample", tmp_path / "a", "--prompt", "a", "--top-k", 2, "-o", out) == 2
    said = capsys.readouterr().err
    assert "gmm cannot go on with a beginning (--prompt, --top-k): it offers sample" in said
    assert "Recipes that can: char-rnn, char-lstm, char-gru, transformer, wavenet," in said


def test_a_class_stands_beside_a_longer_draw(tmp_path, exit_code):
    from ptheta.fitting import fit

    x = torch.randint(0, 3, (60, 6))
    data = load_data((x, x[:, 0]), context="label")
    fit(data, "char-gru", steps=2, out=tmp_path / "a")
    out = tmp_path / "out.csv"
    assert exit_code("sample", tmp_path / "a", "-n", 2, "--length", 8, "-o", out) == 0
    assert out.read_text().splitlines()[0] == "x0,x1,x2,x3,x4,x5,x6,x7,label"


def test_a_prompt_as_long_as_the_fit_goes_on_by_as_much_again(run, tmp_path, exit_code):
    out = tmp_path / "out.txt"
    prompt = "abc, " * 8
    assert exit_code("sample", run, "-n", 1, "--prompt", prompt, "-o", out) == 0
    drawn = out.read_text().rstrip("\n")
    assert drawn.startswith(prompt)
    assert len(drawn) == len(prompt) + load(run).space.features


def test_names_of_values_are_not_asked_of_a_longer_draw(tmp_path, exit_code):
    from ptheta.fitting import fit

    path = tmp_path / "rain.csv"
    path.write_text("today,tomorrow,after\n" + "0,1,1\n1,0,1\n0,0,0\n1,1,1\n" * 10)
    fit(path, "char-gru", steps=2, out=tmp_path / "a")
    out = tmp_path / "out.csv"
    assert exit_code("sample", tmp_path / "a", "-n", 2, "--length", 3, "-o", out) == 0
    assert out.read_text().splitlines()[0] == "today,tomorrow,after"
    assert exit_code("sample", tmp_path / "a", "-n", 2, "--length", 5, "-o", out) == 0
    assert out.read_text().splitlines()[0] == "x0,x1,x2,x3,x4"
