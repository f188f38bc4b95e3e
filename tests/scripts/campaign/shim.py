"""The library that counts and breaks system calls, compiled where there is a compiler."""

import pathlib
import shutil
import subprocess
import sys


def build(folder, part):
    """The library, or nothing and a word why not."""
    if not sys.platform.startswith("linux"):
        return part.skip("kills and errors at chosen system calls", "they need LD_PRELOAD of Linux")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return part.skip("kills and errors at chosen system calls", "there is no C compiler")
    library = folder / "shim.so"
    source = pathlib.Path(__file__).with_name("shim.c")
    built = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", library, source, "-ldl"], capture_output=True, text=True)
    if built.returncode:
        return part.skip("kills and errors at chosen system calls", f"the library cannot be compiled: {built.stderr.strip()[:200]}")
    return library
