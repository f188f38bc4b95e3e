"""Every number of every shipped study against the program's own JSON."""

import json
import math
import shutil
import tempfile
import unittest
from pathlib import Path

import numpy as np
import support

import cruxscope
from cruxscope import BEHAVIOURS, MODULES, CruxscopeError


class Studies(unittest.TestCase):
    def test_numbers_are_those_that_the_program_shows(self):
        support.needs_program()
        for path in support.shipped():
            with self.subTest(path.name):
                study, shown = cruxscope.load(path), cruxscope.run("show", path, progress=False)
                self.assertEqual((study.title, study.definition, study.layers), (shown["title"], shown["definition"], shown["layers"]))
                self.assertEqual(list(study.instances), [instance["id"] for instance in shown["instances"]])
                self.assertEqual((list(BEHAVIOURS), list(MODULES)), (shown["behaviours"], shown["modules"]))
                for name in ("importance", "relative_importance"):
                    found = getattr(study, name)
                    for behaviour in BEHAVIOURS:
                        np.testing.assert_allclose(found.sel(behaviour=behaviour).values, shown[name][behaviour], rtol=1e-9, atol=0)
                self.assertEqual(set(study.behaviours), set(shown["top"]))
                for behaviour, rows in shown["top"].items():
                    first = study.relative_importance.sel(behaviour=behaviour).top(len(rows))
                    self.assertEqual([row["component"] for row in rows], [cruxscope.arrays.component_name(*labels) for labels, _ in first])

    def test_contributions_give_the_importance(self):
        for path in support.shipped():
            with self.subTest(path.name):
                study = cruxscope.load(path)
                total = np.abs(study.contributions.values.sum(axis=0))
                divisor = study.weights.values.sum(axis=0)[:, None, None]
                expected = np.divide(total, divisor, out=np.zeros_like(total), where=divisor > 0)
                np.testing.assert_allclose(study.importance.values, expected, rtol=1e-9, atol=1e-300)
                self.assertAlmostEqual(float(study.mean.values.sum()), 1.0, places=9)

    def test_channels_add_up_to_the_importance(self):
        held = [path for path in support.shipped() if (path / "channels.safetensors").is_file()]
        self.assertTrue(held)
        for path in held:
            study = cruxscope.load(path)
            for behaviour in study.behaviours:
                for module in ("q", "down_proj"):
                    sums = np.abs(study.channels(behaviour, module).values.astype(float).sum(axis=1))
                    # Channels are float32 and of both signs.
                    scale = np.abs(study.channels(behaviour, module).values).sum(axis=1).max()
                    np.testing.assert_allclose(sums, study.importance.sel(behaviour=behaviour, module=module).values, atol=1e-6 * scale)

    def test_intervals_hold_the_value_most_of_the_time(self):
        for path in support.shipped():
            study = cruxscope.load(path)
            if len(study.instances) < 2:
                continue
            for behaviour in study.behaviours:
                ends = study.intervals(behaviour, resamples=400)
                low, high = ends.sel(end="low").values, ends.sel(end="high").values
                value = study.relative_importance.sel(behaviour=behaviour).values
                self.assertTrue((low <= high).all())
                self.assertGreater(((low <= value) & (value <= high)).mean(), 0.7)

    def test_texts_and_files_beside_are_read(self):
        traced = [cruxscope.load(path) for path in support.shipped() if json.loads((path / "study.json").read_text()).get("traces")]
        self.assertTrue(traced)
        for study in traced:
            self.assertEqual(sorted(trace["id"] for trace in study.traces), sorted(entry["id"] for entry in study.manifest["traces"]))
        self.assertIsNone(traced[0].beside("nothing.json"))

    def test_a_study_without_a_sketch_has_none(self):
        for path in support.shipped():
            self.assertEqual(cruxscope.load(path).sensitivity is None, not (path / "sensitivity.safetensors").is_file())

    def test_changed_and_foreign_files_are_refused(self):
        source = support.shipped()[0]
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "study"
            shutil.copytree(source, copy)
            arrays = copy / "importance.safetensors"
            data = bytearray(arrays.read_bytes())
            data[-1] ^= 1
            arrays.write_bytes(bytes(data))
            with self.assertRaisesRegex(CruxscopeError, "SHA-256"):
                cruxscope.load(copy)
            arrays.unlink()
            with self.assertRaisesRegex(CruxscopeError, "cannot be read"):
                cruxscope.load(copy / "study.json")
            for text, said in (('{"schema": 99}', "newer"), ("{", "no JSON"), ("[]", "no manifest")):
                (copy / "study.json").write_text(text)
                with self.assertRaisesRegex(CruxscopeError, said):
                    cruxscope.load(copy)
            with self.assertRaisesRegex(CruxscopeError, "is no study"):
                cruxscope.load(Path(scratch) / "nowhere")
            manifest = json.loads((source / "study.json").read_text())
            manifest["arrays"][0]["file"] = "../importance.safetensors"
            (copy / "study.json").write_text(json.dumps(manifest))
            with self.assertRaises(CruxscopeError):
                cruxscope.load(copy)


class Shifts(unittest.TestCase):
    def test_a_shift_is_the_difference_of_what_was_loaded(self):
        support.needs_program()
        studies = [path for path in support.shipped() if path.parent.name == "studies"]
        self.assertGreater(len(studies), 1)
        start = cruxscope.load(studies[0])
        for path in studies[1:4]:
            end = cruxscope.load(path)
            shifts = {way: cruxscope.shift(start, end, way, allow_different=("all",)) for way in ("decreases", "increases", "net")}
            net = shifts["net"]
            held = [name for name in BEHAVIOURS if name in start.behaviours and name in end.behaviours]
            self.assertEqual(list(net.values.coords["behaviour"]), [*held, "mean"])
            for behaviour in held:
                a, b = (study.relative_importance.sel(behaviour=behaviour).values for study in (start, end))
                np.testing.assert_allclose(net.values.sel(behaviour=behaviour).values, b - a, rtol=0, atol=1e-12)
                np.testing.assert_allclose(shifts["decreases"].values.sel(behaviour=behaviour).values, np.maximum(a - b, 0), rtol=0, atol=1e-12)
                np.testing.assert_allclose(shifts["increases"].values.sel(behaviour=behaviour).values, np.maximum(b - a, 0), rtol=0, atol=1e-12)
            known = ~np.isnan(net.low.values)
            self.assertTrue(known.any())
            self.assertTrue((net.low.values[known] <= net.high.values[known]).all())

    def test_what_may_not_be_compared_is_refused_in_the_programs_words(self):
        support.needs_program()
        by_layers = {cruxscope.load(path).layers: path for path in support.shipped()}
        if len(by_layers) < 2:
            self.skipTest("all studies have the same number of layers")
        first, second = list(by_layers.values())[:2]
        with self.assertRaisesRegex(CruxscopeError, "layers") as caught:
            cruxscope.shift(first, second)
        self.assertEqual(caught.exception.code, 2)


class Sketches(unittest.TestCase):
    """A made-up sketch, as `cruxscope sensitivity` would write it: costs here and there are the same."""

    def setUp(self):
        support.needs_program()
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.study = Path(self.scratch.name) / "study"
        shutil.copytree(support.shipped()[0], self.study)
        self.write()

    def write(self):
        from safetensors.numpy import save_file

        model = json.loads((self.study / "study.json").read_text())["model"]
        random = np.random.default_rng(3)
        treatment = {"method": "rtn", "grid": "awq_asym", "group_size": 64, "clipping": "none"}
        formats = [{"name": f"rtn-{bits}-g64", "treatment": {"bits": bits, **treatment}} for bits in (2, 3, 4, 8)]
        windows, draws, components = ["a", "b", "c", "d", "e", "f"], 2, 7 * model["layers"]
        facts = {
            "schema": 1, "program": "cruxscope", "model": model["name"], "model_files": model["files"], "layers": model["layers"],
            "modules": model["modules"], "data": [], "windows": windows, "draws": draws, "seed": 0, "scopes": ["all", "backtracking"],
            "formats": formats, "devices": ["cpu, float32"], "settings": {},
        }  # fmt: skip
        scale = 2.0 ** -np.arange(len(formats))
        shape = (components, len(formats))
        sizes = np.array([module["outputs"] * module["inputs"] for module in model["modules"]] * model["layers"], float)
        arrays = {
            "bits": sizes[:, None] * np.array([2.5, 3.5, 4.5, 8.5]),
            "error/weight": np.ones(shape),
            "error/input": np.ones(shape),
        }
        for scope in facts["scopes"]:
            arrays[f"sketch/{scope}"] = (random.normal(size=(len(windows) * draws, *shape)) * scale).astype(np.float32)
            arrays[f"score/{scope}"] = (random.uniform(0.5, 2, size=(len(windows), *shape)) * scale**2).astype(np.float32)
            arrays[f"positions/{scope}"] = np.full(len(windows), 40, np.int32)
        save_file(arrays, self.study / "sensitivity.safetensors", {"cruxscope": json.dumps(facts)})

    def test_costs_are_those_of_the_program(self):
        sketch = cruxscope.load(self.study).sensitivity
        for scope in ("all", "backtracking"):
            recipe = cruxscope.allocate(self.study, target_bits=4.0, scope=scope)
            cost = sketch.cost(recipe.formats, scope)
            self.assertTrue(math.isclose(cost.kl, recipe.optimistic_kl, rel_tol=1e-9))
            self.assertLessEqual(recipe.predicted.bits_per_weight, 4.0)
            self.assertAlmostEqual(cost.bits_per_weight, recipe.predicted.bits_per_weight, places=12)
            self.assertAlmostEqual(cost.bits, recipe.predicted.bits, places=3)
        smallest = cruxscope.allocate(self.study, target_bits=2.5)
        self.assertEqual(set(smallest.formats.values()), {"rtn-2-g64"})
        self.assertTrue(math.isclose(sketch.cost("rtn-2-g64").kl, smallest.predicted.kl, rel_tol=1e-9))

    def test_recipes_go_to_other_tools(self):
        recipe = cruxscope.allocate(self.study, target_bits=4.0)
        for tool, write in (("gptqmodel", recipe.to_gptqmodel), ("llm-compressor", recipe.to_llm_compressor)):
            texts = write(Path(self.scratch.name) / tool)
            self.assertTrue(texts and all(texts.values()))
            for name, text in texts.items():
                self.assertEqual((Path(self.scratch.name) / tool / name).read_text(), text)
        path = recipe.save(Path(self.scratch.name) / "recipe.json")
        self.assertEqual(json.loads(path.read_text())["components"][0]["component"], "1_q")
        with self.assertRaisesRegex(CruxscopeError, "no tool"):
            recipe.to("hammer")

    def test_costs_are_those_of_plain_loops(self):
        sketch = cruxscope.load(self.study).sensitivity
        recipe = {component: (None, *sketch.formats)[place % 5] for place, component in enumerate(sketch.components)}
        values, total = sketch.sketch().values, 0.0
        for draw in values:
            sum_of = sum(float(draw[place, place % 5 - 1]) for place in range(len(sketch.components)) if place % 5)
            total += sum_of**2
        self.assertTrue(math.isclose(sketch.cost(recipe).kl, total / (2 * 2 * 6 * 40), rel_tol=1e-9))
        alone = sketch.alone()
        self.assertTrue(math.isclose(alone.sel(component="1_q", format="rtn-3-g64"), sketch.cost({"1_q": "rtn-3-g64"}).kl, rel_tol=1e-9))
        with self.assertRaises(KeyError):
            sketch.cost("rtn-5-g64")
        with self.assertRaises(KeyError):
            sketch.sketch("deduction")


if __name__ == "__main__":
    unittest.main()
