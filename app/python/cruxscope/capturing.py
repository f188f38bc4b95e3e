"""The method on any causal model of transformers, by hooks: for architectures that the program does not open.

Slow: every segment takes a backward pass through the whole instance, and the graph of all its tokens is kept in memory. The program does
the same for the architectures that it knows in a fraction of the time and memory; use it where it opens the model.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from . import parts
from .arrays import BEHAVIOURS, MODULES, LabelledArray
from .attribution import DEFINITIONS, Part, contribution, importance, steering
from .instances import Instances, Source, read
from .program import CruxscopeError
from .study import ARRAYS, MANIFEST, SCHEMA, Study, load

__all__ = ["Captured", "capture"]

#: Changes whenever a part's numbers would.
PART_VERSION = 1
_TYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}


class Captured:
    """Importance of the linear modules of a model, by their names, with what each instance added.

    Attributes
    ----------
    importance, relative_importance
        ``[behaviour, component]``; components are ``1_q`` … for the seven modules of a layer, else names of modules.
    contributions, weights
        ``[instance, behaviour, component]`` and ``[instance, behaviour]``.
    dropped
        Sections that could not be used, with their reasons.
    study
        The study that was written, where there was a folder for it.

    """

    def __init__(self, names: list[str], instances: Instances, values: np.ndarray, weights: np.ndarray) -> None:
        found, relative = importance(values, weights)
        ids = [instance.id for instance in instances.items]
        maps = {"behaviour": BEHAVIOURS, "component": names}
        self.importance = LabelledArray(found, maps, "importance")
        self.relative_importance = LabelledArray(relative, maps, "relative importance")
        self.contributions = LabelledArray(values, {"instance": ids, **maps}, "contributions")
        self.weights = LabelledArray(weights, {"instance": ids, "behaviour": BEHAVIOURS}, "weights")
        self.dropped = instances.dropped
        self.study: Study | None = None

    def __repr__(self) -> str:
        instances, _, components = self.contributions.shape
        return f"Captured {components} components over {instances} instances" + (f", saved in {self.study.path}" if self.study else "")


def capture(
    model: Any,
    traces: Source,
    annotations: Source,
    out: str | Path | None = None,
    *,
    tokenizer: Any = None,
    definition: str = "paper",
    modules: Any = None,
    reading: str | None = None,
    alignment: str | None = None,
    limit: int | None = None,
    max_length: int | None = None,
    title: str | None = None,
    texts: bool = True,
    progress: bool = True,
) -> Captured:
    """Runs the method on a model of transformers by forward and backward hooks.

    Parameters
    ----------
    model
        A causal language model of transformers, on any device and in any precision. It is left as it was.
    traces, annotations
        Files of JSON lines as the program reads them, or their records: text with ``["backtracking"] … ["end-section"]``, or token ids
        with ``segments``.
    out
        A folder for the study, which the program then shows, compares and exports as any other. Finished instances are kept there, so
        that a capture that was stopped goes on. Without it nothing is written.
    tokenizer
        The model's fast tokenizer, where traces are text.
    definition
        ``paper`` (the default), or ``released`` for what the published code computes (``--definition reference`` of the program).
    modules
        Nothing for the seven linear maps of each layer, of which a study is made; ``"all"`` for all linear modules of decoder layers, or a
        function of a module's name: these have no study.
    reading, alignment
        As ``cruxscope interpret --reading`` and ``--alignment``.
    limit, max_length
        Instances at the most, and tokens of an instance at the most.
    title
        A title of the study; else the model's name.
    texts
        Whether texts of traces are kept in the study.
    progress
        Whether a line is printed for every instance.

    Raises
    ------
    CruxscopeError
        For what is not understood, by name: a model whose layers have other modules, an expert that sees some tokens, a trace beyond the
        vocabulary, a folder that holds another study.

    """
    from .hooks import Hooked, components_of

    if definition == "reference":
        definition = "released"
    if definition not in DEFINITIONS:
        raise CruxscopeError(f'there is no definition "{definition}"; known are paper, released')
    if out is not None and modules is not None:
        raise CruxscopeError("a study has the seven modules of each layer; with modules= leave out the folder")
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    components, layers = components_of(model, config, modules)
    hooked = Hooked(model, components)
    reading = reading or ("tolerant" if definition == "paper" else "strict")
    alignment = alignment or ("forward-search" if definition == "paper" else "published")
    context = int(getattr(config, "max_position_embeddings", 0) or 1 << 20)
    instances = read(
        traces,
        annotations,
        tokenizer=tokenizer,
        vocabulary=int(model.get_input_embeddings().weight.shape[0]),
        context=context,
        definition=definition,
        reading=reading,
        alignment=alignment,
        limit=limit,
        max_length=max_length,
    )
    folder = Path(out) if out is not None else None
    settings: dict[str, Any] = {
        "reading": reading,
        "alignment": alignment,
        "max_tokens": max_length,
        "context": context,
        "sections": instances.sections,
    }
    settings |= {f"sections_{name}": count for name, count in sorted(instances.reading_counts.items())}
    keys: list[str] = []
    entry: dict[str, Any] = {}
    if folder is not None:
        entry = _model_entry(model, config, components, layers)
        begin = f"python part {PART_VERSION} {definition} {hooked.backend()} {entry['files'][0]['sha256']}"
        for instance in instances.items:
            facts = [begin, instance.id, instance.ids, [[segment.behaviour, segment.start, segment.last] for segment in instance.segments]]
            keys.append(hashlib.sha256(json.dumps(facts).encode()).hexdigest())
        run = hashlib.sha256(json.dumps([*keys, texts, title]).encode()).hexdigest()
        settings["run"] = run
        _refuse_other_study(folder, run)

    finished: list[Part] = []
    for place, instance in enumerate(instances.items):
        part = parts.load(parts.path_of(folder, instance.id), keys[place]) if folder is not None else None
        if part is None:
            part = hooked.interpret(instance, definition)
            if folder is not None:
                parts.save(part, parts.path_of(folder, instance.id), keys[place])
        if progress:
            print(f"{place + 1} of {len(instances.items)}: {instance.id}, {len(instance.ids)} tokens, {len(instance.segments)} segments")
        finished.append(part)

    vectors = steering(finished, hooked.bounds, definition)
    added = [contribution(part, vectors, hooked.bounds, definition) for part in finished]
    values, weights = np.stack([value for value, _ in added]), np.stack([weight for _, weight in added])
    captured = Captured([component.name for component in components], instances, values, weights)
    if folder is not None:
        backends = sorted({part.backend for part in finished})
        manifest = _manifest(entry, instances, finished, definition, settings, backends, title)
        _save(folder, manifest, captured, layers, instances if texts else None)
        shutil.rmtree(folder / parts.FOLDER, ignore_errors=True)
        captured.study = load(folder)
    return captured


def _refuse_other_study(folder: Path, run: str) -> None:
    if not (folder / MANIFEST).is_file():
        return
    if load(folder).manifest["settings"].get("run") != run:
        raise CruxscopeError(f"{folder} holds another study; name another folder, or delete it")


def _model_entry(model: Any, config: Any, components: list[Any], layers: int) -> dict[str, Any]:
    """What a manifest says of the model; its parameters as they are in memory stand for its files."""
    import torch

    digest, size, types = hashlib.sha256(), 0, Counter[str]()
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_meta:
            raise CruxscopeError(
                f"{name} is not in memory (accelerate keeps it elsewhere), so the model cannot be told from others; leave out the folder"
            )
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(data)
        size += data.nbytes
        dtype = str(tensor.dtype).removeprefix("torch.")
        types[_TYPES.get(dtype, dtype)] += 1
    name = str(getattr(model.config, "_name_or_path", "") or type(model).__name__)
    return {
        "name": Path(name).name or name,
        "architecture": str(config.model_type),
        "layers": layers,
        "modules": [{"outputs": component.width, "inputs": component.inputs} for component in components[: len(MODULES)]],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tensor_types": dict(sorted(types.items())),
        "files": [{"name": "parameters in memory", "bytes": size, "sha256": digest.hexdigest()}],
        "basis": "original",
    }


def _manifest(
    entry: dict[str, Any],
    instances: Instances,
    finished: list[Part],
    definition: str,
    settings: dict[str, Any],
    backends: list[str],
    title: str | None,
) -> dict[str, Any]:
    from . import __version__

    listed = []
    for instance, part in zip(instances.items, finished, strict=True):
        facts = {"id": part.id, "tokens": part.tokens, "tokens_cut": instance.tokens_cut, "segments": part.segments}
        listed.append(facts if part.loss() is None else {**facts, "loss": part.loss()})
    counts = []
    for place, behaviour in enumerate(BEHAVIOURS):
        used = [part.segments[place] for part in finished]
        dropped = sum(drop["label"] == behaviour for drop in instances.dropped)
        counts.append({"instances": sum(count > 0 for count in used), "used": sum(used), "dropped": dropped})
    return {
        "schema": SCHEMA,
        "title": title or entry["name"],
        "program": {"name": "cruxscope.capture", "version": __version__},
        "definition": definition,
        "model": entry,
        "data": instances.data,
        "instances": listed,
        "segments": counts,
        "dropped": instances.dropped,
        "unscored_sections": instances.unscored_sections,
        "unpaired": instances.unpaired,
        "settings": dict(sorted(settings.items())),
        "device": {"backends": backends},
    }


def _save(folder: Path, manifest: dict[str, Any], captured: Captured, layers: int, texts: Instances | None) -> None:
    """Writes the study, the manifest last."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(BEHAVIOURS), layers, len(MODULES))
    arrays = {
        "contributions": captured.contributions.values.reshape(-1, *shape),
        "importance": captured.importance.values.reshape(shape),
        "relative_importance": captured.relative_importance.values.reshape(shape),
        "weights": captured.weights.values,
    }

    def write(name: str, data: bytes) -> dict[str, Any]:
        parts.write_atomically(folder / name, data)
        return {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    manifest["arrays"] = [write(ARRAYS, save({name: np.ascontiguousarray(values) for name, values in arrays.items()}))]
    kept = []
    for place, instance in enumerate(texts.items if texts is not None else []):
        if instance.text is not None:
            data = (json.dumps(instance.text, ensure_ascii=False) + "\n").encode()
            kept.append({"id": instance.id, **write(f"trace-{place + 1:04}.json", data)})
    if kept:
        manifest["traces"] = kept
    parts.write_atomically(folder / MANIFEST, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())
