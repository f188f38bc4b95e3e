"""Traces and annotations into instances with segments, what was dropped and why: what the program does before it interprets a model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .annotations import LABELS, align, locate, parse
from .arrays import BEHAVIOURS
from .attribution import Segment, Span, span
from .data import Records, lines
from .program import CruxscopeError

__all__ = ["Instance", "Instances", "read"]

Source = str | Path | Iterable[Mapping[str, Any]]


@dataclass
class Instance:
    """One trace as token ids, with the segments that can be used, and its text for display where it came as text."""

    id: str
    ids: list[int]
    segments: list[Segment]
    tokens_cut: int
    text: dict[str, Any] | None


@dataclass
class Instances:
    """Instances sorted by id, and what was left out."""

    items: list[Instance] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    sections: int = 0
    unscored_sections: int = 0
    unpaired: list[str] = field(default_factory=list)
    reading_counts: Counter[str] = field(default_factory=Counter)
    #: The files, as a manifest names them.
    data: list[dict[str, Any]] = field(default_factory=list)


class Tokens:
    """A fast tokenizer of transformers as the program uses one: no special tokens but those that begin a sequence, once."""

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise CruxscopeError("traces of text need a fast tokenizer, which says which characters a token covers; or give traces as input_ids")
        self._tokenizer = tokenizer
        plain, framed = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        starts = (at for at in range(len(framed)) if framed[at : at + len(plain)] == plain)
        self.beginning: list[int] = framed[: next(starts, 0)]

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a text, and the characters that each covers."""
        encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False)
        ids, offsets = list(encoding["input_ids"]), [tuple(offset) for offset in encoding["offset_mapping"]]
        if ids[: len(self.beginning)] != self.beginning:
            ids, offsets = self.beginning + ids, [(0, 0)] * len(self.beginning) + offsets
        return ids, offsets


def read(
    traces: Source,
    annotations: Source,
    *,
    tokenizer: Any,
    vocabulary: int,
    context: int,
    definition: str,
    reading: str,
    alignment: str,
    limit: int | None = None,
    max_length: int | None = None,
) -> Instances:
    """Reads, pairs by id, tokenizes and aligns. Raises :class:`CruxscopeError` for what cannot be used, and where no segment is left."""
    found = Instances()
    trace_lines = _records(traces, "traces.jsonl", found)
    labels = {record["id"]: record for record in _records(annotations, "annotations.jsonl", found)}
    known = {record["id"] for record in trace_lines}
    found.unpaired = [record["id"] for record in trace_lines if record["id"] not in labels]
    found.unpaired += [id for id in labels if id not in known]
    pairs = [(record, labels[record["id"]]) for record in trace_lines if record["id"] in labels][:limit]
    if not pairs:
        raise CruxscopeError("no annotation belongs to any trace: their ids have nothing in common")
    needs_text = any("input_ids" not in trace for trace, _ in pairs)
    if needs_text and tokenizer is None:
        raise CruxscopeError("traces of text need a tokenizer: capture(…, tokenizer=…)")
    tokens = Tokens(tokenizer) if needs_text else None
    for trace, annotation in pairs:
        found.items.append(_one(trace, annotation, tokens, vocabulary, max_length or context, (definition, reading, alignment), found))
    found.items.sort(key=lambda instance: instance.id)
    found.dropped.sort(key=lambda drop: drop["instance"])
    if not any(instance.segments for instance in found.items):
        reasons = ", ".join(f"{count} times {reason}" for reason, count in sorted(Counter(drop["reason"] for drop in found.dropped).items()))
        raise CruxscopeError(f"of {found.sections} sections no segment is left: {reasons or 'none is scored'}")
    return found


def _records(source: Source, name: str, found: Instances) -> Records:
    """The records of a file or of rows, with their ids checked; notes the file's digest."""
    if isinstance(source, (str, Path)):
        records, name, data = lines(source), Path(source).name, Path(source).read_bytes()
    else:
        records = Records(dict(record) for record in source)
        data = "".join(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records).encode()
    seen: set[str] = set()
    for number, record in enumerate(records, start=1):
        if not isinstance(record.get("id"), str) or record["id"] in seen:
            raise CruxscopeError(f"record {number} of {name} has no id, or that of an earlier one")
        seen.add(record["id"])
    found.data.append({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return records


def _one(
    trace: Mapping[str, Any],
    annotation: Mapping[str, Any],
    tokens: Tokens | None,
    vocabulary: int,
    cap: int,
    how: tuple[str, str, str],
    found: Instances,
) -> Instance:
    definition, reading, alignment = how
    id, is_text = trace["id"], "input_ids" not in trace
    text: dict[str, Any] | None = None
    if is_text:
        if not isinstance(trace.get("prompt"), str) or not isinstance(trace.get("output"), str):
            raise CruxscopeError(f'the trace {id} needs "prompt" and "output" as text, or "input_ids"')
        assert tokens is not None
        whole = trace["prompt"] + trace["output"]
        ids, offsets = tokens.encode(whole)
        text = {"id": id, "prompt": trace["prompt"], "output": trace["output"], "tokens": len(ids), "sections": []}
    else:
        ids, offsets, whole = list(trace["input_ids"]), [], ""
    if not ids:
        raise CruxscopeError(f"the trace {id} has no token")
    for position, token in enumerate(ids):
        if not 0 <= token < vocabulary:
            raise CruxscopeError(f"token {token} at position {position} of {id} lies beyond the model's vocabulary of {vocabulary}")

    def drop(section: int, label: str, reason: str, coverage: float | None = None) -> None:
        found.dropped.append(
            {"instance": id, "section": section, "label": label, "reason": reason, **({} if coverage is None else {"coverage": coverage})}
        )

    labelled: list[tuple[int, str, int, int]] = []
    shown: dict[int, dict[str, Any]] = {}
    if "segments" in annotation:
        found.sections += len(annotation["segments"])
        for number, segment in enumerate(annotation["segments"]):
            label, start, last = segment["label"], segment["start"], segment["last"]
            if label not in LABELS:
                raise CruxscopeError(f'segment {number} of {id} has the label "{label}"; known are {", ".join(LABELS)}')
            if not 0 <= start <= last < len(ids):
                raise CruxscopeError(f"segment {number} of {id} covers tokens {start} to {last} of {len(ids)}")
            labelled.append((number, label, start, last))
            if text is not None:
                shown[number] = _shown(text, label, (offsets[start][0], offsets[last][1]), (start, last))
    elif is_text and isinstance(annotation.get("annotated"), str):
        parsed = parse(annotation["annotated"], reading)
        found.sections += len(parsed.sections)
        for name in ("tolerated", "repaired", "unclosed", "unknown_labels"):
            found.reading_counts[name] += getattr(parsed, name)
        located, dropped = align(trace["prompt"], trace["output"], parsed.sections, alignment)
        holder = locate(offsets, len(whole))
        drops = [(missed.section, missed.label, missed.reason, missed.coverage) for missed in dropped]
        for place in located:
            start, last = holder[place.start], holder[place.end - 1]
            if start is None or last is None:
                drops.append((place.section, place.label, "no-token", None))
                continue
            labelled.append((place.section, place.label, start, last))
            assert text is not None
            shown[place.section] = _shown(text, place.label, (place.start, place.end), (start, last))
        for section, label, reason, coverage in sorted(drops):
            drop(section, label, reason, coverage)
            shown[section] = {"label": label, "dropped": reason, "text": parsed.sections[section].text}
    else:
        raise CruxscopeError(f'the annotation of {id} needs "segments", or "annotated" and a trace of text')

    cut = max(len(ids) - cap, 0)
    ids = ids[:cap]
    segments: list[Segment] = []
    for number, label, start, last in labelled:
        if label not in BEHAVIOURS:
            found.unscored_sections += 1
            continue
        segment = Segment(label, start, last)
        usable = "beyond-cap" if last >= len(ids) else span(segment, definition)
        if isinstance(usable, Span):
            segments.append(segment)
            continue
        drop(number, label, usable)
        if number in shown:
            shown[number]["dropped"] = usable
    if text is not None:
        text["sections"] = _ordered(shown)
    return Instance(id, ids, segments, cut, text)


def _shown(text: dict[str, Any], label: str, characters: tuple[int, int], tokens: tuple[int, int]) -> dict[str, Any]:
    """A section as the trace view shows it: the bytes of the output in which it stands, where it stands there, and its tokens."""
    section: dict[str, Any] = {"label": label}
    prompt = len(text["prompt"])
    if characters[0] >= prompt:
        start, end = (len(text["output"][: character - prompt].encode()) for character in characters)
        section["bytes"] = [start, end]
    section["tokens"] = list(tokens)
    return section


def _ordered(shown: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Sections in the order of the text; one without a place follows the one before it in the annotation."""
    keyed, last = [], 0
    for number in sorted(shown):
        last = shown[number]["bytes"][0] if "bytes" in shown[number] else last
        keyed.append((last, number))
    return [shown[number] for _, number in sorted(keyed)]
