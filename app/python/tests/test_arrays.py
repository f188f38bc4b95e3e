"""Labelled arrays: picking, averaging, handing over."""

import unittest

import numpy as np
import support

from cruxscope import MODULES, LabelledArray
from cruxscope.arrays import component_name, split_component


class Arrays(unittest.TestCase):
    def setUp(self):
        self.values = np.arange(2 * 3 * 7, dtype=float).reshape(2, 3, 7)
        self.array = LabelledArray(self.values, {"behaviour": ("a", "b"), "layer": (1, 2, 3), "module": MODULES}, "numbers")

    def test_labels_pick_what_places_do(self):
        self.assertEqual(self.array.sel(behaviour="b", component="2_gate"), self.values[1, 1, 4])
        self.assertEqual(self.array.sel(behaviour="b", layer=2, module="gate_proj"), self.values[1, 1, 4])
        np.testing.assert_array_equal(self.array.sel(module=["up", "q"], behaviour="a").values, self.values[0][:, [5, 0]])
        self.assertEqual(self.array.sel(module=["up", "q"]).coords["module"], ("up_proj", "q_proj"))
        self.assertEqual(self.array.sel(layer=3).dims, ("behaviour", "module"))

    def test_what_is_not_there_is_named(self):
        for chosen in ({"layer": 4}, {"module": "side"}, {"colour": 1}, {"component": "0_q"}, {"component": "2_side"}, {"component": "q"}):
            with self.assertRaises(KeyError):
                self.array.sel(**chosen)

    def test_a_component_reads_what_it_prints(self):
        for layer in (1, 30):
            for module in MODULES:
                self.assertEqual(split_component(component_name(layer, module)), (layer, module))

    def test_shapes_must_fit(self):
        with self.assertRaises(ValueError):
            LabelledArray(self.values, {"behaviour": ("a", "b"), "layer": (1, 2), "module": MODULES})

    def test_means_and_the_largest(self):
        np.testing.assert_array_equal(self.array.mean("layer").values, self.values.mean(axis=1))
        self.assertEqual(self.array.top(2), [(("b", 3, "down_proj"), 41.0), (("b", 3, "up_proj"), 40.0)])
        np.testing.assert_array_equal(np.asarray(self.array), self.values)

    def test_pandas_keeps_labels(self):
        support.needs("pandas")
        series = self.array.to_pandas()
        self.assertEqual(series.loc["b", 2, "gate_proj"], self.values[1, 1, 4])
        self.assertEqual(self.array.sel(behaviour="a").to_pandas().loc[3, "q_proj"], self.values[0, 2, 0])
        self.assertEqual(self.array.sel(behaviour="a", layer=1).to_pandas()["down_proj"], 6.0)

    def test_a_map_has_a_panel_for_each_behaviour(self):
        support.needs("matplotlib")
        import matplotlib as mpl

        mpl.use("Agg")
        figure = self.array.plot()
        self.assertEqual(len([axis for axis in figure.axes if axis.images]), 2)
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), self.values[0])
        with self.assertRaises(ValueError):
            self.array.sel(layer=1).plot()


if __name__ == "__main__":
    unittest.main()
