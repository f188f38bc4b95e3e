"""Studies in a notebook: the whole page in a frame, served from memory on this machine, or a figure where there is no page."""

from __future__ import annotations

import html
import secrets
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .program import CruxscopeError, find_page, run
from .study import Study

__all__ = ["Figure", "Page", "show"]

_TYPES = {
    ".css": "text/css", ".csv": "text/csv; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript",
    ".json": "application/json", ".png": "image/png", ".svg": "image/svg+xml", ".ttf": "font/ttf", ".wasm": "application/wasm",
}  # fmt: skip


class Figure:
    """A figure as SVG, drawn by ``cruxscope export``."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Writes it into a file."""
        path = Path(path)
        path.write_text(self.svg, encoding="utf-8")
        return path


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is nothing to report in a cell."""


class Page:
    """The page with studies, served from memory by a thread until :meth:`close` or the end of Python.

    It listens on this machine only, under an address that nobody can guess. Where the notebook runs on another machine than the
    browser, forward the port (:attr:`port`), or use ``show(…, static=True)``.
    """

    def __init__(self, files: dict[str, bytes], height: int) -> None:
        self.height = height
        prefix = f"/{secrets.token_urlsafe(16)}/"
        served = {prefix + name: data for name, data in files.items()}
        served[prefix] = files["index.html"]

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(with_body=True)

            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def answer(self, with_body: bool) -> None:
                path = self.path.partition("?")[0]
                data = served.get(path)
                self.send_response(404 if data is None else 200)
                kind = "text/plain" if data is None else _TYPES.get(Path(path).suffix or ".html", "application/octet-stream")
                body = data or b""
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """A notebook is no log."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}{prefix}index.html"
        threading.Thread(target=self._server.serve_forever, name="cruxscope-page", daemon=True).start()

    def _repr_html_(self) -> str:
        style = f"width:100%;height:{self.height}px;border:1px solid #8884;border-radius:4px"
        return f'<iframe src="{html.escape(self.url)}" style="{style}" allow="fullscreen" title="Cruxscope"></iframe>'

    def __repr__(self) -> str:
        return f"Page at {self.url}"

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()


def show(
    *studies: Study | str | Path, static: bool = False, page: str | Path | None = None, height: int = 720, view: str = "importance", **flags: Any
) -> Page | Figure:
    """Shows studies in a notebook.

    With a built page (in the wheel, or ``page=DIR``) it is the whole window: views, tour, export. With ``static=True``, or where there is no
    page, it is a figure: ``view`` is one of ``cruxscope export --view``, and further flags go there (``behaviour="backtracking"``,
    ``direction="net"``, ``color_scale="log"``).
    """
    if not studies:
        raise CruxscopeError("name at least one study")
    places = [study.path if isinstance(study, Study) else Path(study) for study in studies]
    folder = Path(page) if page is not None else find_page()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "site"
        if static or folder is None:
            run("export", *places, progress=False, view=view, format="svg", out=out, **flags)
            return Figure(min(out.glob("*.svg")).read_text(encoding="utf-8"))
        run("publish", *places, progress=False, page=folder, out=out)
        files = {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    return Page(files, height)
