import errno
import gzip
import os

import numpy as np
import pandas as pd
import pytest
import torch

from ptheta.data import tables
from ptheta.data.dataset import MappedRows
from ptheta.data.load import load_data
from ptheta.data.streaming import SelectedRows
from ptheta.data.tables import read_chunks, read_table
from ptheta.errors import PthetaError

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "c": ["x", "y", "x"]})


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet", "jsonl"])
def test_every_format_gives_the_same_table(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    match ending:
        case "parquet":
            FRAME.to_parquet(path)
        case "jsonl":
            FRAME.to_json(path, orient="records", lines=True)
        case _:
            FRAME.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    pd.testing.assert_frame_equal(read_table(path), FRAME, check_dtype=False)


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("a;b\n1;2\n3;4\n", ["a", "b"], 2),
        ("1.5,2\n3,4\n", ["column 1", "column 2"], 2),  # no header
        ("0,1\n3,4\n", ["0", "1"], 1),  # the header of a table without names
        ("\ufeffa,b\r\n1,2\r\n", ["a", "b"], 1),
        (",a\n0,2\n1,3\n", ["a"], 2),  # an index that was saved with it
        ('a,b\n"x\ny",2\n"z, w",3\n', ["a", "b"], 2),
    ],
)
def test_csv_as_it_is_found(tmp_path, text, columns, rows):
    frame = read_table(write(tmp_path, "a.csv", text))
    assert list(frame.columns) == columns
    assert len(frame) == rows


@pytest.mark.parametrize("sign", ["", "?", "NA", "NaN", "null"])
def test_signs_of_missing_values(tmp_path, sign):
    frame = read_table(write(tmp_path, "a.csv", f"a,b\n1,x\n{sign},{sign}\n"))
    assert frame.isna().sum().tolist() == [1, 1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "a,b\n", "holds no rows"),
        ("a.csv", "a,b,c\n1,2,3\n4,5\n6,7,8,9\n", "2 fields in line 3 where 3 .*1 more such line"),
        ("a.csv", "a,a\n1,2\n", "two columns named 'a'"),
        ("a.csv", "a,b\n1,é\n".encode("latin-1"), "not UTF-8"),
        ("a.parquet", "junk", "cannot be read as Parquet"),
        ("a.jsonl", '{"a": 1}\n{"a"\n', "cannot be read as JSON lines: .*, in line 2. Each line"),
        ("a.jsonl", '{"a": 1}\n\n{"a": "x"}\n', "from number to string, in line 3"),
        ("a.jsonl", '{"a": 1}\n' * 200_000 + '{"a"\n', "in line 200001"),  # not the first block
        ("a.jsonl", '{"a": 1, "b": [1]}\n', "holds lists or objects in 'b'"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path, name, text, message):
    with pytest.raises(PthetaError, match=message):
        read_table(write(tmp_path, name, text))


def test_gzip_is_read_without_a_hint(tmp_path):
    path = write(tmp_path, "a.csv.gz", gzip.compress(b"a,b\n1,2\n"))
    assert read_table(path).to_dict("list") == {"a": [1], "b": [2]}


@pytest.fixture
def big(tmp_path, monkeypatch):
    monkeypatch.setenv("PTHETA_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    n = 150_000  # three chunks of Parquet
    return pd.DataFrame(
        {
            "x": generator.normal(size=n),
            "grade": generator.integers(3, 7, n),
            "city": generator.choice(["Aachen", "Bonn"], n),
        }
    )


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_streamed_table_is_the_table_in_memory(tmp_path, big, ending):
    path = tmp_path / f"big.{ending}"
    big.to_parquet(path) if ending == "parquet" else big.to_csv(path, index=False)
    memory = load_data(path, context="city", stream=False)
    disk = load_data(path, context="city", stream=True)
    assert disk.space == memory.space
    assert disk.context_space == memory.context_space
    assert isinstance(disk.train.x, SelectedRows)
    assert isinstance(disk.train.x.rows, MappedRows)
    index = torch.tensor([0, 100_000, 17])
    torch.testing.assert_close(disk.train.x[index], memory.train.x[index])
    torch.testing.assert_close(disk.test.x[:50], memory.test.x[:50])
    assert torch.equal(disk.train.context, memory.train.context)


def test_a_table_is_converted_once_and_again_when_it_changes(tmp_path, big):
    path = tmp_path / "big.parquet"
    big.to_parquet(path)
    first = load_data(path, stream=True, drop=["city"])
    load_data(path, stream=True, drop=["city"])
    assert len(list((tmp_path / "cache").iterdir())) == 1
    big[:100_000].to_parquet(path)
    other = load_data(path, stream=True, drop=["city"])
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert first.fingerprint != other.fingerprint


def test_a_late_text_in_a_streamed_column_of_numbers_is_refused(tmp_path):
    path = write(tmp_path, "a.csv", "a,b\n" + "1,2\n" * 6_000_000 + "x,2\n")
    with pytest.raises(PthetaError, match="a.csv cannot be read"):
        for _ in read_chunks(path):
            pass


def rows_with(line, end="\n", delimiter=",", rows=200):
    """A table whose line 50 is another."""
    lines = ["i,j,k", *(f"{i}.0,{i}.5,x{i % 3}" for i in range(rows))]
    lines[49] = line
    return end.join(lines).replace(",", delimiter) + end


UNCLOSED = (
    r"a.csv has 151 lines like rows inside one field: column 'k' of row 49, which begins 'x1'"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows_with('1.0,2.0,"x1'), UNCLOSED),
        (rows_with('1.0,2.0,"x1'), "Is a quote not closed there. Close it, or double a quote"),
        (rows_with('1.0,2.0,"x1', "\r\n"), UNCLOSED),
        (rows_with('1.0,2.0,"x1', delimiter=";"), UNCLOSED),
        # a later quote ends it in the middle of the table, and of a row
        (rows_with('1.0,2.0,"x1\n3.0,4.0,"x2'), "a line like a row .* column 'k' of row 49"),
        (rows_with('1.0,"2.0,x1\n3.0,"4.0,x2'), "a line like a row .* column 'j' of row 49"),
        # longer than the block that the reader takes at once
        (rows_with('1.0,2.0,"x1', rows=200_000), "199951 lines like rows .* of row 49"),
        # no numbers to tell by
        ('a,b\nu,v\nu,"v\n' + "u,v\n" * 9, "9 lines like rows .* column 'b' of row 2"),
    ],
)
def test_an_unclosed_quote_does_not_swallow_rows(tmp_path, text, message):
    path = write(tmp_path, "a.csv", text)
    with pytest.raises(PthetaError, match=message):
        read_table(path)


def test_an_unclosed_quote_does_not_swallow_streamed_rows(tmp_path, monkeypatch):
    path = write(tmp_path, "a.csv", rows_with('1.0,2.0,"x1'))
    with pytest.raises(PthetaError, match=UNCLOSED):
        list(read_chunks(path))
    monkeypatch.setattr(tables, "_BLOCK", 2**20)
    path = write(tmp_path, "a.csv", rows_with('1.0,2.0,"x1', rows=200_000))
    with pytest.raises(PthetaError, match="field of more than 1 MB after row 48: is a quote not"):
        list(read_chunks(path))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('id,b\n1,"Dear sir, hello\nmany thanks, bye"\n2,w\n', 2),
        ('id,b\n1,"Dear sir\nmany thanks, bye\nand more, and more"\n2,w\n', 2),
        ('id,b\n1,"one\n2, but no\n\nthree\n\n"\n2,w\n', 2),
        ('a,b\nx,"12 High Street\nBonn, Germany"\ny,z\n', 2),
        ('a\n"one\ntwo\nthree\nfour"\nfive\n', 2),
        ('a,b\n1,"' + "long text\n" * 300_000 + '"\n2,x\n', 2),
    ],
)
def test_text_of_several_lines_is_text(tmp_path, text, rows):
    assert len(read_table(write(tmp_path, "a.csv", text))) == rows


def test_a_full_disk_leaves_nothing_in_the_cache(tmp_path, big, monkeypatch):
    def full(descriptor, start, length):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    path = tmp_path / "big.parquet"
    big.to_parquet(path)
    cache = tmp_path / "cache"
    with pytest.raises(
        PthetaError, match=f"No space left .* cache folder is {cache}.*PTHETA_CACHE"
    ):
        load_data(path, stream=True, drop=["city"])
    assert list(cache.iterdir()) == []


def test_a_disk_that_reserves_nothing_is_written_all_the_same(tmp_path, big, monkeypatch):
    def unknown(descriptor, start, length):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unknown, raising=False)
    path = tmp_path / "big.parquet"
    big.to_parquet(path)
    data = load_data(path, stream=True, drop=["city"])
    assert len(data.train) == 105_000


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path, big, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("PTHETA_CACHE", str(tmp_path / "file" / "cache"))
    path = tmp_path / "big.parquet"
    big.to_parquet(path)
    with pytest.raises(PthetaError, match="file/cache: Not a directory.*PTHETA_CACHE"):
        load_data(path, stream=True, drop=["city"])
