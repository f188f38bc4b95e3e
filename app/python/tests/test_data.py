"""Traces, annotations and samples as records."""

import gzip
import json
import tempfile
import unittest
from pathlib import Path

import support

import cruxscope
from cruxscope import CruxscopeError
from cruxscope.data import lines


class Records(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = Path(self.scratch.name)
        self.rows = [{"id": 1, "question": "Où?", "completion": "Là\u2028bas."}, {"id": 2, "question": "", "completion": "b"}]

    def test_traces_come_from_any_rows(self):
        traces = cruxscope.traces_from(self.rows, prompt="question", output="completion")
        self.assertEqual(traces, [{"id": "1", "prompt": "Où?", "output": "Là\u2028bas."}, {"id": "2", "prompt": "", "output": "b"}])
        for name in ("traces.jsonl", "traces.jsonl.gz"):
            self.assertEqual(lines(traces.write(self.root / name)), traces)
        numbered = cruxscope.traces_from(iter(self.rows), prompt=lambda row: row["question"].upper(), output="completion", id=None)
        self.assertEqual([trace["id"] for trace in numbered], ["1", "2"])
        self.assertEqual(numbered[0]["prompt"], "OÙ?")
        annotations = cruxscope.annotations_from(self.rows, annotated="completion")
        self.assertEqual(annotations[1], {"id": "2", "annotated": "b"})

    def test_a_frame_of_pandas_is_rows_too(self):
        support.needs("pandas")
        import pandas

        frame = pandas.DataFrame(self.rows)
        self.assertEqual(cruxscope.traces_from(frame, prompt="question", output="completion")[1]["id"], "2")
        self.assertEqual(list(cruxscope.Records([{"a": {"b": 1}}]).to_pandas().columns), ["a.b"])

    def test_faults_name_the_row_or_the_line(self):
        for message, change in (
            ("no column", {"prompt": "nothing"}),
            ("earlier row", {"id": lambda row: "same"}),
            ("no text", {"prompt": lambda row: [{"role": "user"}]}),
        ):
            with self.assertRaisesRegex(CruxscopeError, message):
                cruxscope.traces_from(self.rows, **{"prompt": "question", "output": "completion", **change})
        with self.assertRaisesRegex(CruxscopeError, "no row"):
            cruxscope.traces_from([])
        for content, message in (
            (b'{"id": "a"}\nnonsense\n', "line 2"),
            (b'{"id": "a"}\n\n[1]\n', "line 3"),
            (gzip.compress(b"{}\n" * 9)[:-6], "could not read"),
        ):
            (self.root / "x").write_bytes(content)
            with self.assertRaisesRegex(CruxscopeError, message):
                lines(self.root / "x")

    def test_samples_of_the_program_are_read(self):
        sample = {"key": "k", "id": "FOLIO/1", "pass": 1, "seed": 1, "output": "So.", "finish": "stop"}
        (self.root / "samples.jsonl").write_text(json.dumps(sample) + "\n")
        self.assertEqual(cruxscope.samples(self.root / "samples.jsonl"), [sample])
        with (self.root / "samples.jsonl").open("a") as file:
            file.write(json.dumps(sample)[:20])
        self.assertEqual(cruxscope.samples(self.root / "samples.jsonl"), [sample])
        (self.root / "samples.jsonl").write_text('{"id": "a"}\n')
        with self.assertRaisesRegex(CruxscopeError, "no sample"):
            cruxscope.samples(self.root / "samples.jsonl")


if __name__ == "__main__":
    unittest.main()
