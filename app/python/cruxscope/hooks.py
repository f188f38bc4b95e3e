"""Forward and backward hooks on the linear modules of a transformers model: outputs of every token, and gradients of each segment.

One forward pass over an instance keeps the graph; every segment then takes a backward pass of its own through all of it. That is the
published procedure with one forward pass instead of one a segment: slow, and needing memory for the whole graph, but it asks nothing of an
architecture except that it be causal and made of linear modules.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .arrays import BEHAVIOURS, MODULES, component_name
from .attribution import Part, Span, activation_weights, span
from .instances import Instance
from .program import CruxscopeError

__all__ = ["Component", "Hooked", "components_of"]

_LAYER = re.compile(r"^(?P<before>.*?(?:layers|blocks|h))\.(?P<layer>\d+)\.(?P<path>.+)$")
#: Modules that hold several of the seven one above the other, as rows.
FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}


@dataclass(frozen=True)
class Component:
    """Rows ``[start, end)`` of the output of a linear module, under a name."""

    name: str
    path: str
    start: int
    end: int
    inputs: int

    @property
    def width(self) -> int:
        """Output channels."""
        return self.end - self.start


def _is_linear(module: torch.nn.Module) -> bool:
    # Quantized linear maps derive from Linear or carry its sizes; Conv1D is that of GPT-2.
    return (
        isinstance(module, torch.nn.Linear)
        or type(module).__name__ == "Conv1D"
        or (hasattr(module, "in_features") and hasattr(module, "out_features"))
    )


def _sizes(module: Any) -> tuple[int, int]:
    """Outputs and inputs."""
    if type(module).__name__ == "Conv1D":
        inputs, outputs = module.weight.shape
        return int(outputs), int(inputs)
    return int(module.out_features), int(module.in_features)


def components_of(model: torch.nn.Module, config: Any, modules: str | Callable[[str], bool] | None) -> tuple[list[Component], int]:
    """The components of a model in order, and its decoder layers.

    Without ``modules`` they are the seven of each layer, as a study has them; fused ones are split by rows. With ``"all"`` they are all
    linear modules of the decoder layers under their own names, with a function those whose names it takes.
    """
    linear = [(name, module) for name, module in model.named_modules() if _is_linear(module)]
    inside = [(match["before"], int(match["layer"]), match["path"], name, module) for name, module in linear if (match := _LAYER.match(name))]
    if not inside:
        raise CruxscopeError(f"{type(model).__name__} has no linear module under layers, blocks or h, so none of a decoder layer")
    layers = 1 + max(layer for _, layer, *_ in inside)
    if modules is not None:
        takes = (lambda name: True) if modules == "all" else modules
        if not callable(takes):
            raise CruxscopeError(f'modules is "{modules}"; it may be "all", or a function that takes the name of a module')
        chosen = [(name, *_sizes(module)) for _, _, _, name, module in inside if takes(name)]
        if not chosen:
            raise CruxscopeError("modules takes no linear module of this model")
        return [Component(name, name, 0, outputs, inputs) for name, outputs, inputs in chosen], layers

    experts = [name for *_, name, _ in inside if "experts" in name.split(".")]
    if experts:
        raise CruxscopeError(
            f"{experts[0]} belongs to a mixture of experts, and a study has one matrix of each kind a layer; a function of names as modules= "
            "captures those that see every token, under their own names"
        )
    found: dict[tuple[int, str], Component] = {}
    for _, layer, path, name, module in inside:
        role = path.rpartition(".")[2]
        outputs, inputs = _sizes(module)
        parts = FUSED.get(role, (role,))
        sizes = _fused_sizes(role, outputs, config) if role in FUSED else [outputs]
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            if part not in MODULES:
                raise CruxscopeError(
                    f'{name} is none of the seven modules of a study ({", ".join(MODULES)}); modules="all" captures all under their own names'
                )
            if (layer, part) in found:
                raise CruxscopeError(
                    f"layer {layer + 1} has {part} twice, {found[layer, part].path} and {name}. "
                    'A study has one; modules="all", or a function that chooses, captures them under their own names'
                )
            found[layer, part] = Component(component_name(layer + 1, part), name, start, start + size, inputs)
            start += size
    missing = [component_name(layer + 1, module) for layer in range(layers) for module in MODULES if (layer, module) not in found]
    if missing:
        raise CruxscopeError(
            f'{type(model).__name__} has no {", ".join(missing[:4])}, and a study has seven modules a layer; modules="all" captures what is there'
        )
    ordered = [found[layer, module] for layer in range(layers) for module in MODULES]
    for place, component in enumerate(ordered):
        first = ordered[place % len(MODULES)]
        if (component.width, component.inputs) != (first.width, first.inputs):
            raise CruxscopeError(
                f"{component.name} is {component.width} by {component.inputs}, but {first.name} {first.width} by {first.inputs}, and a study has "
                'layers of one shape; modules="all" captures them'
            )
    return ordered, layers


def _fused_sizes(role: str, outputs: int, config: Any) -> list[int]:
    if role == "gate_up_proj":
        return [outputs // 2] * 2
    heads = config.num_attention_heads
    pairs = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    if (heads + 2 * pairs) * size != outputs:
        raise CruxscopeError(f"qkv_proj has {outputs} outputs, which are not {heads} heads and twice {pairs} of {size}")
    return [heads * size, pairs * size, pairs * size]


class Hooked:
    """A model whose components are listened to. Nothing of it is changed beyond the calls."""

    def __init__(self, model: Any, components: Sequence[Component]) -> None:
        self.model = model
        self.components = list(components)
        self.paths = list(dict.fromkeys(component.path for component in components))
        ends = np.cumsum([component.width for component in components])
        self.bounds = [(int(end) - component.width, int(end)) for end, component in zip(ends, components, strict=True)]
        self.length = int(ends[-1])

    def interpret(self, instance: Instance, definition: str) -> Part:
        """What one instance gives."""
        ids = torch.tensor([instance.ids], device=self.model.get_input_embeddings().weight.device)
        spans = [found for segment in instance.segments if isinstance(found := span(segment, definition), Span)]
        rows = sorted({row for one in spans for row in range(one.targets[0] - 1, one.targets[1] - 1)})
        with self._listening(len(instance.ids)) as outputs, torch.set_grad_enabled(bool(spans)):
            logits = self._logits(ids, rows or [0])
        place_of = {row: place for place, row in enumerate(rows)}
        segments, losses, gradients = instance.segments, [], {}
        for number, one in enumerate(spans):
            places = [place_of[row] for row in range(one.targets[0] - 1, one.targets[1] - 1)]
            loss = torch.nn.functional.cross_entropy(logits[places], ids[0, one.targets[0] : one.targets[1]].to(logits.device))
            found = torch.autograd.grad(loss, list(outputs.values()), retain_graph=number + 1 < len(spans), allow_unused=True)
            sums = {path: _rows(gradient, one.rows) for path, gradient in zip(outputs, found, strict=True)}
            gradients[number] = (self._vector(sums), one.rows[1] - one.rows[0])
            losses.append(float(loss.detach()))
        everything = self._vector(
            {path: output.detach().reshape(-1, output.shape[-1]).double().mean(0).cpu().numpy() for path, output in outputs.items()}
        )
        plus, grouped = {}, []
        for behaviour in BEHAVIOURS:
            own = [number for number, segment in enumerate(segments) if segment.behaviour == behaviour]
            if not own:
                continue
            weights = activation_weights([segments[number] for number in own], len(instance.ids), definition)
            if weights is not None:
                plus[behaviour] = self._vector({path: _weighted(output, weights) for path, output in outputs.items()}).astype(np.float32)
            if definition == "paper":
                total = sum(gradients[number][1] for number in own)
                mean = sum((gradients[number][0] for number in own), np.zeros(self.length)) / total
                grouped.append((behaviour, len(own), mean.astype(np.float32)))
            else:
                grouped += [(behaviour, 1, (gradients[number][0] / gradients[number][1]).astype(np.float32)) for number in own]
        return Part(
            id=instance.id,
            tokens=len(instance.ids),
            segments=[sum(segment.behaviour == behaviour for segment in segments) for behaviour in BEHAVIOURS],
            losses=losses,
            targets=[one.targets[1] - one.targets[0] for one in spans],
            everything=everything.astype(np.float32),
            plus=plus,
            gradients=grouped,
            backend=self.backend(),
        )

    def backend(self) -> str:
        """Device and precision, as a manifest names them."""
        dtype = str(self.model.get_input_embeddings().weight.dtype).removeprefix("torch.")
        return f"PyTorch {torch.__version__} on {self.model.get_input_embeddings().weight.device.type}, {dtype}"

    def _vector(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """Values of modules, side by side in the order of the components."""
        return np.concatenate([values[component.path][component.start : component.end] for component in self.components])

    @contextmanager
    def _listening(self, tokens: int) -> Iterator[dict[str, torch.Tensor]]:
        outputs: dict[str, torch.Tensor] = {}

        def listen(path: str) -> Callable[..., torch.Tensor]:
            def hook(module: torch.nn.Module, inputs: Any, output: Any) -> torch.Tensor:
                if not isinstance(output, torch.Tensor):
                    raise CruxscopeError(f"{path} gives {type(output).__name__} and no tensor")
                if path in outputs:
                    raise CruxscopeError(f"{path} is called twice in a forward pass, so its output is not one activation; leave it out with modules=")
                if output.numel() != tokens * output.shape[-1]:
                    raise CruxscopeError(
                        f"{path} gives {output.numel() // output.shape[-1]} rows for {tokens} tokens, such as an expert that sees some of them; "
                        "leave it out with modules="
                    )
                outputs[path] = output
                # What comes after may change it in place.
                return output.clone()

            return hook

        def begin(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            return output.detach().requires_grad_(torch.is_grad_enabled())

        named = dict(self.model.named_modules())
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        was_training = self.model.training
        handles = [named[path].register_forward_hook(listen(path)) for path in self.paths]
        handles.append(self.model.get_input_embeddings().register_forward_hook(begin))
        try:
            # Gradients of weights are never formed.
            for parameter in parameters:
                parameter.requires_grad_(False)
            self.model.eval()
            yield outputs
        finally:
            for handle in handles:
                handle.remove()
            for parameter in parameters:
                parameter.requires_grad_(True)
            self.model.train(was_training)
        missing = [path for path in self.paths if path not in outputs]
        if missing:
            raise CruxscopeError(f"{missing[0]} is not called in a forward pass; leave it out with modules=")

    def _logits(self, ids: torch.Tensor, rows: list[int]) -> torch.Tensor:
        """Logits at some rows, in float32 at least."""
        known = inspect.signature(self.model.forward).parameters
        options: dict[str, Any] = {"use_cache": False} if "use_cache" in known or any(one.kind is one.VAR_KEYWORD for one in known.values()) else {}
        if "logits_to_keep" in known:
            logits = self.model(input_ids=ids, logits_to_keep=torch.tensor(rows, device=ids.device), **options).logits[0]
        else:
            logits = self.model(input_ids=ids, **options).logits[0, rows]
        return logits if logits.dtype == torch.float64 else logits.float()


def _rows(gradient: torch.Tensor | None, rows: tuple[int, int]) -> np.ndarray:
    """The sum over some rows, in float64."""
    if gradient is None:
        raise CruxscopeError("a module's output does not reach the loss; leave it out with modules=")
    return gradient.reshape(-1, gradient.shape[-1])[rows[0] : rows[1]].double().sum(0).cpu().numpy()


def _weighted(output: torch.Tensor, weights: np.ndarray) -> np.ndarray:
    values = output.detach().reshape(-1, output.shape[-1]).double()
    return (torch.from_numpy(weights).to(values.device) @ values).cpu().numpy()
