"""Parts of components, such as experts, against the program's own JSON."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import support

import cruxscope


class Experts(unittest.TestCase):
    def test_parts_are_those_that_the_program_shows_and_add_up(self):
        support.needs_program()
        root = support.needs_fixtures("architectures")
        with tempfile.TemporaryDirectory() as scratch:
            for family in ("qwen3_moe", "deepseek_v3", "qwen3_next"):
                with self.subTest(family):
                    out = Path(scratch) / family
                    files = {"traces": root / "traces.jsonl", "annotations": root / "annotations.jsonl"}
                    cruxscope.run("interpret", model=root / family, **files, out=out, channels=True, progress=False)
                    study = cruxscope.load(out)
                    self.compare(study, cruxscope.run("show", out, top=10_000, progress=False))

    def compare(self, study, shown):
        parts = study.parts
        self.assertEqual(parts.importance.values.shape, (4, len(parts.names)))
        for behaviour, rows in shown["top_parts"].items():
            self.assertEqual(len(rows), len(parts.names))
            for row in rows:
                at = {"behaviour": behaviour, "part": row["part"]}
                self.assertAlmostEqual(float(parts.importance.sel(**at)), row["importance"], delta=1e-9 * row["importance"] + 1e-300)
                self.assertAlmostEqual(float(parts.relative_importance.sel(**at)), row["relative_importance"], places=12)
                self.assertEqual(float(parts.shares.sel(of="all", part=row["part"])), row["share"])
                self.assertEqual(float(parts.shares.sel(of=behaviour, part=row["part"])), row["share_of_behaviour"])
                channels = study.part_channels(behaviour, row["part"]).values.astype(float)
                size = np.abs(channels).sum()
                self.assertAlmostEqual(abs(channels.sum()), row["importance"], delta=1e-5 * size + 1e-12)
            for component in {name.partition(".")[0] for name in parts.names}:
                own = sum(float(parts.importance.sel(behaviour=behaviour, part=name)) for name in parts.of(component))
                whole = float(study.importance.sel(behaviour=behaviour, component=component))
                self.assertAlmostEqual(own, whole, delta=1e-9 * whole)

    def test_a_study_of_plain_components_has_no_parts(self):
        for path in support.shipped():
            self.assertIsNone(cruxscope.load(path).parts)


if __name__ == "__main__":
    unittest.main()
