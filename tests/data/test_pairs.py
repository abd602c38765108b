import pandas as pd
import pytest

from ptheta.data.describe import describe
from ptheta.data.load import load_data, load_rows
from ptheta.errors import PthetaError


@pytest.fixture
def table(tmp_path):
    """A file of pairs: numbers in words of letters, and the same from the back."""
    words = [format(i, "b").translate(str.maketrans("01", "ab")) for i in range(40)]
    path = tmp_path / "pairs.tsv"
    frame = pd.DataFrame({"source": words, "target": [word[::-1] for word in words]})
    frame.to_csv(path, sep="\t", index=False)
    return path


def test_two_columns_of_texts_are_sentences_given_sentences(table):
    data = load_data(table, context="source")
    assert data.space.labels == data.context_space.labels == ("a", "b", "")
    assert data.space.shape == data.context_space.shape == (6,)
    assert data.space.layout == "sequence"
    assert data.columns == ("target",)
    assert describe(data)["columns"] == []
    assert "Column 'target' is read as sentences, given those of 'source'." in data.notes
    for x, source in zip(data.train.x, data.train.context, strict=True):
        length = int((source != 2).sum())
        assert x[:length].tolist() == source[:length].flip(0).tolist()
        assert (x[length:] == 2).all()


def test_rows_are_read_in_the_space_of_sentences(table, tmp_path):
    data = load_data(table, context="source")
    other = tmp_path / "other.csv"
    frame = pd.DataFrame({"target": ["ba", "z"], "source": ["ab", "b"]})
    frame.to_csv(other, index=False)
    rows = load_rows(other, data.space, data.columns, data.context_space, "source")
    assert rows.x.tolist() == [[1, 0, 2, 2, 2, 2], [3, 2, 2, 2, 2, 2]]
    assert rows.context.tolist() == [[0, 1, 2, 2, 2, 2], [1, 2, 2, 2, 2, 2]]
    said = "Column 'target' is read as sentences, given those of 'source'."
    assert rows.notes == (said,)
    frame.assign(id=[1, 2]).to_csv(other, index=False)
    wider = load_rows(other, data.space, data.columns, data.context_space, "source")
    assert wider.x.equal(rows.x)
    assert wider.notes == (said, "Not read: 'id'.")
    # without the name of the column there is no telling which it is
    with pytest.raises(PthetaError, match=r"2 columns beside the context: 'target', 'id'"):
        load_rows(other, data.space, (), data.context_space, "source")
    frame.rename(columns={"target": "other"}).to_csv(other, index=False)
    with pytest.raises(PthetaError, match=r"no column 'target' of sentences; it has 'other', 'so"):
        load_rows(other, data.space, data.columns, data.context_space, "source")
    frame[["target"]].to_csv(other, index=False)
    with pytest.raises(PthetaError, match=r"has no column 'source' of sentences; it has 'target'"):
        load_rows(other, data.space, data.columns, data.context_space, "source")


def test_one_column_is_sentences_where_it_is_said_to_be_text(table):
    data = load_data(table, drop=("source",), kinds={"target": "text"})
    assert data.space.shape == (6,)
    assert data.context_space is None
    frame = pd.read_csv(table, sep="\t")[["target"]]
    assert len(load_rows(frame, data.space).x) == 40


def test_few_texts_that_repeat_stay_categories(tmp_path):
    frame = pd.DataFrame({"a": ["x", "y"] * 30, "b": ["p", "q", "r"] * 20})
    data = load_data(frame, context="a")
    assert data.space.shape == (1,)
    # unless they are said to be text
    assert load_data(frame, context="a", kinds={"b": "text"}).space.layout == "sequence"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": {"target": "text"}}, "can be text only where one column is left"),
        ({"drop": ("source",)}, "--kind target=text if it is the one column to model"),
        ({"context": "source", "kinds": {"target": "text", "source": "categorical"}}, "text too"),
        ({"context": "source", "kinds": {"target": "text"}, "stream": True}, "into memory whole"),
    ],
)
def test_what_cannot_be_text_is_one_sentence(table, options, sentence):
    with pytest.raises(PthetaError, match=sentence):
        load_data(table, **options)


def test_a_row_without_text_is_named():
    frame = pd.DataFrame({"a": [f"w{i}" for i in range(30)], "b": [f"v{i}" for i in range(30)]})
    frame.loc[4, "b"] = None
    with pytest.raises(PthetaError, match="column 'b' of the table has no text in row 5"):
        load_data(frame, context="a")
