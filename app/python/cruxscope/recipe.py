"""Recipes: a format for each weight matrix under a budget, chosen by the program, and handed to other tools by it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from .program import run
from .sensitivity import RecipeCost
from .study import Study

__all__ = ["Recipe", "allocate"]


class Recipe:
    """A format for each weight matrix. Made by :func:`allocate`.

    Attributes
    ----------
    formats
        The format of each component, ``{"1_q": "rtn-4-g64", …}``, with ``None`` where it stays as it is.
    predicted
        Its predicted divergence by windows that did not choose it, and its size.
    optimistic_kl
        The same on the windows that did choose it: lower than what is to be expected.
    interval
        The 95 % interval of that divergence over windows, or ``None``.
    curve
        Points of size against divergence, as the program prints them.
    data
        The recipe as ``cruxscope compress --recipe`` reads it.

    """

    def __init__(self, printed: dict[str, Any], flags: dict[str, Any]) -> None:
        self.data: dict[str, Any] = printed["recipe"]
        self.curve: list[dict[str, Any]] = printed["curve"]
        self.optimistic_kl: float = printed["kl_on_choosing_windows"]
        self.matrices: dict[str, int] = printed["matrices"]
        self._flags = flags
        entries = self.data["components"]
        self.formats: dict[str, str | None] = {entry["component"]: None if entry["format"] == "unchanged" else entry["format"] for entry in entries}
        predicted = self.data["predicted"]
        self.predicted = RecipeCost(predicted["kl"], self.data["bits"], self.data["bits_per_weight"])
        self.interval: tuple[float, float] | None = tuple(predicted["interval"]) if predicted["interval"] else None

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.matrices.items())
        return f"Recipe of {self.predicted.bits_per_weight:.3f} bits a weight, predicted divergence {self.predicted.kl:.5f} nats: {counts}"

    def save(self, path: str | Path) -> Path:
        """Writes the recipe for ``cruxscope compress --recipe``."""
        path = Path(path)
        path.write_text(json.dumps(self.data, indent=2) + "\n", encoding="utf-8")
        return path

    def to(self, tool: str, folder: str | Path | None = None) -> dict[str, str]:
        """The recipe for another tool, by ``cruxscope allocate --export``: texts by the names of the files that the tool expects.

        Tools are ``llama.cpp``, ``llm-compressor``, ``gptqmodel``, ``auto-round``, ``modelopt`` and ``cruxscope``. With a ``folder`` the
        files are written there too. What the tool cannot do is refused by name.
        """
        with tempfile.TemporaryDirectory() as scratch:
            run("allocate", progress=False, export=tool, out=Path(scratch) / "recipe.json", **self._flags)
            files = [path for path in sorted(Path(scratch).iterdir()) if path.name != "recipe.json"]
            texts = {path.name: path.read_text(encoding="utf-8") for path in files}
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
        return texts

    def to_llama_cpp(self, folder: str | Path | None = None) -> dict[str, str]:
        """For llama.cpp's quantizer."""
        return self.to("llama.cpp", folder)

    def to_llm_compressor(self, folder: str | Path | None = None) -> dict[str, str]:
        """For LLM Compressor and vLLM."""
        return self.to("llm-compressor", folder)

    def to_gptqmodel(self, folder: str | Path | None = None) -> dict[str, str]:
        """For GPTQModel."""
        return self.to("gptqmodel", folder)

    def to_auto_round(self, folder: str | Path | None = None) -> dict[str, str]:
        """For AutoRound."""
        return self.to("auto-round", folder)

    def to_modelopt(self, folder: str | Path | None = None) -> dict[str, str]:
        """For ModelOpt."""
        return self.to("modelopt", folder)


def allocate(study: Study | str | Path, **flags: Any) -> Recipe:
    """Chooses a format for each matrix from a study's sensitivity sketch: ``cruxscope allocate`` with the same flags.

    ``target_bits=4.5``, ``target_size="5.2GiB"`` or ``max_kl=0.05`` is the budget; ``scope="backtracking"`` counts only the positions of
    a behaviour; ``keep_fused=True``, ``min_bits=3.0`` and ``unchanged=True`` bound the choice.
    """
    flags = {"study": study.path if isinstance(study, Study) else study, **flags}
    with tempfile.TemporaryDirectory() as scratch:
        return Recipe(run("allocate", progress=False, out=Path(scratch) / "recipe.json", **flags), flags)
