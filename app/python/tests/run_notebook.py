"""Executes a notebook with nbclient, and writes its pictures, its frames and what it prints into a folder to be looked at.

usage: run_notebook.py NOTEBOOK OUT
"""

import base64
import sys
from pathlib import Path


def main() -> None:
    """Runs it; a cell that fails is a failure."""
    import nbformat
    from nbclient import NotebookClient

    notebook, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    content = nbformat.read(notebook, as_version=4)
    NotebookClient(content, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(notebook.parent)}}).execute()
    pictures = frames = 0
    for number, cell in enumerate(content.cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                pictures += 1
                (out / f"notebook-{number:02}.png").write_bytes(base64.b64decode(data["image/png"]))
            if "image/svg+xml" in data:
                pictures += 1
                (out / f"notebook-{number:02}.svg").write_text(data["image/svg+xml"], encoding="utf-8")
            frames += "<iframe" in data.get("text/html", "")
            for text in (output.get("text", ""), data.get("text/plain", "")):
                print(text.rstrip()) if text.strip() else None
    print(f"{notebook.name}: {len(content.cells)} cells, {pictures} pictures, {frames} frames")
    if not pictures:
        sys.exit("the notebook has drawn nothing")


if __name__ == "__main__":
    main()
