"""Tables from files: CSV, TSV, Parquet, JSON lines."""

from __future__ import annotations

__all__ = ["TABLE_ENDINGS", "header_notes", "read_chunks", "read_table", "tidy"]

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptheta.data.contents import quoted
from ptheta.errors import PthetaError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TABLE_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".jsonl", ".ndjson")

_MISSING = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "-nan", "#N/A"]

_BLOCK = 16 * 2**20  # bytes of a file that are read together
_WHOLE = 2**30
_SURE = 3  # lines that look like rows and are not by chance
_LONG_FIELD = "straddling object"  # what the reader says of a field longer than its block
_CLOSE_IT = (
    "Close it, or double a quote that belongs to the text; where the lines are text, put spaces in "
    "place of the line breaks."
)


def read_table(path: Path, as_text: Sequence[str] = ()) -> pd.DataFrame:
    """A table, whole.

    Arguments:
        path: A file with one of `TABLE_ENDINGS`. A field that is empty, or one of ``? NA N/A NaN
            NULL None``, is missing.
        as_text: The columns whose fields are kept as they are written, also where all are numbers;
            names that are not there are passed over.

    Raises:
        PthetaError: The file is empty or cannot be read; the message says where.
    """
    _refuse_empty(path)
    match path.suffix.lower():
        case ".parquet":
            table = _parquet(path)
        case ".jsonl" | ".ndjson":
            table = _json_lines(path)
        case _:
            table = _delimited(path, as_text)
    return tidy(_to_frame(table, path), path.name)


def read_chunks(path: Path, as_text: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
    """A table in chunks, for one that is larger than memory.

    The types are those of the first chunk.

    Arguments:
        path: A CSV, TSV or Parquet file.
        as_text: The columns whose fields are kept as they are written.

    Raises:
        PthetaError: The file is empty or cannot be read.
    """
    import pyarrow as pa

    _refuse_empty(path)
    rows = 0
    try:
        for batch in _batches(path, as_text):
            table = pa.Table.from_batches([batch])
            if path.suffix.lower() != ".parquet":
                _refuse_swallowed(table, path, rows)
            yield tidy(_to_frame(table, path), path.name)
            rows += len(table)
    except pa.ArrowInvalid as error:
        if _LONG_FIELD in str(error):
            raise PthetaError(
                f"{path.name} has a field of more than {_BLOCK // 2**20} MB after row {rows}: is a "
                f"quote not closed? {_CLOSE_IT}"
            ) from None
        raise PthetaError(
            f"{path.name} cannot be read: {_first_line(error)}. Mend that row, or give the "
            "column's kind (--kind NAME=categorical)."
        ) from None
    except OSError as error:
        raise PthetaError(f"{path.name} cannot be read: {error.strerror or error}.") from None


def header_notes(path: Path) -> tuple[str, ...]:
    """What to say of the names of the columns of a file: that it has none, or nothing.

    Arguments:
        path: The file.
    """
    if path.suffix.lower() in (".parquet", ".jsonl", ".ndjson") or _header(path)[1] is None:
        return ()
    return (
        "The first line holds numbers, so it is taken as an example and the columns are numbered; "
        "put a line of names before it if they have names.",
    )


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
            f"{path.name} cannot be read as JSON lines: {_in_line(error, path)}. Each line must "
            'be one object, such as {"height": 1.8}.'
        ) from None


def _in_line(error: pa.ArrowInvalid, path: Path) -> str:
    """What is wrong, with the line, where the reader counts rows of a block from 0."""
    import pyarrow as pa
    from pyarrow import json

    try:
        # one block, so that rows are counted from the start of the file
        json.read_json(path, json.ReadOptions(use_threads=False, block_size=_WHOLE))
    except pa.ArrowInvalid as whole:
        error = whole
    said, _, row = _first_line(error).rpartition(" in row ")
    if not row.isdigit():
        return _first_line(error)
    with path.open("rb") as stream:
        lines = (number for number, line in enumerate(stream, 1) if line.strip())
        line = next(islice(lines, int(row), None), None)
    return said.rstrip(".") if line is None else f"{said.rstrip('.')}, in line {line}"


def _delimited(path: Path, as_text: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as reader

    parse, read, convert = _options(path, as_text, threads=True)
    try:
        try:
            table = reader.read_csv(path, read, parse, convert)
        except pa.ArrowInvalid as error:
            if _LONG_FIELD not in str(error):
                raise
            read.block_size = _WHOLE
            table = reader.read_csv(path, read, parse, convert)
        _refuse_swallowed(table, path)
        return table
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

    parse, read, convert = _options(path, (), threads=False)
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


def _refuse_swallowed(table: pa.Table, path: Path, before: int = 0) -> None:
    """Refuses rows that lie inside a field, which is what a quote that is not closed leaves.

    Arguments:
        table: The table, or a part of it.
        path: The file.
        before: The rows before that part.
    """
    import pyarrow as pa
    from pyarrow import compute

    find: Any = compute  # its functions are made at run time
    types = [field.type for field in table.schema]
    numbers = [pa.types.is_integer(t) or pa.types.is_floating(t) for t in types]
    delimiter = _header(path)[0]
    for place, (column, type_) in enumerate(zip(table.itercolumns(), types, strict=True)):
        if len(types) == 1 or not pa.types.is_string(type_):
            continue
        for row in find.indices_nonzero(find.match_substring(column, "\n")).to_pylist():
            text = column[row].as_py()
            swallowed = _rows_inside(text, place, numbers, delimiter)
            if swallowed:
                found = "a line like a row" if swallowed == 1 else f"{swallowed} lines like rows"
                raise PthetaError(
                    f"{path.name} has {found} inside one field: column "
                    f"'{table.column_names[place]}' of row {before + row + 1}, which begins "
                    f"{text.strip().splitlines()[0][:40]!r}. Is a quote not closed there? "
                    f"{_CLOSE_IT}"
                )


def _rows_inside(text: str, place: int, numbers: Sequence[bool], delimiter: str) -> int:
    """The number of rows that a field holds besides its own; 0 where it is text of several lines.

    A field that swallowed rows is the end of one row, whole rows, and the start of another: the
    separators are as many as in rows, and numbers are where the table has numbers.

    Arguments:
        text: The field.
        place: The number of its column, from 0.
        numbers: For each column, whether it holds numbers.
        delimiter: What separates fields.
    """
    last = len(numbers) - 1
    first, *lines = [line for line in text.split("\n") if line.strip()] or [""]
    if text.count(delimiter) != last * len(lines):
        return 0
    # without numbers to tell by, a few lines of text with a comma each may be just that
    if not lines or (not any(numbers) and len(lines) < _SURE):
        return 0
    starts = [place, *[0] * len(lines)]
    ends = [last] * len(lines) + [place]
    for line, start, end in zip([first, *lines], starts, ends, strict=True):
        fields = line.split(delimiter)
        if len(fields) != end - start + 1:
            return 0
        for field, number in zip(fields, numbers[start : end + 1], strict=True):
            if number and field.strip() not in _MISSING and not _is_number(field):
                return 0
    return len(lines)


def _batches(path: Path, as_text: Sequence[str]) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv as reader
    from pyarrow import parquet

    if path.suffix.lower() == ".parquet":
        yield from parquet.ParquetFile(path).iter_batches(batch_size=65536)
    else:
        parse, read, convert = _options(path, as_text, threads=False)
        read.block_size = _BLOCK
        yield from reader.open_csv(path, read, parse, convert)


def _options(path: Path, as_text: Sequence[str], threads: bool) -> tuple[Any, Any, Any]:
    import pyarrow as pa
    from pyarrow import csv as reader

    delimiter, names = _header(path)
    parse = reader.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    read = reader.ReadOptions(use_threads=threads, column_names=names)
    convert = reader.ConvertOptions(
        null_values=_MISSING,
        strings_can_be_null=True,
        column_types=dict.fromkeys(as_text, pa.string()),
    )
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
