"""The program as a function: arguments, results, messages, interrupts; and `python -m cruxscope`."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import support

import cruxscope
from cruxscope import CruxscopeError, program

TINY = Path(__file__).resolve().parents[3] / "tests/fixtures/tiny"
INPUTS = {"model": TINY / "model", "traces": TINY / "traces.jsonl", "annotations": TINY / "annotations.jsonl"}


class Arguments(unittest.TestCase):
    def test_flags_are_those_of_the_command_line(self):
        flags = {"max_length": 5, "json": True, "channels": False, "title": None, "from_": "a", "export": ["x", "y"]}
        expected = ["shard", "plan", "one", "--max-length", "5", "--json", "--from", "a", "--export", "x", "--export", "y"]
        self.assertEqual(program.arguments("shard plan", ["one"], flags), expected)


class Running(unittest.TestCase):
    def setUp(self):
        support.needs_program()
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = Path(self.scratch.name)

    def test_a_result_is_what_the_program_prints_as_json(self):
        said = []
        result = cruxscope.run("interpret", out=self.root / "study", progress=said.append, threads=1, **INPUTS)
        self.assertEqual(result["manifest_digest"], cruxscope.run("show", self.root / "study", progress=False)["manifest_digest"])
        self.assertTrue(any("study saved" in line for line in said))
        self.assertEqual(cruxscope.load(self.root / "study").layers, result["layers"])
        names = [device["name"] for device in cruxscope.run("devices", progress=False)]
        self.assertIn("cpu", names)
        # Text where a command has no JSON, or is only planned.
        figures = cruxscope.run("export", self.root / "study", out=self.root, progress=False)
        self.assertTrue(Path(figures.strip()).is_file())
        cruxscope.run("interpret", out=self.root / "plan", dry_run=True, progress=False, **INPUTS)
        self.assertFalse((self.root / "plan").exists())

    def test_failures_carry_the_programs_message_and_code(self):
        with self.assertRaisesRegex(CruxscopeError, "^.*nowhere.*") as caught:
            cruxscope.run("show", self.root / "nowhere", progress=False)
        self.assertEqual(caught.exception.code, 2)
        self.assertNotIn("cruxscope: ", str(caught.exception))
        self.assertIn("show", caught.exception.command)
        with self.assertRaisesRegex(CruxscopeError, "unexpected argument|unrecognized") as caught:
            cruxscope.run("show", self.root, colour="red", progress=False)
        self.assertEqual(caught.exception.code, 2)

    def test_commands_with_json_are_known(self):
        """Walks the help of every command, and of those in groups."""
        found = set()

        def walk(words):
            help = subprocess.run([str(cruxscope.find_program()), *words, "--help"], capture_output=True, text=True, check=True).stdout
            section = re.search(r"^Commands:\n((?:  .*\n|\n)+)", help, re.MULTILINE)
            for name in re.findall(r"^  (\S+)  ", section[1], re.MULTILINE) if section else []:
                if name != "help":
                    walk([*words, name])
            if words and re.search(r"^ +--json\b", help, re.MULTILINE):
                found.add(" ".join(words))

        walk([])
        self.assertEqual(found, set(program.JSON_COMMANDS))

    @unittest.skipIf(os.name == "nt", "signals are another matter there")
    def test_an_interrupt_reaches_the_program_which_keeps_what_it_has(self):
        script = self.root / "slow"
        script.write_text(
            "#!/bin/sh\ntrap 'echo kept > \"$0.kept\"; exit 75' INT\necho 'cruxscope: begun' >&2\nfor i in 1 2 3 4 5 6 7 8 9 10; do sleep 1; done\n"
        )
        script.chmod(0o755)
        os.environ["CRUXSCOPE_PROGRAM"], before = str(script), os.environ.get("CRUXSCOPE_PROGRAM")
        self.addCleanup(lambda: os.environ.pop("CRUXSCOPE_PROGRAM") if before is None else os.environ.update(CRUXSCOPE_PROGRAM=before))
        # A shell that runs this in the background has it ignore interrupts.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        begun = threading.Event()

        def interrupt():
            begun.wait(20)
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with self.assertRaises(KeyboardInterrupt):
            cruxscope.run("interpret", progress=lambda line: begun.set())
        self.assertEqual((self.root / "slow.kept").read_text(), "kept\n")

    def test_no_program_is_said(self):
        for variable in ("CRUXSCOPE_PROGRAM", "CRUXSCOPE_PAGE"):
            os.environ[variable], before = str(self.root / "nothing"), os.environ.get(variable)
            find = cruxscope.find_program if variable.endswith("PROGRAM") else cruxscope.find_page
            try:
                with self.assertRaisesRegex(CruxscopeError, variable):
                    find()
            finally:
                os.environ.pop(variable) if before is None else os.environ.update({variable: before})

    def test_the_module_is_the_program(self):
        version = subprocess.run([sys.executable, "-m", "cruxscope", "--version"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(version, subprocess.run([str(cruxscope.find_program()), "--version"], capture_output=True, text=True, check=True).stdout)
        failed = subprocess.run([sys.executable, "-m", "cruxscope", "show", str(self.root / "nowhere")], capture_output=True, text=True, check=False)
        self.assertEqual(failed.returncode, 2)

    def test_doctor_tells_of_this_python(self):
        printed = subprocess.run([sys.executable, "-m", "cruxscope", "doctor", "--json"], capture_output=True, text=True, check=True).stdout
        report = json.loads(printed)
        self.assertEqual(report["python"]["version"], sys.version.split()[0])
        self.assertIn("numpy", report["python"]["packages"])
        self.assertIn("cpu", [device["name"] for device in report["devices"]])
        text = subprocess.run([sys.executable, "-m", "cruxscope", "doctor"], capture_output=True, text=True, check=True).stdout
        for word in ("memory", "device", "page", "Python", report["version"]):
            self.assertIn(word, text)


if __name__ == "__main__":
    unittest.main()
