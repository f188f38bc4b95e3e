"""Maps of weight matrices with matplotlib (``pip install cruxscope[plot]``). For print, ``cruxscope export`` draws figures with provenance."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["heatmap"]


def heatmap(array: Any, *, cmap: str | None = None, percent: bool | None = None, **figure: Any) -> Any:
    """A map of an array ``[layer, module]``, or one for each behaviour of ``[behaviour, layer, module]``, on one scale of colours.

    Layers go upwards from 1. Relative importance and shifts are in percent unless told otherwise. Values of both signs get a scale that
    is symmetric about zero. Gives the figure; further options go to ``matplotlib.pyplot.subplots``.
    """
    import matplotlib.pyplot as plt

    if "layer" not in array.dims or "module" not in array.dims or len(array.dims) not in (2, 3):
        raise ValueError(f"a map has the axes layer and module, and at most one more; these are {', '.join(array.dims)}")
    other = [dim for dim in array.dims if dim not in ("layer", "module")]
    panels = [array.sel(**{other[0]: label}) for label in array.coords[other[0]]] if other else [array]
    titles = [str(label).replace("-", " ").capitalize() for label in array.coords[other[0]]] if other else [array.name.capitalize()]
    if percent is None:
        percent = array.name.startswith(("relative", "shift"))
    values = [np.asarray(panel) * (100 if percent else 1) for panel in panels]
    most = max((float(np.abs(value).max()) for value in values), default=1.0) or 1.0
    is_signed = any((value < 0).any() for value in values)
    colours = {"cmap": cmap or ("RdBu_r" if is_signed else "viridis"), "vmin": -most if is_signed else 0.0, "vmax": most}
    figure.setdefault("figsize", (1.2 + 2.1 * len(panels), 1.4 + 0.14 * len(array.coords["layer"])))
    figure.setdefault("constrained_layout", True)
    drawn, axes = plt.subplots(1, len(panels), sharey=True, squeeze=False, **figure)
    layers = len(array.coords["layer"])
    step = max(1, round(layers / 8))
    image = None
    for axis, value, title in zip(axes[0], values, titles, strict=True):
        image = axis.imshow(value, origin="lower", aspect="auto", interpolation="nearest", **colours)
        axis.set_title(title, fontsize=9)
        modules = [module.removesuffix("_proj") for module in array.coords["module"]]
        axis.set_xticks(range(len(modules)), modules, fontsize=7, rotation=90)
        axis.set_yticks(range(0, layers, step), [str(layer) for layer in array.coords["layer"][::step]], fontsize=7)
    axes[0][0].set_ylabel("layer", fontsize=8)
    bar = drawn.colorbar(image, ax=list(axes[0]), fraction=0.05, pad=0.02)
    unit = "points" if array.name.startswith("shift") else "%"
    bar.set_label(f"{array.name}, {unit}" if percent else array.name, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return drawn
