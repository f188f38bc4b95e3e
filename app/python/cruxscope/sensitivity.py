"""The sensitivity sketch of a model: what compressing each weight matrix is predicted to cost.

The sketch ``s[r, c, f]`` holds for every draw r of labels, component c and format f the derivative of the labels' log-probability along
what the format changes. To second order a recipe z, which gives component c the format ``z_c``, costs

``KL(z) = sum over r of (sum over c of s[r, c, z_c])^2 / (2 sum over r of T_r)``

nats a token, T_r the positions of draw r. Good up to about half a nat; beyond, the real divergence is larger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import MODULES, LabelledArray, component_name
from .program import CruxscopeError

__all__ = ["RecipeCost", "Sensitivity"]

FILE = "sensitivity.safetensors"
#: The newest layout of that file that this package knows.
SCHEMA = 2
#: Bits of a weight that is left as it is.
UNCHANGED_BITS = 16.0


@dataclass(frozen=True)
class RecipeCost:
    """What a recipe is predicted to cost, and what it takes."""

    #: Predicted mean divergence of Kullback and Leibler from the original model, in nats.
    kl: float
    #: Stored bits of all components, scales and zeros included.
    bits: float
    #: The same for each weight.
    bits_per_weight: float


class Sensitivity:
    """The sketch that ``cruxscope sensitivity`` put into a study.

    Attributes
    ----------
    facts
        From what and how it was made: model, windows, draws, seed, menu.
    formats, components, scopes
        Labels: the menu, the weight matrices (``1_q`` …), and whose positions were counted (``all`` and behaviours).
    bits
        Stored bits of a matrix in a format, ``[component, format]``.
    errors
        ``weight``, ``input`` and, where it was asked for, ``gradient``: errors that other tools go by, ``[component, format]``.

    """

    def __init__(self, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.facts = facts
        layers = range(1, int(facts["layers"]) + 1)
        self.components = tuple(component_name(layer, module) for layer in layers for module in MODULES)
        self.formats = tuple(entry["name"] for entry in facts["formats"])
        self.scopes = tuple(facts["scopes"])
        self._arrays = arrays
        table = {"component": self.components, "format": self.formats}
        self.bits = self._array("bits", table)
        self.errors = {name: self._array(f"error/{name}", table) for name in ("weight", "input", "gradient") if f"error/{name}" in arrays}
        sizes = [module["outputs"] * module["inputs"] for module in facts["modules"]]
        # Of models some of whose components are several matrices, or none, the weights stand there one by one.
        self._weights = np.array(facts.get("weights") or sizes * len(layers), dtype=float)

    @classmethod
    def load(cls, study: str | Path) -> Sensitivity | None:
        """The sketch beside a study; nothing where there is none."""
        from safetensors import SafetensorError, safe_open

        path = Path(study) / FILE
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                facts = json.loads((file.metadata() or {})["cruxscope"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError) as error:
            raise CruxscopeError(f"{path} is damaged, or no sketch: {error}") from error
        if facts["schema"] > SCHEMA:
            raise CruxscopeError(f"{path} has layout {facts['schema']}, and this package knows {SCHEMA}; install a newer cruxscope")
        return cls(facts, arrays)

    def __repr__(self) -> str:
        windows, draws = len(self.facts["windows"]), self.facts["draws"]
        return (
            f"Sensitivity of {self.facts['model']}: {len(self.components)} matrices, {', '.join(self.formats)}; {windows} windows, {draws} draws each"
        )

    def _array(self, name: str, coords: Mapping[str, Sequence[Any]]) -> LabelledArray:
        if name not in self._arrays:
            raise CruxscopeError(f"{FILE} has no array {name}")
        try:
            return LabelledArray(self._arrays[name], coords, name)
        except ValueError as error:
            raise CruxscopeError(f"{name} in {FILE}: {error}") from error

    def _of_scope(self, kind: str, scope: str, coords: dict[str, Any]) -> LabelledArray:
        if scope not in self.scopes:
            raise KeyError(f'there is no scope "{scope}"; known are {", ".join(self.scopes)}')
        return self._array(f"{kind}/{scope}", coords)

    def sketch(self, scope: str = "all") -> LabelledArray:
        """The sketch, ``[draw, component, format]``; draws are labelled ``(window, number)``."""
        draws = [(window, draw) for window in self.facts["windows"] for draw in range(self.facts["draws"])]
        return self._of_scope("sketch", scope, {"draw": draws, "component": self.components, "format": self.formats})

    def score(self, scope: str = "all") -> LabelledArray:
        """Sums over draws and positions of ``(g_t . D x_t)^2``, ``[window, component, format]``."""
        return self._of_scope("score", scope, {"window": self.facts["windows"], "component": self.components, "format": self.formats})

    def positions(self, scope: str = "all") -> LabelledArray:
        """Positions that count, ``[window]``."""
        return self._of_scope("positions", scope, {"window": self.facts["windows"]})

    def alone(self, scope: str = "all") -> LabelledArray:
        """The divergence that each matrix is predicted to cost alone, in nats, ``[component, format]``."""
        sketch = self.sketch(scope).values.astype(float)
        values = (sketch**2).sum(axis=0) / (2 * self._positions_of_draws(scope))
        return LabelledArray(values, {"component": self.components, "format": self.formats}, "predicted divergence, nats")

    def cost(self, recipe: str | Mapping[str, str | None], scope: str = "all") -> RecipeCost:
        """What a recipe costs: a format for all, or a format for each component, ``None`` and components left out staying as they are."""
        chosen = dict.fromkeys(self.components, recipe) if isinstance(recipe, str) else dict(recipe)
        for component, format in chosen.items():
            if component not in self.components or (format is not None and format not in self.formats):
                raise KeyError(f'there is no "{format}" of "{component}"; formats are {", ".join(self.formats)}')
        sketch = self.sketch(scope).values
        sums, bits = np.zeros(len(sketch)), 0.0
        for place, component in enumerate(self.components):
            format = chosen.get(component)
            if format is None:
                bits += UNCHANGED_BITS * self._weights[place]
                continue
            sums = sums + sketch[:, place, self.formats.index(format)].astype(float)
            bits += float(self.bits.values[place, self.formats.index(format)])
        kl = float(np.sum(np.square(sums)) / (2 * self._positions_of_draws(scope)))
        return RecipeCost(kl, float(bits), float(bits / self._weights.sum()))

    def _positions_of_draws(self, scope: str) -> float:
        positions = float(self.facts["draws"] * self.positions(scope).values.astype(float).sum())
        if positions == 0:
            raise CruxscopeError(f'the scope "{scope}" holds no position')
        return positions
