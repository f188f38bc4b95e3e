"""Annotated traces in Python, as the program reads them: sections out of tags, their places in the text, and the tokens that hold them.

Needed only where the program cannot open the model, by :func:`cruxscope.capture`. The rules are the program's (``engine/trace``); tests
compare the two.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Dropped", "Located", "Parsed", "Section", "align", "locate", "parse"]

#: Labels of annotations; the first two are shown and not scored.
LABELS = ("initializing", "deduction", "adding-knowledge", "example-testing", "uncertainty-estimation", "backtracking")
#: A section is kept if one block covers at least this share of its characters.
THRESHOLD = 0.9
#: Below this length difflib's heuristic does nothing, and a quotation is its own longest block.
AUTOJUNK_FROM = 200

_QUOTES = "\"'“”„‟‘’«»"
_TAG = re.compile(rf"\[ *[{_QUOTES}]([\w \-‐‑–.):]{{0,60}})[{_QUOTES}] *\]")
_END = "end-section"


@dataclass(frozen=True)
class Section:
    """A labelled stretch of an annotation: its label, and its text without white space at both ends."""

    label: str
    text: str


@dataclass
class Parsed:
    """The sections of an annotation in its order, and what was odd about it."""

    sections: list[Section] = field(default_factory=list)
    #: Sections that only the tolerant reading finds.
    tolerated: int = 0
    #: Sections that were closed at a nested opening tag.
    repaired: int = 0
    #: Opening tags that nothing closes.
    unclosed: int = 0
    #: Tags whose label is none of the six.
    unknown_labels: int = 0


@dataclass(frozen=True)
class Located:
    """A section that was found: its place in the annotation, and the characters ``[start, end)`` of prompt and output together."""

    section: int
    label: str
    start: int
    end: int


@dataclass(frozen=True)
class Dropped:
    """A section that was not, with the reason as a manifest names it, and the share of its text that was found where that is it."""

    section: int
    label: str
    reason: str
    coverage: float | None = None


def _meaning(written: str) -> str | None:
    """What a label means once its number, its capitals and the marks between its words are set aside; nothing where it is a list."""
    text = written.strip()
    bare = text.lstrip("0123456789")
    if len(bare) < len(text):
        text = bare.lstrip(".): ")
    name = "-".join(word.lower() for word in re.split(r"[ \-‐‑–_]", text) if word)
    return name if any(character.isalpha() for character in name) else None


def parse(text: str, reading: str = "tolerant") -> Parsed:
    """The sections of an annotation.

    ``tolerant`` takes respelled labels too, and closes a section at a nested opening tag; ``strict`` is the published parser's reading.
    """
    tags: list[tuple[int, int, str, bool]] = []
    parsed = Parsed()
    for match in _TAG.finditer(text):
        name = _meaning(match[1])
        if name is None:
            continue
        if name != _END and name not in LABELS:
            parsed.unknown_labels += 1
            continue
        tags.append((match.start(), match.end(), name, match[0] == f'["{name}"]'))

    strict: list[tuple[str, int, int]] = []
    opened: tuple[str, int] | None = None
    for start, end, name, is_exact in tags:
        if not is_exact:
            continue
        if name == _END:
            if opened is not None:
                strict.append((*opened, start))
                opened = None
        elif opened is None:
            opened = (name, end)
    if reading == "strict":
        parsed.unclosed = int(opened is not None)
        parsed.sections = [Section(label, text[start:end].strip()) for label, start, end in strict]
        return parsed
    if reading != "tolerant":
        raise ValueError(f'"{reading}" is no way to read annotations; known are tolerant, strict')

    begins = {start for _, start, _ in strict}
    opened = None
    for start, end, name, _ in tags:
        following = None if name == _END else (name, end)
        if opened is not None:
            parsed.repaired += int(following is not None)
            parsed.tolerated += int(opened[1] not in begins)
            parsed.sections.append(Section(opened[0], text[opened[1] : start].strip()))
        opened = following
    parsed.unclosed = int(opened is not None)
    return parsed


def _longest(original: str, snippet: str) -> tuple[int, int]:
    """Start and size of the longest common substring; the earliest among equals."""
    matcher = difflib.SequenceMatcher(None, original, snippet, autojunk=False)
    block = matcher.find_longest_match(0, len(original), 0, len(snippet))
    return block.a, block.size


def _forward(text: str, snippet: str, prompt: int, cursor: int) -> tuple[int, int]:
    """Forward from the last match, then in the output, then anywhere: an exact match first, else the longest block."""
    for begin in (cursor, prompt, 0):
        at = text.find(snippet, begin)
        if at >= 0:
            return at, len(snippet)

    def longest_from(begin: int) -> tuple[int, int]:
        at, size = _longest(text[begin:], snippet)
        return begin + at, size

    ahead, output = longest_from(cursor), longest_from(prompt)
    # A longer block is the better evidence; going forward only breaks ties.
    best = ahead if ahead[1] >= output[1] else output
    return best if best[1] / len(snippet) >= THRESHOLD else longest_from(0)


def _published(text: str, snippet: str) -> tuple[int, int]:
    if len(snippet) < AUTOJUNK_FROM and (at := text.find(snippet)) >= 0:
        return at, len(snippet)
    blocks = difflib.SequenceMatcher(None, text, snippet, autojunk=True).get_matching_blocks()
    best = max(blocks, key=lambda block: block.size)
    return best.a, best.size


def align(prompt: str, output: str, sections: Sequence[Section], alignment: str = "forward-search") -> tuple[list[Located], list[Dropped]]:
    """Where the sections stand in prompt and output together: ``forward-search``, or ``published`` as the published code looks."""
    if alignment not in ("forward-search", "published"):
        raise ValueError(f'"{alignment}" is no way to align annotations; known are forward-search, published')
    text, cursor = prompt + output, len(prompt)
    located: list[Located] = []
    dropped: list[Dropped] = []
    for number, section in enumerate(sections):
        if not section.text:
            dropped.append(Dropped(number, section.label, "empty"))
            continue
        forward = alignment == "forward-search"
        start, size = _forward(text, section.text, len(prompt), cursor) if forward else _published(text, section.text)
        coverage = size / len(section.text)
        if coverage < THRESHOLD:
            dropped.append(Dropped(number, section.label, "not-found", coverage))
            continue
        # A match in the prompt says nothing about how far the annotator has come in the output.
        if start >= len(prompt):
            cursor = start + size
        located.append(Located(number, section.label, start, start + size))
    return located, dropped


def locate(offsets: Sequence[tuple[int, int]], characters: int) -> list[int | None]:
    """For each character the first token whose span holds it. Tokens without width hold none."""
    first: list[int | None] = [None] * characters
    for token, (start, end) in enumerate(offsets):
        for character in range(start, min(end, characters)):
            if first[character] is None:
                first[character] = token
    return first
