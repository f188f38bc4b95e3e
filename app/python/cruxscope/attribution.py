"""From captured activations and gradients to importance: the definitions of the method, in NumPy (paper, section 2.2).

Rows, targets, steering vectors and contributions are the program's (``engine/interpret``), in float64; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import BEHAVIOURS

__all__ = ["Part", "Segment", "Span", "activation_weights", "contribution", "importance", "span", "steering"]

#: Tokens before a segment that belong to it.
PRECEDING = 5
DEFINITIONS = ("paper", "released")


@dataclass(frozen=True)
class Segment:
    """The tokens ``start`` to ``last``, inclusive, that show a behaviour."""

    behaviour: str
    start: int
    last: int


@dataclass(frozen=True)
class Span:
    """Rows ``[r0, r1)`` where a segment's gradient is read, and targets ``[t0, t1)`` whose mean cross-entropy is its loss."""

    rows: tuple[int, int]
    targets: tuple[int, int]


@dataclass
class Part:
    """What one instance gives: means of all outputs side by side, over all tokens and over those of each behaviour, and gradients.

    ``gradients`` are means over rows: one for each behaviour under ``paper``, one for each segment under ``released``, each with its
    behaviour and the number of segments behind it.
    """

    id: str
    tokens: int
    segments: list[int]
    losses: list[float]
    targets: list[int]
    everything: np.ndarray
    plus: dict[str, np.ndarray]
    gradients: list[tuple[str, int, np.ndarray]]
    backend: str = ""

    def loss(self) -> float | None:
        """Mean loss over all targets of all segments."""
        targets = sum(self.targets)
        return sum(loss * count for loss, count in zip(self.losses, self.targets, strict=True)) / targets if targets else None


def span(segment: Segment, definition: str) -> Span | str:
    """Rows and targets of a segment, or the reason for which it has to be dropped."""
    if definition == "paper":
        first = max(segment.start - PRECEDING, 0)
        rows, targets = (first, segment.last + 1), (max(first, 1), segment.last + 1)
    else:
        rows, targets = (segment.start, segment.last), (max(segment.start, 1), segment.last)
    if rows[0] >= rows[1]:
        return "no-row"
    return "no-target" if targets[0] >= targets[1] else Span(rows, targets)


def activation_weights(segments: Sequence[Segment], tokens: int, definition: str) -> np.ndarray | None:
    """How much each token counts in an instance's mean activation for a behaviour, ``[tokens]``, adding up to one.

    Under ``paper`` each token of ``[max(start - 5, 0), last]`` once. Under ``released`` those of ``range(start - 5, last)`` with repeats,
    negative positions wrapping to the end. ``None`` when no token counts.
    """
    counts = np.zeros(tokens)
    for segment in segments:
        if definition == "paper":
            counts[max(segment.start - PRECEDING, 0) : segment.last + 1] = 1
        else:
            np.add.at(counts, np.arange(segment.start - PRECEDING, segment.last) % tokens, 1)
    return counts / counts.sum() if counts.sum() > 0 else None


def steering(parts: Sequence[Part], bounds: Sequence[tuple[int, int]], definition: str) -> dict[str, np.ndarray]:
    """Steering vectors, over all channels side by side, for each behaviour that any instance holds.

    ``bounds`` are the channels of each component. u = mean over D+ minus mean over D-, scaled component by component to the norm of the mean
    activation. Under ``released`` the sum over all behaviours stands in the place of each behaviour's own, as the published code has it.
    """
    zero = np.zeros_like(parts[0].everything, dtype=float)
    minus = sum((part.everything.astype(float) for part in parts), zero) / len(parts)
    mean = sum((part.everything.astype(float) * part.tokens for part in parts), zero) / sum(part.tokens for part in parts)
    holders = {name: sum(name in part.plus for part in parts) for name in BEHAVIOURS}
    plus = {name: sum((part.plus[name].astype(float) for part in parts if name in part.plus), zero) for name in BEHAVIOURS}
    everything = sum(plus.values(), zero)
    vectors: dict[str, np.ndarray] = {}
    for name in BEHAVIOURS:
        if not holders[name]:
            continue
        vector = (everything if definition == "released" else plus[name]) / holders[name] - minus
        for start, end in bounds:
            own = np.linalg.norm(vector[start:end])
            vector[start:end] *= np.linalg.norm(mean[start:end]) / own if own > 0 else 0
        vectors[name] = vector
    return vectors


def contribution(part: Part, vectors: dict[str, np.ndarray], bounds: Sequence[tuple[int, int]], definition: str) -> tuple[np.ndarray, np.ndarray]:
    """What an instance adds to the importance, ``[behaviour, component]``, and to the divisors, ``[behaviour]``."""
    values, weights = np.zeros((len(BEHAVIOURS), len(bounds))), np.zeros(len(BEHAVIOURS))
    for behaviour, _, gradient in part.gradients:
        if behaviour not in vectors:
            continue
        at = BEHAVIOURS.index(behaviour)
        weights[at] += 1
        products = vectors[behaviour] * gradient.astype(float)
        dots = np.array([products[start:end].sum() for start, end in bounds])
        values[at] += np.abs(dots) if definition == "released" else dots
    return values, weights


def importance(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Importance, and relative importance, ``[behaviour, …]``, from contributions ``[instance, behaviour, …]`` and their weights."""
    # One instance after the other, as the program adds them when it checks the file.
    total, divisor = np.zeros(values.shape[1:]), np.zeros(weights.shape[1:])
    for value, weight in zip(values, weights, strict=True):
        total, divisor = total + value, divisor + weight
    shape = (-1,) + (1,) * (total.ndim - 1)
    found = np.divide(np.abs(total), divisor.reshape(shape), out=np.zeros_like(total), where=divisor.reshape(shape) > 0)
    sums = found.reshape(len(found), -1).sum(axis=1).reshape(shape)
    return found, np.divide(found, sums, out=np.zeros_like(found), where=sums > 0)
