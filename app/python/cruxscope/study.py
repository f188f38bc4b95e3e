"""A study read from its folder: what the program computed, as labelled arrays. No program is needed for that."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import BEHAVIOURS, MODULES, LabelledArray
from .experts import Parts, coords_of
from .program import CruxscopeError
from .sensitivity import Sensitivity

__all__ = ["Study", "load"]

#: The newest layout of ``study.json`` that this package knows.
SCHEMA = 1
#: The newest layout that is read: studies of models whose components have parts, such as experts.
NEWEST = 2
MANIFEST = "study.json"
ARRAYS = "importance.safetensors"
CHANNELS = "channels.safetensors"
PARTS = "parts.safetensors"


class Study:
    """What one interpretation of a model gave.

    Made by :func:`load`. Numbers are those on disk, which the program checks against each other when it opens a study; their digests
    are checked here.

    Attributes
    ----------
    path
        The folder.
    manifest
        ``study.json`` as it stands: model, data, settings, instances, counts, what was dropped and why.
    importance
        Importance I, ``[behaviour, layer, module]``, float64 (paper, section 2.2, equation 4). A behaviour that no instance holds is
        zero throughout; :attr:`behaviours` lists those that are held.
    relative_importance
        I divided by its sum over all components, ``[behaviour, layer, module]``.
    contributions
        What each instance adds before the absolute value and the division, ``[instance, behaviour, layer, module]``: under ``paper`` the
        signed product of steering vector and gradient, under ``released`` the sum of absolute products over its segments.
    weights
        What each instance adds to the divisor, ``[instance, behaviour]``.

    """

    def __init__(self, path: Path, manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.path = path
        self.manifest = manifest
        layers = tuple(range(1, manifest["model"]["layers"] + 1))
        instances = tuple(instance["id"] for instance in manifest["instances"])
        places = {"layer": layers, "module": MODULES}
        maps = {"behaviour": BEHAVIOURS, **places}
        shapes: dict[str, dict[str, tuple[Any, ...]]] = {
            "importance": maps,
            "relative_importance": maps,
            "contributions": {"instance": instances, **maps},
            "weights": {"instance": instances, "behaviour": BEHAVIOURS},
        }
        made = {name: _labelled(arrays, name, coords, ARRAYS) for name, coords in shapes.items()}
        self.importance: LabelledArray = made["importance"]
        self.relative_importance: LabelledArray = made["relative_importance"]
        self.contributions: LabelledArray = made["contributions"]
        self.weights: LabelledArray = made["weights"]

    def __repr__(self) -> str:
        model, instances = self.manifest["model"], self.manifest["instances"]
        return (
            f"Study {self.title}: {model['architecture']} of {model['layers']} layers, {len(instances)} instances, "
            f"definition {self.definition}, {self.path}"
        )

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.manifest["title"])

    @property
    def definition(self) -> str:
        """``paper``, or ``released`` for what the published code computes."""
        return str(self.manifest["definition"])

    @property
    def layers(self) -> int:
        """Decoder layers of the model."""
        return int(self.manifest["model"]["layers"])

    @property
    def instances(self) -> tuple[str, ...]:
        """Ids of the instances, in the order of :attr:`contributions`."""
        return self.contributions.coords["instance"]

    @property
    def behaviours(self) -> tuple[str, ...]:
        """The behaviours that any instance holds."""
        held = self.weights.values.sum(axis=0) > 0
        return tuple(name for name, is_held in zip(BEHAVIOURS, held, strict=True) if is_held)

    @cached_property
    def mean(self) -> LabelledArray:
        """The mean of relative importance over the behaviours that any instance holds, ``[layer, module]``."""
        if not self.behaviours:
            raise CruxscopeError(f"no instance of {self.path} holds a behaviour")
        chosen = self.relative_importance.sel(behaviour=list(self.behaviours))
        assert isinstance(chosen, LabelledArray)
        return chosen.mean("behaviour")

    def channels(self, behaviour: str, module: str) -> LabelledArray:
        """Importance opened into the output channels of a module, signed, ``[layer, channel]`` (``interpret --channels``)."""
        module = module if module.endswith("_proj") else f"{module}_proj"
        if behaviour not in BEHAVIOURS or module not in MODULES:
            raise KeyError(f'there is no "{behaviour}" of "{module}"; behaviours are {", ".join(BEHAVIOURS)}, modules {", ".join(MODULES)}')
        if not any(entry["file"] == CHANNELS for entry in self.manifest["arrays"]):
            raise CruxscopeError(f"{self.path} keeps no channels; `cruxscope interpret --channels` does")
        width = self.manifest["model"]["modules"][MODULES.index(module)]["outputs"]
        coords = {"layer": tuple(range(1, self.layers + 1)), "channel": tuple(range(width))}
        return _labelled(self._channel_maps, f"channels/{behaviour}/{module}", coords, CHANNELS)

    def part_channels(self, behaviour: str, part: str) -> LabelledArray:
        """Importance of a part, such as ``"12_gate.e37"``, opened into its output channels, signed, ``[channel]``."""
        if self.parts is None or part not in self.parts.names:
            raise KeyError(f'there is no part "{part}"')
        if not any(entry["file"] == CHANNELS for entry in self.manifest["arrays"]):
            raise CruxscopeError(f"{self.path} keeps no channels; `cruxscope interpret --channels` does")
        at = self.parts.channels_at(part)
        every = {"channel": tuple(range(sum(self.parts.outputs)))}
        values = _labelled(self._channel_maps, f"channels/{behaviour}/parts", every, CHANNELS).values[at]
        return LabelledArray(values, {"channel": tuple(range(at.stop - at.start))}, part)

    @cached_property
    def parts(self) -> Parts | None:
        """The parts of components that are several linear maps, such as experts; nothing where every component is one."""
        layout = self.manifest["model"].get("parts")
        if layout is None:
            return None
        arrays = _arrays(self.path, PARTS, self.manifest)
        made = {name: _labelled(arrays, name, coords, PARTS) for name, coords in coords_of(layout, self.instances).items()}
        return Parts(layout, made, self.importance.values)

    @cached_property
    def _channel_maps(self) -> dict[str, np.ndarray]:
        return _arrays(self.path, CHANNELS, self.manifest)

    @cached_property
    def sensitivity(self) -> Sensitivity | None:
        """The sensitivity sketch, where ``cruxscope sensitivity`` has put one there."""
        return Sensitivity.load(self.path)

    @cached_property
    def traces(self) -> list[dict[str, Any]]:
        """Texts of the traces with their sections, where they were kept: ``id``, ``prompt``, ``output``, ``tokens``, ``sections``."""
        return [json.loads(_checked(self.path, entry)) for entry in self.manifest.get("traces", [])]

    def beside(self, name: str) -> dict[str, Any] | None:
        """What stands in a JSON file beside the study, such as ``validation.json``, ``compression.json`` or ``trial.json``."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def intervals(self, behaviour: str, *, resamples: int = 2000, level: float = 0.95, seed: int = 0) -> LabelledArray:
        """Bootstrap intervals of relative importance over instances, ``[end, layer, module]`` with the ends ``low`` and ``high``.

        Instances are drawn with replacement; draws without the behaviour are left out. By NumPy's random numbers: the program's own
        intervals, which come from its own, differ by the noise of the bootstrap.
        """
        at = BEHAVIOURS.index(behaviour)
        values, weights = self.contributions.values[:, at], self.weights.values[:, at]
        times = np.random.default_rng(seed).multinomial(len(weights), np.full(len(weights), 1 / len(weights)), size=resamples)
        times = times[times @ weights > 0]
        if not len(times):
            raise CruxscopeError(f"no instance of {self.path} holds {behaviour}")
        drawn = np.abs(np.tensordot(times.astype(float), values, axes=1))
        total = drawn.sum(axis=(1, 2), keepdims=True)
        relative = np.divide(drawn, total, out=np.zeros_like(drawn), where=total > 0)
        ends = np.quantile(relative, [(1 - level) / 2, (1 + level) / 2], axis=0)
        coords = {"end": ("low", "high"), "layer": self.importance.coords["layer"], "module": MODULES}
        return LabelledArray(ends, coords, "relative importance")


def load(study: str | Path) -> Study:
    """Reads a study: its folder, or its ``study.json``.

    Raises :class:`CruxscopeError` where a file is missing, does not have the digest that the manifest names, or comes from a newer
    layout than this package knows.
    """
    path = Path(study)
    folder = path.parent if path.name == MANIFEST else path
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise CruxscopeError(f"{folder} is no study: {MANIFEST} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CruxscopeError(f"{folder / MANIFEST} is no JSON: {error}") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, int):
        raise CruxscopeError(f"{folder / MANIFEST} is no manifest of a study: it has no schema")
    if schema > NEWEST:
        raise CruxscopeError(f"{folder} has layout {schema}, and this package knows {NEWEST}; install a newer cruxscope")
    return Study(folder, manifest, _arrays(folder, ARRAYS, manifest))


def _checked(folder: Path, entry: dict[str, Any]) -> bytes:
    """The bytes of a file that the manifest names, if they are those that it names."""
    name = entry["file"]
    if Path(name).name != name or name.startswith("."):
        raise CruxscopeError(f'the file "{name}" would lie outside of the study {folder}')
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise CruxscopeError(f"{folder / name} cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise CruxscopeError(f"{folder / name} is not the file that {MANIFEST} names: its SHA-256 differs")
    return data


def _arrays(folder: Path, name: str, manifest: dict[str, Any]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    entries = [entry for entry in manifest.get("arrays", []) if entry.get("file") == name]
    if not entries:
        raise CruxscopeError(f"{folder / MANIFEST} names no {name}")
    try:
        return parse(_checked(folder, entries[0]))
    except SafetensorError as error:
        raise CruxscopeError(f"{folder / name} is damaged: {error}") from error


def _labelled(arrays: dict[str, np.ndarray], name: str, coords: dict[str, tuple[Any, ...]], file: str) -> LabelledArray:
    if name not in arrays:
        raise CruxscopeError(f"{file} has no array {name}")
    try:
        return LabelledArray(arrays[name], coords, name.replace("_", " "))
    except ValueError as error:
        raise CruxscopeError(f"{name} in {file}: {error}") from error
