"""Capture by hooks against the program, against independent float64 programs, and on architectures that the program does not open."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import support

import cruxscope
from cruxscope import BEHAVIOURS, MODULES, CruxscopeError

#: The seven linear maps of a layer, as transformers names them.
PATHS = [f"self_attn.{name}_proj" for name in "qkvo"] + [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
#: Relative importance, absolute: the gate of every comparison of the method in float32.
GATE = 5e-5


def model_of(folder):
    """A tiny model of a fixture, in float32; the reason for which this transformers cannot open it where it cannot."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    raw = json.loads((folder / "config.json").read_text())
    if raw["model_type"] not in CONFIG_MAPPING_NAMES:
        return f"transformers {transformers.__version__} has no {raw['model_type']}"
    config = transformers.AutoConfig.from_pretrained(folder)
    # Written by transformers 5, which gathers in rope_parameters what 4 keeps beside each other.
    rope = raw.get("rope_parameters") or {}
    if int(transformers.__version__.split(".")[0]) < 5:
        for key in ("rope_theta", "partial_rotary_factor"):
            if key in rope:
                setattr(config, key, rope[key])
        if "full_attention" in rope:
            config.rope_theta, config.rope_local_base_freq = (rope[kind]["rope_theta"] for kind in ("full_attention", "sliding_attention"))
    return transformers.AutoModelForCausalLM.from_pretrained(folder, config=config, torch_dtype="float32", attn_implementation="eager")


def mean_loss(model, tokens):
    """The mean cross-entropy over all windows of a file."""
    import torch
    from safetensors.numpy import load_file

    windows = torch.tensor(np.concatenate(list(load_file(tokens).values()))).long()
    with torch.no_grad():
        logits = model(windows).logits.double()
    return float(torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), windows[:, 1:].reshape(-1)))


def traces_of(expected):
    """Traces and annotations of a fixture's expected values, as records."""
    traces = [{"id": instance["id"], "input_ids": instance["ids"]} for instance in expected["instances"]]
    return traces, [{"id": instance["id"], "segments": instance["segments"]} for instance in expected["instances"]]


def by_autograd(model, traces, annotations):
    """Relative importance [behaviour, component] by the paper's formulas and plain autograd, one full backward pass a segment."""
    import torch

    paths = [f"model.layers.{layer}.{name}" for layer in range(model.config.num_hidden_layers) for name in PATHS]
    modules, outputs = dict(model.named_modules()), {}
    handles = [modules[path].register_forward_hook(lambda _, __, output, path=path: outputs.__setitem__(path, output)) for path in paths]
    of = {line["id"]: line["segments"] for line in annotations}
    everything, minus, tokens = dict.fromkeys(paths, 0.0), dict.fromkeys(paths, 0.0), 0
    plus, gradients = {name: [] for name in BEHAVIOURS}, {name: [] for name in BEHAVIOURS}
    for trace in traces:
        ids = torch.tensor([trace["input_ids"]])
        logits = model(ids).logits[0]
        tokens += ids.shape[1]
        for path in paths:
            everything[path] = everything[path] + outputs[path][0].sum(0).detach()
            minus[path] = minus[path] + outputs[path][0].mean(0).detach() / len(traces)
        for name in BEHAVIOURS:
            spans = [(max(own["start"] - 5, 0), own["last"] + 1) for own in of[trace["id"]] if own["label"] == name]
            if not spans:
                continue
            rows = sorted({row for first, end in spans for row in range(first, end)})
            plus[name].append({path: outputs[path][0, rows].mean(0).detach() for path in paths})
            total, count = dict.fromkeys(paths, 0.0), 0
            for first, end in spans:
                targets = range(max(first, 1), end)
                loss = torch.nn.functional.cross_entropy(logits[targets.start - 1 : targets.stop - 1], ids[0, targets.start : targets.stop])
                found = torch.autograd.grad(loss, [outputs[path] for path in paths], retain_graph=True)
                count += end - first
                for path, gradient in zip(paths, found, strict=True):
                    total[path] = total[path] + gradient[0, first:end].sum(0)
            gradients[name].append({path: sum_of / count for path, sum_of in total.items()})
    for handle in handles:
        handle.remove()
    found = np.zeros((len(BEHAVIOURS), len(paths)))
    for place, name in enumerate(BEHAVIOURS):
        for column, path in enumerate(paths):
            if plus[name]:
                vector = sum(own[path] for own in plus[name]) / len(plus[name]) - minus[path]
                vector = vector * (everything[path] / tokens).norm() / vector.norm()
                found[place, column] = abs(sum(float(vector @ own[path]) for own in gradients[name])) / len(plus[name])
    return found / np.maximum(found.sum(axis=1, keepdims=True), 1e-300)


def relative_of(expected, definition, layers):
    """Relative importance [behaviour, component] of a fixture."""
    tables = expected["definitions"][definition]["I"]
    found = np.array([[tables[name].get(f"layer_{layer}_{module}", 0.0) for layer in range(layers) for module in MODULES] for name in BEHAVIOURS])
    return found / np.maximum(found.sum(axis=1, keepdims=True), 1e-300)


class Tiny(unittest.TestCase):
    def setUp(self):
        support.needs("torch")
        support.needs("transformers")
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = Path(self.scratch.name)

    def fixtures(self):
        root = support.needs_fixtures("interpret")
        return [folder for folder in sorted(root.iterdir()) if (folder / "model.safetensors").is_file() and (folder / "expected.json").is_file()]

    def files(self, expected):
        traces, annotations = traces_of(expected)
        return cruxscope.Records(traces).write(self.root / "traces.jsonl"), cruxscope.Records(annotations).write(self.root / "annotations.jsonl")

    def test_relative_importance_is_that_of_the_float64_program(self):
        worst = 0.0
        for folder in self.fixtures():
            expected, model = json.loads((folder / "expected.json").read_text()), model_of(folder)
            for definition in ("paper", "released"):
                captured = cruxscope.capture(model, *traces_of(expected), definition=definition, progress=False)
                found = captured.relative_importance.values
                difference = np.abs(found - relative_of(expected, definition, found.shape[1] // len(MODULES))).max()
                worst = max(worst, difference)
                self.assertLess(difference, GATE, f"{folder.name}, {definition}")
        print(f"\ncapture against float64: {worst:.1e} of relative importance at the most")

    def test_a_study_is_that_of_the_program(self):
        support.needs_program()
        worst = 0.0
        for folder in self.fixtures():
            expected, model = json.loads((folder / "expected.json").read_text()), model_of(folder)
            traces, annotations = self.files(expected)
            for definition in ("paper", "reference"):
                flags = {"model": folder, "traces": traces, "annotations": annotations, "definition": definition, "threads": 1}
                theirs = cruxscope.run("interpret", progress=False, out=self.root / f"{folder.name}-{definition}", **flags)
                own = self.root / f"{folder.name}-{definition}-hooks"
                study = cruxscope.capture(model, traces, annotations, own, definition=definition, progress=False).study
                shown = cruxscope.run("show", own, progress=False)
                for key in ("definition", "tokens", "segments", "segments_used", "layers", "dropped"):
                    self.assertEqual(shown[key], theirs[key], key)
                self.assertEqual(shown["model"]["modules"], theirs["model"]["modules"])
                for one, other in zip(shown["instances"], theirs["instances"], strict=True):
                    self.assertEqual((one["id"], one["segments"]), (other["id"], other["segments"]))
                    self.assertAlmostEqual(one.get("loss", 0), other.get("loss", 0), places=4)
                for behaviour in BEHAVIOURS:
                    difference = np.abs(study.relative_importance.sel(behaviour=behaviour).values - theirs["relative_importance"][behaviour]).max()
                    worst = max(worst, difference)
                    self.assertLess(difference, GATE, f"{folder.name}, {definition}, {behaviour}")
                # The two may be compared; nothing but the precision of float32 shifts.
                shift = cruxscope.shift(self.root / f"{folder.name}-{definition}", own, "net", allow_different=("all",))
                self.assertLess(np.abs(shift.values.values).max(), GATE)
        print(f"\ncapture against the program: {worst:.1e} of relative importance at the most")

    def test_other_architectures(self):
        root = support.needs_fixtures("architectures")
        traces, annotations = root / "traces.jsonl", root / "annotations.jsonl"
        seen, others, not_opened, worst = [], [], [], 0.0
        for folder in sorted(path.parent for path in root.glob("*/expected.json")):
            expected = json.loads((folder / "expected.json").read_text())
            if "relative_importance" not in expected:
                continue
            model = model_of(folder)
            if isinstance(model, str) or abs(mean_loss(model, root / "tokens.safetensors") - expected["mean_loss"]) > 2e-5:
                # Newer than this transformers, which does not know it or reads its configuration as another function.
                others.append(folder.name)
                continue
            captured = cruxscope.capture(model, traces, annotations, progress=False)
            layers = len(captured.relative_importance.coords["component"]) // len(MODULES)
            found = captured.relative_importance.values.reshape(len(BEHAVIOURS), layers, len(MODULES))
            places = [MODULES.index(module.rpartition(".")[2]) for module in expected["modules"]]
            wanted = np.array(expected["relative_importance"])
            order = [expected["behaviours"].index(behaviour) for behaviour in BEHAVIOURS]
            difference = np.abs(found[:, :, places] - wanted.reshape(len(BEHAVIOURS), layers, len(MODULES))[order]).max()
            worst = max(worst, difference)
            self.assertLess(difference, GATE, folder.name)
            seen.append(folder.name)
            if not self.is_opened(folder, traces, annotations):
                not_opened.append(folder.name)
        self.assertTrue(seen, "transformers opens none of the fixtures' models")
        print(f"\ncapture on {', '.join(seen)}: {worst:.1e} at the most; the program itself does not open: {', '.join(not_opened) or 'none'}")
        print(f"not tried, since this transformers has no or another such model: {', '.join(others) or 'none'}")

    def is_opened(self, folder, traces, annotations):
        support.needs_program()
        try:
            cruxscope.run("interpret", progress=False, model=folder, traces=traces, annotations=annotations, out=self.root / "plan", dry_run=True)
        except CruxscopeError as error:
            self.assertEqual(error.code, 2)
            return False
        return True

    def test_it_goes_on_where_it_was_stopped(self):
        folder = self.fixtures()[0]
        expected, model = json.loads((folder / "expected.json").read_text()), model_of(folder)
        traces, annotations = traces_of(expected)
        whole = cruxscope.capture(model, traces, annotations, self.root / "whole", progress=False)
        from cruxscope.hooks import Hooked

        calls = []
        original = Hooked.interpret

        def failing(hooked, instance, definition):
            calls.append(instance.id)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return original(hooked, instance, definition)

        Hooked.interpret = failing
        self.addCleanup(setattr, Hooked, "interpret", original)
        with self.assertRaises(KeyboardInterrupt):
            cruxscope.capture(model, traces, annotations, self.root / "parted", progress=False)
        parted = cruxscope.capture(model, traces, annotations, self.root / "parted", progress=False)
        self.assertEqual(len(calls), 1 + len(traces), "a finished instance is not computed again")
        for name in ("study.json", "importance.safetensors"):
            self.assertEqual((whole.study.path / name).read_bytes(), (parted.study.path / name).read_bytes())
        self.assertFalse((self.root / "parted" / ".parts").exists())
        with self.assertRaisesRegex(CruxscopeError, "another study"):
            cruxscope.capture(model, traces[:1], annotations[:1], self.root / "parted", progress=False)

    def test_a_model_is_left_as_it_was(self):
        folder = self.fixtures()[0]
        model = model_of(folder).train()
        next(model.parameters()).requires_grad_(False)
        before = [(parameter.requires_grad, parameter.detach().clone()) for parameter in model.parameters()]
        cruxscope.capture(model, *traces_of(json.loads((folder / "expected.json").read_text())), progress=False)
        self.assertTrue(model.training)
        for parameter, (was, value) in zip(model.parameters(), before, strict=True):
            self.assertTrue(parameter.requires_grad == was and parameter.grad is None and (parameter == value).all())
        self.assertFalse(any(module._forward_hooks for module in model.modules()))

    def test_all_linear_modules_hold_the_seven(self):
        folder = self.fixtures()[0]
        expected, model = json.loads((folder / "expected.json").read_text()), model_of(folder)
        seven = cruxscope.capture(model, *traces_of(expected), progress=False)
        everything = cruxscope.capture(model, *traces_of(expected), modules="all", progress=False)
        np.testing.assert_allclose(everything.importance.values, seven.importance.values, rtol=1e-12, atol=0)
        only = cruxscope.capture(model, *traces_of(expected), modules=lambda name: name.endswith("up_proj"), progress=False)
        picked = [name for name in everything.importance.coords["component"] if name.endswith("up_proj")]
        np.testing.assert_allclose(only.importance.values, everything.importance.sel(component=picked).values, rtol=1e-12, atol=0)


class Others(unittest.TestCase):
    """Small random models of transformers; no fixtures."""

    def setUp(self):
        support.needs("torch")
        support.needs("transformers")
        import torch

        torch.manual_seed(5)
        self.traces = [{"id": "a", "input_ids": [1, 5, 9, 3, 7, 2, 8, 4, 6, 1, 5, 9]}, {"id": "b", "input_ids": [2, 3, 4, 5, 6, 7]}]
        segments = [{"label": "backtracking", "start": 6, "last": 9}, {"label": "adding-knowledge", "start": 1, "last": 3}]
        self.annotations = [{"id": "a", "segments": segments}, {"id": "b", "segments": [{"label": "adding-knowledge", "start": 2, "last": 4}]}]

    def build(self, kind, **settings):
        import transformers

        sizes = {
            "vocab_size": 20,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 24,
        }
        tokens = {"pad_token_id": None, "bos_token_id": 0, "eos_token_id": 1}
        config = getattr(transformers, f"{kind}Config")(**{**sizes, **tokens, "max_position_embeddings": 64, **settings})
        return getattr(transformers, f"{kind}ForCausalLM")(config)

    def test_fused_modules_are_split_by_rows(self):
        model = self.build("Phi3")
        captured = cruxscope.capture(model, self.traces, self.annotations, progress=False)
        everything = cruxscope.capture(model, self.traces, self.annotations, modules="all", progress=False)
        self.assertEqual(captured.importance.shape, (4, 14))
        self.assertEqual(everything.importance.shape, (4, 8))
        # The products of channels add up, whichever way they are cut; only the norms that scale the vectors differ. Unfused maps are the same.
        for mine, theirs in (("1_o", "model.layers.0.self_attn.o_proj"), ("2_down", "model.layers.1.mlp.down_proj")):
            np.testing.assert_allclose(captured.importance.sel(component=mine).values, everything.importance.sel(component=theirs).values, rtol=1e-10)

    def test_gradients_are_those_of_finite_differences(self):
        import torch

        from cruxscope.attribution import Segment
        from cruxscope.hooks import Hooked, components_of
        from cruxscope.instances import Instance

        model = self.build("Olmo2").double().eval()
        components, _ = components_of(model, model.config, None)
        instance = Instance("a", self.traces[0]["input_ids"], [Segment("backtracking", 6, 9)], 0, None)
        part = Hooked(model, components).interpret(instance, "paper")
        gradient, ids = part.gradients[0][2], torch.tensor([instance.ids])
        place = {component.name: bounds for component, bounds in zip(components, Hooked(model, components).bounds, strict=True)}

        def loss(path, channel, row, step):
            def nudge(module, inputs, output):
                changed = output.clone()
                changed[0, row, channel] += step
                return changed

            handle = dict(model.named_modules())[path].register_forward_hook(nudge)
            with torch.no_grad():
                logits = model(ids).logits[0]
            handle.remove()
            return float(torch.nn.functional.cross_entropy(logits[0:9], ids[0, 1:10]))

        # The model's norms compute in float32 whatever its precision, hence the tolerance.
        step = 1e-5
        for name, path in (
            ("1_k", "model.layers.0.self_attn.k_proj"),
            ("2_up", "model.layers.1.mlp.up_proj"),
            ("1_down", "model.layers.0.mlp.down_proj"),
        ):
            for channel in (0, 3):
                mean = sum((loss(path, channel, row, step) - loss(path, channel, row, -step)) / (2 * step) for row in range(1, 10)) / 9
                self.assertAlmostEqual(mean, gradient[place[name][0] + channel], delta=1e-5 + 2e-3 * abs(mean))

    def test_an_architecture_that_the_program_refuses(self):
        # Queries, keys and values are clipped, as in OLMo 1.7.
        model = self.build("Olmo", clip_qkv=0.5).double().eval()
        captured = cruxscope.capture(model, self.traces, self.annotations, progress=False)
        difference = np.abs(captured.relative_importance.values - by_autograd(model, self.traces, self.annotations)).max()
        self.assertLess(difference, GATE)
        support.needs_program()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            files = [cruxscope.Records(lines).write(Path(folder) / name) for lines, name in ((self.traces, "t.jsonl"), (self.annotations, "a.jsonl"))]
            with self.assertRaisesRegex(CruxscopeError, "clip_qkv") as refused:
                flags = {"traces": files[0], "annotations": files[1], "dry_run": True}
                cruxscope.run("interpret", progress=False, model=folder, out=Path(folder) / "study", **flags)
            self.assertEqual(refused.exception.code, 2)
        print(f"\ncapture on OLMo with clipped queries, which the program refuses, against plain autograd: {difference:.1e} at the most")

    def test_what_is_not_understood_is_refused_by_name(self):
        with self.assertRaisesRegex(CruxscopeError, "experts"):
            cruxscope.capture(self.build("Mixtral", num_local_experts=2), self.traces, self.annotations, progress=False)
        with self.assertRaisesRegex(CruxscopeError, "rows for|called twice|does not reach|not called"):
            cruxscope.capture(self.build("Mixtral", num_local_experts=4), self.traces, self.annotations, modules="all", progress=False)
        model = self.build("Llama")
        for message, change in (
            ("vocabulary", {"traces": [{"id": "a", "input_ids": [1, 99]}]}),
            ("tokenizer", {"traces": [{"id": "a", "prompt": "x", "output": "y"}]}),
            ("nothing in common", {"traces": [{"id": "z", "input_ids": [1, 2]}]}),
            ("covers tokens", {"annotations": [{"id": "a", "segments": [{"label": "backtracking", "start": 3, "last": 99}]}]}),
            ("has the label", {"annotations": [{"id": "a", "segments": [{"label": "musing", "start": 3, "last": 5}]}]}),
            ("no segment is left", {"annotations": [{"id": "a", "segments": [{"label": "backtracking", "start": 0, "last": 0}]}]}),
            ("no definition", {"definition": "mine"}),
            ("leave out the folder", {"modules": "all", "out": "nowhere"}),
            ("modules is", {"modules": "some"}),
        ):
            arguments = {"traces": self.traces, "annotations": self.annotations, "progress": False, **change}
            with self.assertRaisesRegex(CruxscopeError, message):
                cruxscope.capture(model, **arguments)


if __name__ == "__main__":
    unittest.main()
