"""Cruxscope in Python: studies as labelled arrays, the program as a function, and models of any architecture by hooks.

>>> import cruxscope
>>> study = cruxscope.load("study")
>>> study.relative_importance.sel(behaviour="backtracking", component="30_gate")
>>> cruxscope.run("interpret", model="model", traces="traces.jsonl", annotations="annotations.jsonl", out="study")

Reading a study needs NumPy and safetensors only. :func:`capture` needs PyTorch (``pip install cruxscope[torch]``).
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from .arrays import BEHAVIOURS, MODULES, LabelledArray
from .comparison import Shift, shift
from .data import Records, annotations_from, samples, traces_from
from .experts import Parts
from .notebook import Figure, Page, show
from .program import CruxscopeError, find_page, find_program, run
from .recipe import Recipe, allocate
from .sensitivity import RecipeCost, Sensitivity
from .study import Study, load

if TYPE_CHECKING:
    from .capturing import Captured, capture

try:
    __version__ = metadata.version("cruxscope")
except metadata.PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0"

__all__ = [
    "BEHAVIOURS", "MODULES", "Captured", "CruxscopeError", "Figure", "LabelledArray", "Page", "Parts", "Recipe", "RecipeCost", "Records",
    "Sensitivity", "Shift", "Study", "allocate", "annotations_from", "capture", "find_page", "find_program", "load", "run", "samples",
    "shift", "show", "traces_from",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import: only whoever captures pays for it.
    if name in ("capture", "Captured"):
        import importlib

        return getattr(importlib.import_module(".capturing", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
