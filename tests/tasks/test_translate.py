import io
import json
import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch

from ptheta.data.contents import Sentences
from ptheta.data.interpret import interpret
from ptheta.data.sentences import decode_sentences, known_sentences
from ptheta.data.splits import assemble
from ptheta.errors import PthetaError
from ptheta.fitting import fit, load
from ptheta.recipes.registry import build
from ptheta.spaces import Categorical
from ptheta.tasks.translate import translate

SOURCE = Categorical((5,), 4, ("a", "b", "c", ""), layout="sequence")
TARGET = Categorical((4,), 3, ("x", "y", ""), layout="sequence")


def words(rows):
    """Words of one to three letters, each with its translation: the letters one further on."""
    g = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 3, (rows, 3), generator=g).tolist()
    lengths = torch.randint(1, 4, (rows,), generator=g).tolist()
    sources = ["".join("abc"[c] for c in row[:n]) for row, n in zip(codes, lengths, strict=True)]
    return sources, [source.translate(str.maketrans("abc", "xyz")) for source in sources]


@pytest.fixture(scope="module")
def data():
    sources, targets = words(600)
    contents = Sentences(where="words", sentences=targets, given={"latin": sources})
    return assemble("words", interpret(contents), "latin", None, 0)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "run"
    settings = {"hidden_features": 24, "embedding_features": 12, "learning_rate": 0.03}
    fit(data, "seq2seq-lstm", settings=settings, steps=150, out=folder)
    return folder


def test_batches_of_any_size_give_the_same_and_leave_the_mode_alone():
    model = build("seq2seq-transformer", TARGET, SOURCE, {"features": 16, "heads": 2}).model.train()
    context = torch.randint(0, 4, (7, 5))
    one = translate(model, context, beams=3, batch_size=2)
    assert one.shape == (7, 4)
    assert torch.equal(one, translate(model, context, beams=3))
    assert model.training


def test_what_cannot_be_translated_is_one_sentence():
    with pytest.raises(PthetaError, match=r"cannot translate: it offers sample, .*: seq2seq-lstm"):
        translate(build("char-gru", TARGET, SOURCE).model, torch.zeros(1, 5))
    model = build("seq2seq-lstm", TARGET, SOURCE).model
    with pytest.raises(PthetaError, match="nothing to translate"):
        translate(model, torch.zeros(0, 5))
    with pytest.raises(PthetaError, match="codes from 0 to 3"):
        translate(model, torch.full((1, 5), 4))
    with pytest.raises(PthetaError, match="beams cannot be 0"):
        translate(model, torch.zeros(1, 5), beams=0)
    with pytest.raises(PthetaError, match="length_penalty cannot be -1"):
        translate(model, torch.zeros(1, 5), length_penalty=-1)


def test_a_recipe_without_a_source_says_what_it_needs():
    with pytest.raises(PthetaError, match=r"--context english .* here there is none.* transformer"):
        build("seq2seq-lstm", TARGET)
    with pytest.raises(PthetaError, match=r"here it is 3 categories, scalar\. Recipes that can: "):
        build("seq2seq-transformer", TARGET, Categorical((), 3))
    with pytest.raises(PthetaError, match="hidden_features must be even, got 5"):
        build("seq2seq-lstm", TARGET, SOURCE, {"hidden_features": 5})
    with pytest.raises(PthetaError, match=r"multiple of twice the heads \(8\), got 12"):
        build("seq2seq-transformer", TARGET, SOURCE, {"features": 12})


def test_sentences_go_in_and_out_up_to_their_end():
    codes = known_sentences(["abc", "", "ccccc"], SOURCE, "a file")
    assert decode_sentences(codes, SOURCE) == ["abc", "", "ccccc"]
    # what stands after an end is not of the sentence
    assert decode_sentences(torch.tensor([[0, 2, 1, 1]]), TARGET) == ["x"]
    with pytest.raises(PthetaError, match="sentence 2 of a file has 'é' at character 3"):
        known_sentences(["abc", "abé"], SOURCE, "a file")


def test_a_file_is_translated_line_by_line(run, tmp_path, capsys, exit_code):
    source, out = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("abc\n\nca\n")
    assert exit_code("translate", run, source, "-o", out) == 0
    assert capsys.readouterr().out == f"3 sentences translated; {out}\n"
    # an empty line stays one
    assert out.read_text() == "xyz\n\nzx\n"
    assert exit_code("translate", run, source, "--beams", 1, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"sentences": 3, "translations": ["xyz", "", "zx"]}


def test_sentences_come_from_the_command_or_the_standard_input(run, monkeypatch, capsys, exit_code):
    several = ("--sentence", "b", "--sentence", "cab", "--length-penalty", 0.6)
    assert exit_code("translate", run, *several) == 0
    assert capsys.readouterr().out == "y\nzxy\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ac\n")))
    assert exit_code("translate", run, "-") == 0
    assert capsys.readouterr().out == "xz\n"


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_line_feed_ends_a_sentence(run, tmp_path, capsys, mark, exit_code):
    source = tmp_path / "in.txt"
    source.write_text(f"abc\na{mark}b\n", encoding="utf-8")
    # no two sentences of known characters, but one that holds the mark
    assert exit_code("translate", run, source) == 2
    assert f"sentence 2 of {source} has {mark!r} at character 2" in capsys.readouterr().err


def test_lines_of_the_standard_input_may_end_as_on_windows(run, monkeypatch, capsys, exit_code):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ac\r\n\r\nb")))
    assert exit_code("translate", run, "-") == 0
    assert capsys.readouterr().out == "xz\n\ny\n"


def test_translations_are_drawn_where_it_is_asked_for(run, capsys, exit_code):
    assert exit_code("translate", run, "--sentence", "abc", "--temperature", 0) == 0
    assert capsys.readouterr().out == "xyz\n"
    hot = ("--sentence", "abc", "--temperature", 50, "--top-k", 3, "--top-p", 0.99)
    said = set()
    for seed in range(6):
        assert exit_code("translate", run, *hot, "--seed", seed) == 0
        said.add(capsys.readouterr().out)
    assert len(said) > 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give either a file with a sentence a line, or --sentence"),
        (("no.txt",), "there is no file no.txt"),
        (("--sentence", "abd"), "sentence 1 of --sentence has 'd' at character 3, which is not"),
        (("--sentence", "ab", "--sentence", "abcab"), "sentence 2 of --sentence has 5 characters"),
        (("--sentence", "a", "--beams", 2, "--top-k", 2), "--top-k and --beams do not go together"),
        (("--sentence", "a", "--beams", 0), "--beams"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(run, capsys, arguments, sentence, exit_code):
    assert exit_code("translate", run, *arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_the_standard_input_must_be_text(run, monkeypatch, capsys, exit_code):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert exit_code("translate", run, "-") == 2
    assert "the standard input is not UTF-8 text (at byte 0)" in capsys.readouterr().err


def test_a_run_that_cannot_translate_says_which_can(data, tmp_path, capsys, exit_code):
    fit(data, "char-gru", steps=2, out=tmp_path / "a")
    assert exit_code("translate", tmp_path / "a", "--sentence", "abc") == 2
    said = capsys.readouterr().err
    assert "char-gru cannot translate: it offers sample" in said
    assert "Recipes that can: seq2seq-lstm, seq2seq-transformer." in said


def test_a_run_on_other_sequences_is_asked_from_python(tmp_path, capsys, exit_code):
    from ptheta.data.dataset import Data, Split

    space = Categorical((3,), 4, layout="sequence")
    x = torch.randint(0, 4, (30, 3))
    split = Split(x.to(space.dtype), x)
    data = Data("codes", space, split, split, split, space)
    fit(data, "seq2seq-lstm", steps=2, out=tmp_path / "a")
    assert exit_code("translate", tmp_path / "a", "--sentence", "abc") == 2
    assert "from Python, ptheta.translate(model, context)" in capsys.readouterr().err


def test_a_beginning_is_gone_on_with_given_a_sentence(run, tmp_path, exit_code):
    out = tmp_path / "out.txt"
    options = ("-n", 2, "--context", "cba", "--prompt", "z", "--temperature", 0, "-o", out)
    assert exit_code("sample", run, *options) == 0
    assert out.read_text() == "zyx\n\nzyx\n"


def test_rows_are_scored_by_the_column_that_the_run_was_fitted_to(
    tmp_path, monkeypatch, capsys, exit_code
):
    monkeypatch.chdir(tmp_path)
    sources, targets = words(200)
    pairs = pd.DataFrame({"latin": sources, "english": targets})
    pairs.to_csv("pairs.csv", index=False)
    kind = ("--kind", "english=text", "--context", "latin")
    fitted = ("fit", "pairs.csv", "seq2seq-lstm", *kind, "--steps", "2", "--out", "run")
    assert exit_code(*fitted, "--quiet") == 0
    pairs.assign(note="n").to_csv("wider.csv", index=False)
    pairs.rename(columns={"english": "german"}).to_csv("other.csv", index=False)
    capsys.readouterr()
    scored = []
    for name in ("pairs.csv", "wider.csv"):
        assert exit_code("score", "run", name, "--json") == 0
        said = capsys.readouterr()
        scored.append(json.loads(said.out)["values"])
        assert ("Not read: 'note'." in said.err) == (name == "wider.csv")
    assert scored[0] == scored[1]
    for asked in (("score", "run", "other.csv"), ("evaluate", "run", "--data", "other.csv")):
        assert exit_code(*asked) == 2
        said = capsys.readouterr().err
        assert "other.csv has no column 'english' of sentences; it has 'latin', 'german'" in said
    # the name is that of a column, and none of a symbol
    assert exit_code("sample", "run", "--context", "ab", "-n", "2", "-o", "draws.txt") == 0


def test_a_run_begun_before_the_column_was_written_down_is_gone_on_with(data, tmp_path):
    named = replace(data, columns=("english",))
    fit(data, "seq2seq-lstm", steps=1, out=tmp_path / "run")
    fit(named, "seq2seq-lstm", steps=2, out=tmp_path / "run", resume=True)
    assert load(tmp_path / "run").steps == 2
    fit(named, "seq2seq-lstm", steps=1, out=tmp_path / "new")
    with pytest.raises(PthetaError, match="begun with another columns"):
        fit(replace(data, columns=("german",)), "seq2seq-lstm", steps=2, out=tmp_path / "new",
            resume=True)  # fmt: skip
