"""Studies in a notebook: the page from memory, the figure where there is none."""

import re
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import support

import cruxscope


class Showing(unittest.TestCase):
    def setUp(self):
        support.needs_program()

    def test_a_figure_where_there_is_no_page(self):
        study = cruxscope.load(support.shipped()[0])
        figure = cruxscope.show(study, static=True, behaviour=study.behaviours[0])
        self.assertIsInstance(figure, cruxscope.Figure)
        self.assertTrue(figure._repr_svg_().startswith("<svg"))
        pair = support.shipped()[:2]
        shift = cruxscope.show(*pair, static=True, view="shift")
        self.assertNotEqual(shift.svg, figure.svg)

    def test_the_page_is_served_from_memory_under_a_secret_address(self):
        folder = cruxscope.find_page()
        if folder is None:
            if support.required("page"):
                self.fail("no page is installed")
            self.skipTest("there is no page")
        page = cruxscope.show(*support.shipped()[:2])
        self.addCleanup(page.close)
        self.assertIn(page.url, page._repr_html_())

        def get(path):
            with urllib.request.urlopen(path, timeout=10) as answer:
                return answer.headers["Content-Type"], answer.read()

        root = page.url.rpartition("/")[0]
        kind, index = get(page.url)
        self.assertTrue(kind.startswith("text/html") and b"<canvas" in index)
        kind, program = get(f"{root}/cruxscope_web_bg.wasm")
        self.assertEqual((kind, program), ("application/wasm", (folder / "cruxscope_web_bg.wasm").read_bytes()))
        studies = re.findall(rb"[\w/.-]+/study\.json", index) or [b"studies"]
        self.assertTrue(studies)
        host = re.match(r"http://127\.0\.0\.1:\d+", page.url)[0]
        for wrong in (f"{host}/index.html", f"{root}/../../etc/passwd", f"{root}/nothing", f"{host}/"):
            with self.assertRaises(urllib.error.HTTPError):
                get(wrong)
        self.assertFalse(Path("site").exists())


if __name__ == "__main__":
    unittest.main()
