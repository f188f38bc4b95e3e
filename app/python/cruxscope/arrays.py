"""Arrays whose axes and places have names: what every number of a study comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas

__all__ = ["LabelledArray", "component_name", "split_component"]

#: The seven linear maps of a decoder layer, in the order of every module axis.
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
#: The four behaviours that are scored, in the order of every behaviour axis.
BEHAVIOURS = ("backtracking", "uncertainty-estimation", "example-testing", "adding-knowledge")


def component_name(layer: int, module: str) -> str:
    """The short name of a weight matrix, the layer counted from 1: ``30_gate``."""
    return f"{layer}_{module.removesuffix('_proj')}"


def split_component(name: str) -> tuple[int, str]:
    """The layer, counted from 1, and the module of a component: ``30_gate`` is ``(30, "gate_proj")``."""
    layer, _, module = name.partition("_")
    for known in MODULES:
        if module in (known, known.removesuffix("_proj")) and layer.isdecimal() and int(layer) > 0:
            return int(layer), known
    raise KeyError(f'"{name}" is no component; one is written as layer_module with the layer counted from 1, such as 30_gate')


class LabelledArray:
    """A NumPy array with a name for each axis and a label for each place on it.

    It is small on purpose: :meth:`sel` picks by label, :meth:`mean` averages over an axis, :meth:`to_pandas` hands over to pandas, and
    NumPy takes it as it is (``np.asarray(array)``). Layers are labelled from 1, as everywhere that a person reads them.

    Parameters
    ----------
    values
        The numbers; one axis for each name in ``dims``.
    coords
        For each axis, in order, its name and the labels of its places.
    name
        What the numbers are, for tables and axes of plots.

    """

    __slots__ = ("coords", "name", "values")

    def __init__(self, values: Any, coords: Mapping[str, Sequence[Any]], name: str = "") -> None:
        self.values: np.ndarray = np.asarray(values)
        self.coords: dict[str, tuple[Any, ...]] = {dim: tuple(labels) for dim, labels in coords.items()}
        self.name = name
        expected = tuple(len(labels) for labels in self.coords.values())
        if self.values.shape != expected:
            raise ValueError(f"values of shape {self.values.shape} do not fit labels of shape {expected}")

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(self.coords)

    @property
    def shape(self) -> tuple[int, ...]:
        """Places on each axis."""
        return self.values.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        # NumPy 1 knows no copy=None for np.array.
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        axes = ", ".join(f"{dim}: {len(labels)}" for dim, labels in self.coords.items())
        return f"LabelledArray {self.name or 'of numbers'} ({axes})\n{self.values!r}"

    def _place(self, dim: str, label: Any) -> int:
        labels = self.coords[dim]
        if label in labels:
            return labels.index(label)
        # Modules by their short names too.
        if isinstance(label, str) and f"{label}_proj" in labels:
            return labels.index(f"{label}_proj")
        known = ", ".join(str(known) for known in labels[:8]) + (", …" if len(labels) > 8 else "")
        raise KeyError(f'no {dim} is "{label}"; known are {known}')

    def sel(self, component: str | None = None, **chosen: Any) -> Any:
        """Picks by label: one label takes the axis away, a list of labels keeps it. With every axis gone, a number is left.

        ``component="30_gate"`` stands for a layer and a module where these are axes. Unknown axes and labels raise ``KeyError``.
        """
        if component is not None and "component" in self.coords:
            chosen = {"component": component, **chosen}
        elif component is not None:
            layer, module = split_component(component)
            chosen = {"layer": layer, "module": module, **chosen}
        values, coords = self.values, dict(self.coords)
        for dim, label in chosen.items():
            if dim not in self.coords:
                raise KeyError(f'there is no axis "{dim}"; known are {", ".join(self.dims)}')
            axis = list(coords).index(dim)
            if isinstance(label, (list, tuple, np.ndarray)):
                values = np.take(values, [self._place(dim, one) for one in label], axis=axis)
                coords[dim] = tuple(self.coords[dim][self._place(dim, one)] for one in label)
            else:
                values = np.take(values, self._place(dim, label), axis=axis)
                del coords[dim]
        return LabelledArray(values, coords, self.name) if coords else values[()]

    def mean(self, dim: str) -> LabelledArray:
        """The mean over an axis."""
        axis = self.dims.index(dim)
        coords = {other: labels for other, labels in self.coords.items() if other != dim}
        return LabelledArray(self.values.mean(axis=axis), coords, self.name)

    def top(self, count: int = 10) -> list[tuple[tuple[Any, ...], float]]:
        """The largest numbers with their labels, the largest first; equal ones in the order of the array."""
        order = np.argsort(-self.values, axis=None, kind="stable")[:count]
        labels = list(self.coords.values())
        places = zip(*np.unravel_index(order, self.shape), strict=True)
        return [(tuple(labels[axis][at] for axis, at in enumerate(place)), float(self.values[place])) for place in places]

    def to_numpy(self) -> np.ndarray:
        """The numbers."""
        return self.values

    def to_pandas(self) -> pandas.Series | pandas.DataFrame:
        """A ``Series`` of one axis, a ``DataFrame`` of two, and of more a ``Series`` with a level of the index for each axis."""
        import pandas

        indexes = [pandas.Index(labels, name=dim) for dim, labels in self.coords.items()]
        if len(indexes) == 1:
            return pandas.Series(self.values, index=indexes[0], name=self.name or None)
        if len(indexes) == 2:
            return pandas.DataFrame(self.values, index=indexes[0], columns=indexes[1])
        index = pandas.MultiIndex.from_product(list(self.coords.values()), names=self.dims)
        return pandas.Series(self.values.ravel(), index=index, name=self.name or None)

    def plot(self, **options: Any) -> Any:
        """A map of two axes, or of each behaviour one, with matplotlib: see :func:`cruxscope.plot.heatmap`."""
        from .plot import heatmap

        return heatmap(self, **options)
