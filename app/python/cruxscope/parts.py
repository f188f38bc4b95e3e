"""Finished instances on disk, in the program's form, so that a capture that was stopped goes on.

A part is a safetensors file: ``all``, ``plus/BEHAVIOUR`` and ``gradient/K``, each a float32 vector over all channels, with its facts as
JSON in the metadata. Its key covers what it was computed from; a part with another key is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from .arrays import BEHAVIOURS
from .attribution import Part
from .program import CruxscopeError

__all__ = ["load", "path_of", "save", "write_atomically"]

FOLDER = ".parts"


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name, syncs and renames it: it is whole or not there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def path_of(study: Path, id: str) -> Path:
    """Where the part of an instance is kept in the folder of a study."""
    return study / FOLDER / f"{hashlib.sha256(id.encode()).hexdigest()[:24]}.safetensors"


def save(part: Part, path: Path, key: str) -> None:
    """Saves a part with its key."""
    from safetensors.numpy import save as serialise

    facts = {
        "key": key,
        "id": part.id,
        "tokens": part.tokens,
        "segments": part.segments,
        "losses": part.losses,
        "targets": part.targets,
        "gradients": [[behaviour, segments] for behaviour, segments, _ in part.gradients],
        "backend": part.backend,
    }
    arrays = {"all": part.everything, **{f"plus/{name}": values for name, values in part.plus.items()}}
    arrays |= {f"gradient/{place}": values for place, (_, _, values) in enumerate(part.gradients)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        path, serialise({name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()}, {"cruxscope": json.dumps(facts)})
    )


def load(path: Path, key: str) -> Part | None:
    """A part, if the file is there and has this key."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["cruxscope"])
            if facts["key"] != key:
                return None
            names = set(file.keys())
            plus = {name: file.get_tensor(f"plus/{name}") for name in BEHAVIOURS if f"plus/{name}" in names}
            gradients = [
                (behaviour, segments, file.get_tensor(f"gradient/{place}")) for place, (behaviour, segments) in enumerate(facts["gradients"])
            ]
            fields = {name: facts[name] for name in ("id", "tokens", "segments", "losses", "targets", "backend")}
            return Part(everything=file.get_tensor("all"), plus=plus, gradients=gradients, **fields)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CruxscopeError(f"the part {path} is damaged ({error}); delete it, and it is computed again") from error
