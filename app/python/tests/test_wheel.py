"""The wheel: what is in it, by the rules of wheels; the same inputs give the same bytes."""

import base64
import csv
import hashlib
import importlib.util
import io
import re
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path


def backend():
    """The build backend, which lies beside the package."""
    path = Path(__file__).resolve().parents[1] / "build_wheel.py"
    if sys.version_info < (3, 11) and importlib.util.find_spec("tomli") is None:
        raise unittest.SkipTest("tomli is not installed")
    spec = importlib.util.spec_from_file_location("build_wheel", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Wheels(unittest.TestCase):
    def setUp(self):
        self.backend = backend()
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = Path(self.scratch.name)
        self.program = self.root / "cruxscope"
        self.program.write_bytes(Path(sys.executable).resolve().read_bytes())
        self.page = self.root / "page"
        self.page.mkdir()
        for name in ("cruxscope_web.js", "cruxscope_web_bg.wasm", "index.html"):
            (self.page / name).write_text(name)

    def test_it_holds_program_page_and_package_with_their_digests(self):
        wheel = self.backend.pack(self.program, self.page, self.root / "dist")
        name = re.fullmatch(r"cruxscope-(\d+\.\d+\.\d+)-py3-none-(\w+)\.whl", wheel.name)
        self.assertTrue(name, wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
            modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        info, data = f"cruxscope-{name[1]}.dist-info", f"cruxscope-{name[1]}.data"
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(files[f"{info}/RECORD"].decode()))}
        self.assertEqual(set(rows), set(files))
        for path, content in files.items():
            if not path.endswith("RECORD"):
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                self.assertEqual(rows[path], [f"sha256={digest}", str(len(content))])
        self.assertEqual(modes[f"{data}/scripts/cruxscope"] & 0o777, 0o755)
        shared = f"{data}/data/share/cruxscope/page/"
        self.assertEqual([path.removeprefix(shared) for path in files if path.startswith(shared)], ["cruxscope_web.js", "cruxscope_web_bg.wasm"])
        self.assertIn("cruxscope/py.typed", files)
        self.assertIn(f"Tag: py3-none-{name[2]}", files[f"{info}/WHEEL"].decode())
        metadata = files[f"{info}/METADATA"].decode()
        for line in ("Requires-Dist: numpy>=1.24", "Provides-Extra: torch", f"Version: {name[1]}", "License-File: LICENSE-MIT"):
            self.assertIn(line, metadata)
        again = self.backend.pack(self.program, self.page, self.root / "again")
        self.assertEqual(again.read_bytes(), wheel.read_bytes())

    def test_without_a_page_and_without_a_program(self):
        wheel = self.backend.pack(self.program, None, self.root / "dist")
        with zipfile.ZipFile(wheel) as archive:
            self.assertFalse([name for name in archive.namelist() if "/page/" in name])
        for program, page in ((self.root / "nothing", None), (self.program, self.root / "dist")):
            with self.assertRaises(SystemExit):
                self.backend.pack(program, page, self.root / "dist")

    @unittest.skipUnless(sys.platform == "linux", "platforms of Linux")
    def test_the_platform_is_that_of_the_programs_libraries(self):
        content = self.program.read_bytes()
        needed = self.backend.needed_libraries(content)
        try:
            dynamic = subprocess.run(["readelf", "-d", str(self.program)], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            self.assertIn("libc.so.6", needed)
        else:
            self.assertEqual(needed, re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
        self.assertRegex(self.backend.platform(self.program), r"^(many)?linux_")
        self.assertEqual(self.backend.needed_libraries(b"#!/bin/sh\n"), [])
        # A library that not every system has takes the promise away.
        (self.root / "foreign").write_bytes(content.replace(b"\0libc.so.6\0", b"\0libx.so.6\0"))
        self.assertRegex(self.backend.platform(self.root / "foreign"), r"^linux_")


if __name__ == "__main__":
    unittest.main()
