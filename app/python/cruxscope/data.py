"""Traces, annotations and samples: the JSON lines that the program reads and writes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .program import CruxscopeError

if TYPE_CHECKING:
    import pandas

__all__ = ["Records", "annotations_from", "lines", "samples", "traces_from"]

Column = str | Callable[[Mapping[str, Any]], Any]


class Records(list[dict[str, Any]]):
    """Records of JSON lines, in order."""

    def write(self, path: str | Path) -> Path:
        """Writes them as JSON lines, gzipped where the name ends so; gives the path."""
        path = Path(path)
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in self)
        data = text.encode("utf-8")
        # No date in the header: the same records give the same bytes.
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
        return path

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each record; nested fields as columns with dots in their names."""
        import pandas

        return pandas.json_normalize(list(self))


def lines(path: str | Path, *, is_growing: bool = False) -> Records:
    """Reads JSON lines, plain or gzipped; blank lines are passed over, and faults name the line.

    Of a file that ``is_growing`` a last line without its end is left out: whoever writes it is at it, or was killed.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        text = data.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CruxscopeError(f"could not read {path}: {error}") from error
    if is_growing:
        text = text[: text.rfind("\n") + 1]
    records = Records()
    # Not splitlines, which breaks lines at characters that texts may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise CruxscopeError(f"line {number} of {path} is no JSON: {error}") from error
        if not isinstance(record, dict):
            raise CruxscopeError(f"line {number} of {path} is no JSON object")
        records.append(record)
    return records


def samples(path: str | Path) -> Records:
    """The outputs of a model that ``cruxscope benchmark run`` has written: ``id``, ``pass``, ``seed``, ``output``, ``finish`` and more.

    A run that is under way, or was killed, may have left half a line at the end, which is left out.
    """
    records = lines(path, is_growing=True)
    for number, record in enumerate(records, start=1):
        if "output" not in record or "id" not in record:
            raise CruxscopeError(f"record {number} of {path} is no sample: it has no id or no output")
    return records


def _rows(dataset: Any) -> Iterator[Mapping[str, Any]]:
    if hasattr(dataset, "to_dict") and hasattr(dataset, "iterrows"):  # a DataFrame
        yield from dataset.to_dict("records")
    else:  # datasets.Dataset, lists of dictionaries, generators
        yield from dataset


def _value(row: Mapping[str, Any], column: Column, number: int) -> Any:
    if callable(column):
        return column(row)
    if column not in row:
        raise CruxscopeError(f'row {number} has no column "{column}"; it has {", ".join(map(str, row))}')
    return row[column]


def traces_from(
    dataset: Iterable[Mapping[str, Any]] | Any, *, prompt: Column = "prompt", output: Column = "output", id: Column | None = "id"
) -> Records:
    """Traces out of a dataset of Hugging Face, a DataFrame or any rows, ready for ``.write("traces.jsonl")``.

    ``prompt``, ``output`` and ``id`` are columns, or functions of a row; with ``id=None`` rows are numbered. A prompt is taken word for
    word, so apply the model's chat template first. Ids must differ.
    """
    records, seen = Records(), set()
    for number, row in enumerate(_rows(dataset), start=1):
        name = str(number) if id is None else str(_value(row, id, number))
        if name in seen:
            raise CruxscopeError(f'row {number} has the id "{name}" of an earlier row')
        seen.add(name)
        texts = {"prompt": _value(row, prompt, number), "output": _value(row, output, number)}
        for key, text in texts.items():
            if not isinstance(text, str):
                raise CruxscopeError(f"the {key} of row {number} is no text but {type(text).__name__}; apply the chat template first")
        records.append({"id": name, **texts})
    if not records:
        raise CruxscopeError("the dataset has no row")
    return records


def annotations_from(dataset: Iterable[Mapping[str, Any]] | Any, *, annotated: Column = "annotated", id: Column | None = "id") -> Records:
    """Annotations out of a dataset: text of the form ``["backtracking"] … ["end-section"]`` for each id."""
    records = traces_from(dataset, prompt=lambda row: "", output=annotated, id=id)
    return Records({"id": record["id"], "annotated": record["output"]} for record in records)
