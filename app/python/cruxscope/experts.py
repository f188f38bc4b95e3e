"""Numbers of the parts that components are made of, such as the experts of a mixture: ``12_gate.e37`` is expert 37 of layer 12's gates."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import BEHAVIOURS, MODULES, LabelledArray, component_name

__all__ = ["Parts"]

#: The set of :attr:`Parts.shares` that is over all tokens.
ALL = "all"


class Parts:
    """The parts of a study's components, labelled by their names.

    Attributes
    ----------
    names
        Every part, layer by layer: the labels of the axis ``part``.
    importance
        ``[behaviour, part]``; those of a component add up to its importance.
    relative_importance
        The same over the sum of all components, parts or not.
    contributions
        ``[instance, behaviour, part]``, as those of components.
    shares
        What share of the tokens was routed to each part, 1 where all pass: ``[of, part]``, over ``"all"`` tokens and over those of each
        behaviour.
    outputs
        Output channels of each part.

    """

    def __init__(self, layout: dict[str, Any], arrays: dict[str, LabelledArray], total: np.ndarray) -> None:
        self.names = names_of(layout)
        self.outputs = tuple(int(part["outputs"]) for _, part in _all(layout))
        self.importance, self.contributions, self.shares = arrays["importance"], arrays["contributions"], arrays["shares"]
        whole = total.sum(axis=(1, 2))[:, None]
        relative = np.divide(self.importance.values, whole, out=np.zeros_like(self.importance.values), where=whole > 0)
        self.relative_importance = LabelledArray(relative, dict(self.importance.coords), "relative importance")

    def __repr__(self) -> str:
        return f"Parts: {len(self.names)} of components, such as {self.names[0]}"

    def of(self, component: str) -> tuple[str, ...]:
        """The parts of a component, such as ``"12_gate"``; none of one that is one linear map."""
        return tuple(name for name in self.names if name.partition(".")[0] == component)

    def channels_at(self, name: str) -> slice:
        """Where a part's channels stand among those of all."""
        place = self.names.index(name)
        first = sum(self.outputs[:place])
        return slice(first, first + self.outputs[place])


def coords_of(layout: dict[str, Any], instances: tuple[str, ...]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """The labels of each array of ``parts.safetensors``."""
    parts = {"part": names_of(layout)}
    maps = {"behaviour": BEHAVIOURS, **parts}
    return {"importance": maps, "contributions": {"instance": instances, **maps}, "shares": {"of": (ALL, *BEHAVIOURS), **parts}}


def names_of(layout: dict[str, Any]) -> tuple[str, ...]:
    """Names of all parts, in the order of every array of them."""
    return tuple(f"{component_name(layer, part['module'])}.{part['name']}" for layer, part in _all(layout))


def _all(layout: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    kinds = layout["kinds"]
    for kind in kinds:
        for part in kind:
            if part["module"] not in MODULES:
                raise KeyError(f'there is no module "{part["module"]}"')
    return [(layer, part) for layer, kind in enumerate(layout["layers"], 1) for part in kinds[kind]]
