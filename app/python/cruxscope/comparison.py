"""The shift of relative importance from one study to another, by the program, which also decides whether two studies may be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .arrays import MODULES, LabelledArray
from .program import run
from .study import Study

__all__ = ["Shift", "shift"]


class Shift:
    """How relative importance moves from study A to study B. Made by :func:`shift`.

    Attributes
    ----------
    values
        The shift as ``direction`` shows it, ``[behaviour, layer, module]``; the behaviours are those that both studies hold, and
        ``mean`` over them.
    start, end
        Relative importance in A and in B, likewise.
    low, high
        Ends of the 95 % interval over the instances that both studies read, likewise; not a number where nothing shifts that way or
        there are too few instances.
    direction
        ``decreases``, ``increases`` or ``net``.
    warnings
        In what the studies differ besides their models, as sentences.

    """

    def __init__(self, printed: dict[str, Any]) -> None:
        self.direction: str = printed["view"]
        self.warnings: list[str] = [warning["sentence"] for warning in printed["warnings"]]
        self.instances_shared: int = printed["instances_shared"]
        self.titles: tuple[str, str] = (printed["from"]["title"], printed["to"]["title"])
        # In the program's order of behaviours, the mean last.
        names = [name for name in (*printed["behaviours"], "mean") if name in printed["shift"]]
        coords = {"behaviour": names, "layer": range(1, printed["layers"] + 1), "module": MODULES}

        def maps(key: str, name: str) -> LabelledArray:
            return LabelledArray(np.array([printed[key][behaviour] for behaviour in names]), coords, name)

        self.values = maps("shift", f"shift, {self.direction}")
        self.start = maps("relative_importance_from", "relative importance in A")
        self.end = maps("relative_importance_to", "relative importance in B")
        ends = np.full((2, *self.values.shape), np.nan)
        for place, behaviour in enumerate(names):
            for row in printed["top"][behaviour]:
                if row["low"] is not None and row["high"] is not None:
                    ends[:, place, row["layer"] - 1, MODULES.index(row["module"])] = row["low"], row["high"]
        self.low = LabelledArray(ends[0], coords, "lower end of the shift")
        self.high = LabelledArray(ends[1], coords, "upper end of the shift")

    def __repr__(self) -> str:
        return f"Shift from {self.titles[0]} to {self.titles[1]}: {self.direction}, {self.instances_shared} shared instances"


def shift(start: Study | str | Path, end: Study | str | Path, direction: str = "decreases", *, allow_different: tuple[str, ...] = ()) -> Shift:
    """The shift from study A to study B: ``decreases`` (RI_A - RI_B where that is positive), ``increases``, or ``net`` (RI_B - RI_A).

    Studies of different networks or definitions are refused, and so are those that differ in ``data``, ``instances``, ``basis``,
    ``settings`` or ``precision`` unless ``allow_different`` names it, or ``all``; what was allowed is said in :attr:`Shift.warnings`.
    """
    places = [study.path if isinstance(study, Study) else study for study in (start, end)]
    everything = 1_000_000_000
    flags: dict[str, Any] = {"from_": places[0], "to": places[1], "direction": direction, "top": everything}
    return Shift(run("shift", progress=False, allow_different=list(allow_different), **flags))
