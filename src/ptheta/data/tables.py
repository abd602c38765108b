"""Tables from files: CSV, TSV, Parquet, JSON lines."""

from __future__ import annotations

__all__ = ["TABLE_ENDINGS", "read_chunks", "read_table", "tidy"]

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptheta.data.contents import quoted
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TABLE_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".jsonl", ".ndjson")

_MISSING = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "-nan", "#N/A"]


def read_table(path: Path) -> pd.DataFrame:
    """A table, whole.

    Arguments:
        path: A file with one of `TABLE_ENDINGS`. A field that is empty, or one of ``? NA N/A NaN
            NULL None``, is missing.

    Raises:
        PthetaError: The file is empty or cannot be read; the message says where.
    """
    _refuse_empty(path)
    table = {".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}.get(
        path.suffix.lower(), _delimited
    )(path)
    return tidy(_to_frame(table, path), path.name)


def read_chunks(path: Path) -> Iterator[pd.DataFrame]:
    """A table in chunks, for one that is larger than memory.

    The types are those of the first chunk.

    Arguments:
        path: A CSV, TSV or Parquet file.

    Raises:
        PthetaError: The file is empty or cannot be read.
    """
    import pyarrow as pa

    _refuse_empty(path)
    try:
        for batch in _batches(path):
            yield tidy(_to_frame(pa.Table.from_batches([batch]), path), path.name)
    except pa.ArrowInvalid as error:
        raise PthetaError(
            f"{path.name} cannot be read: {_first_line(error)}. Mend that row, or give the "
            "column's kind (--kind NAME=categorical)."
        ) from None


def tidy(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """A table with named columns and plain types, without an index that was saved with it.

    Arguments:
        frame: The table.
        where: What messages call it.

    Raises:
        PthetaError: There are no rows or no columns, or two columns have one name.
    """
    import pandas as pd

    frame = frame.rename(columns=str)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise PthetaError(f"{where} has two columns named '{twice[0]}'. Rename one of them.")
    if not len(frame.columns) or not len(frame):
        raise PthetaError(f"{where} holds no rows. Give a file with examples.")
    first = frame.columns[0]
    if first in ("", "Unnamed: 0", "__index_level_0__") and frame[first].is_unique:
        frame = frame.drop(columns=first)
    of_category = [c for c in frame if isinstance(frame[c].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(of_category, object))


def _refuse_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise PthetaError(f"{path} is empty. Give a file with examples.")


def _parquet(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise PthetaError(
            f"{path.name} cannot be read as Parquet: {_first_line(error)}. Write it again."
        ) from None


def _json_lines(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json

    try:
        return json.read_json(path)
    except pa.ArrowInvalid as error:
        raise PthetaError(
            f"{path.name} cannot be read as JSON lines: {_first_line(error)}. Each line must be "
            'one object, such as {"height": 1.8}.'
        ) from None


def _delimited(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as reader

    parse, read, convert = _options(path, threads=True)
    try:
        return reader.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid as error:
        # only the slower reader, on one thread, knows the number of a row
        _refuse_ragged(path)
        raise PthetaError(f"{path.name} cannot be read: {_first_line(error)}.") from None


def _refuse_ragged(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv as reader

    bad: list[Any] = []

    def skip(row: Any) -> str:
        bad.append(row)
        return "skip"

    parse, read, convert = _options(path, threads=False)
    parse.invalid_row_handler = skip
    try:
        reader.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid:
        return
    if bad:
        raise PthetaError(
            f"{path.name} has {bad[0].actual_columns} fields in line {bad[0].number} where "
            f"{bad[0].expected_columns} are expected"
            f"{f' (and {len(bad) - 1} more such lines)' if len(bad) > 1 else ''}. Mend it: a "
            "field that holds the delimiter must be quoted."
        )


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv as reader
    from pyarrow import parquet

    if path.suffix.lower() == ".parquet":
        yield from parquet.ParquetFile(path).iter_batches(batch_size=65536)
    else:
        parse, read, convert = _options(path, threads=False)
        read.block_size = 16 * 2**20
        yield from reader.open_csv(path, read, parse, convert)


def _options(path: Path, threads: bool) -> tuple[Any, Any, Any]:
    from pyarrow import csv as reader

    delimiter, names = _header(path)
    parse = reader.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    read = reader.ReadOptions(use_threads=threads, column_names=names)
    convert = reader.ConvertOptions(null_values=_MISSING, strings_can_be_null=True)
    return parse, read, convert


def _header(path: Path) -> tuple[str, list[str] | None]:
    """The delimiter, and names for the columns of a file that has none."""
    import pyarrow as pa

    with pa.input_stream(path) as stream:
        line = stream.read(2**20).decode("utf-8-sig", errors="replace").split("\n", 1)[0]
    tabs = path.name.lower().endswith((".tsv", ".tsv.gz"))
    delimiter = "\t" if tabs else max(",;\t|", key=line.count)
    fields = next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])
    counted = fields == [str(i) for i in range(len(fields))]
    if fields and all(map(_is_number, fields)) and not counted:
        return delimiter, [f"column {i + 1}" for i in range(len(fields))]
    return delimiter, None


def _to_frame(table: pa.Table, path: Path) -> pd.DataFrame:
    import pyarrow as pa

    nested = [f.name for f in table.schema if pa.types.is_nested(f.type)]
    if nested:
        raise PthetaError(
            f"{path.name} holds lists or objects in {quoted(nested)}. "
            "Write their parts as columns of their own."
        )
    if any(pa.types.is_binary(f.type) for f in table.schema):
        raise PthetaError(f"{path.name} is not UTF-8 text. Save it again with the encoding UTF-8.")
    return table.to_pandas(date_as_object=False)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
