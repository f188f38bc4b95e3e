"""The program itself: where it is, and how it is run from Python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["CruxscopeError", "find_page", "find_program", "run"]

#: Names a program that is to be used instead of the installed one.
PROGRAM_VARIABLE = "CRUXSCOPE_PROGRAM"
#: Names a built page that is to be used instead of the installed one.
PAGE_VARIABLE = "CRUXSCOPE_PAGE"
_PAGE_PROGRAM = "cruxscope_web_bg.wasm"

#: Commands that print their results as JSON; the others print nothing that a program would read.
JSON_COMMANDS = frozenset({
    "allocate", "analyze outputs", "analyze sweep", "annotate agreement", "annotate ratings", "annotate run", "annotate summary",
    "bench compress", "bench device", "bench generate", "bench interpret", "bench sensitivity", "benchmark published", "benchmark run",
    "benchmark status", "compare", "compress", "compression-report", "definitions", "demo", "devices", "doctor", "generate", "interpret", "ledger",
    "perplexity", "reproduce appendix-m", "reproduce paper", "reproduce table-3", "reproduce table-4", "reproduce table-9", "score",
    "sensitivity", "shard merge", "shard plan", "shard status", "shift", "show", "stability", "trial", "validate",
})  # fmt: skip


class CruxscopeError(RuntimeError):
    """The program ended with an error, or there is none; the message is the program's own.

    Attributes
    ----------
    code
        The exit code: 1, it failed and may work another time; 2, the input or the command is wrong; 3, no second try can help; 75, it
        was told to stop and goes on when it is run again. ``None`` where the error is Python's side.
    command
        The command line, for a bug report.

    """

    def __init__(self, message: str, code: int | None = None, command: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.command = tuple(command)


def _installed(ends_with: str) -> Path | None:
    """A file that was installed with this package, by the end of its name."""
    try:
        files = metadata.files("cruxscope") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.as_posix().endswith(ends_with):
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return path
    return None


def find_program() -> Path:
    """The program: the one that ``CRUXSCOPE_PROGRAM`` names, the one that was installed with this package, or one on the ``PATH``.

    Raises :class:`CruxscopeError` where there is none.
    """
    named = os.environ.get(PROGRAM_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise CruxscopeError(f"{PROGRAM_VARIABLE} names {named}, where no file is")
        return Path(named)
    name = "cruxscope.exe" if os.name == "nt" else "cruxscope"
    folder = "Scripts/" if os.name == "nt" else "bin/"
    found = _installed(folder + name) or shutil.which("cruxscope")
    if found is None:
        raise CruxscopeError(f"the program is neither installed with this package nor on the PATH; {PROGRAM_VARIABLE} can name it")
    return Path(found)


def find_page() -> Path | None:
    """The folder of the built page: the one that ``CRUXSCOPE_PAGE`` names, the installed one, or the one beside the program."""
    named = os.environ.get(PAGE_VARIABLE)
    if named:
        if not (Path(named) / _PAGE_PROGRAM).is_file():
            raise CruxscopeError(f"{PAGE_VARIABLE} names {named}, where no page is")
        return Path(named)
    installed = _installed(f"share/cruxscope/page/{_PAGE_PROGRAM}")
    if installed is not None:
        return installed.parent
    try:
        folder = find_program().resolve().parent
    except CruxscopeError:
        return None
    for page in (folder / "page", folder.parent / "share" / "cruxscope" / "page"):
        if (page / _PAGE_PROGRAM).is_file():
            return page
    return None


def arguments(command: str, positional: Sequence[Any], flags: dict[str, Any]) -> list[str]:
    """The command line of a call.

    ``max_length=512`` is ``--max-length 512``, ``True`` a flag alone, ``None`` and ``False`` no flag at all, and a list the flag once for
    each entry.
    """
    line = [*command.split(), *(str(argument) for argument in positional)]
    for key, value in flags.items():
        flag = "--" + key.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            line.append(flag)
        elif isinstance(value, (list, tuple)):
            for one in value:
                line += [flag, str(one)]
        else:
            line += [flag, str(value)]
    return line


def run(command: str, *positional: Any, progress: bool | Callable[[str], None] = True, **flags: Any) -> Any:
    """Runs a command of the program and gives its result.

    ``run("interpret", model="model", traces="traces.jsonl", annotations="annotations.jsonl", out="study")`` is what a shell calls
    ``cruxscope interpret --model model …``; see ``cruxscope COMMAND --help`` for the flags.

    Parameters
    ----------
    command
        The command, such as ``"show"`` or ``"shard plan"``.
    positional
        Arguments without a name.
    progress
        Whether what the program says on its way is shown as it comes: on a line of the notebook's cell, or on stderr. A function is
        called with each line instead.
    flags
        ``max_length=512`` is ``--max-length 512``, ``json=True`` a flag alone, a list a flag several times. Flags that Python reserves
        take an underscore at their end: ``from_="a"``.

    Returns
    -------
    What the program prints as JSON, as dictionaries and lists, for every command that knows ``--json``; else its text. Nothing is ever
    read out of its messages.

    Raises
    ------
    CruxscopeError
        With the program's message and exit code. ``KeyboardInterrupt`` is handed to the program, which keeps what it has finished.

    """
    if command in JSON_COMMANDS and not flags.get("dry_run"):
        flags.setdefault("json", True)
    line = [str(find_program()), *arguments(command, positional, flags)]
    code, out, err = _call(line, _listener(progress))
    if code != 0:
        raise CruxscopeError(_message(err, code), code, line)
    return json.loads(out) if flags.get("json") else out


def _call(line: list[str], listener: Callable[[str], None]) -> tuple[int, str, list[str]]:
    """Exit code, stdout and the lines of stderr of a process."""
    # In a group of its own, so that an interrupt reaches it once, from here: a second one would end it before it has tidied up.
    group: dict[str, Any] = {"start_new_session": True} if sys.platform != "win32" else {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(line, text=True, encoding="utf-8", errors="replace", **pipes, **group)
    said: list[str] = []
    stdout: list[str] = []
    assert process.stdout is not None and process.stderr is not None
    out, err = process.stdout, process.stderr

    def listen() -> None:
        for text in err:
            said.append(text.rstrip("\n"))
            listener(text.rstrip("\n"))

    threads = [threading.Thread(target=listen, daemon=True), threading.Thread(target=lambda: stdout.append(out.read()), daemon=True)]
    for thread in threads:
        thread.start()
    try:
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.CTRL_BREAK_EVENT)  # type: ignore[attr-defined]
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    finally:
        # Whoever the program has left behind may hold the pipes open.
        for thread in threads:
            thread.join(timeout=10)
            if not thread.is_alive():
                (err if thread is threads[0] else out).close()
    return code, "".join(stdout), said


def _message(said: list[str], code: int) -> str:
    """The program's last words: its error, which may have several lines."""
    for number in range(len(said) - 1, -1, -1):
        if said[number].startswith(("cruxscope: ", "error: ")):
            return "\n".join(said[number:]).removeprefix("cruxscope: ").strip()
    return "\n".join(said[-10:]).strip() or f"the program ended with code {code} and said nothing"


def _listener(progress: bool | Callable[[str], None]) -> Callable[[str], None]:
    if callable(progress):
        return progress
    if not progress:
        return lambda text: None
    handle = _notebook_line()
    if handle is not None:
        return handle
    return lambda text: print(text, file=sys.stderr)


def _notebook_line() -> Callable[[str], None] | None:
    """A line of the notebook's cell that is written over; nothing outside of notebooks."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import TextDisplayObject, display

    class Line(TextDisplayObject):
        def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
            return {"text/plain": str(self.data)}

    handle = display(Line(""), display_id=True)
    # Messages come from a thread; the kernel's display takes them from any.
    return lambda text: handle.update(Line(text))
