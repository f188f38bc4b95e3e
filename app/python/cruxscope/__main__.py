"""``python -m cruxscope``: the program."""

from __future__ import annotations

import os
import subprocess
import sys

from .program import CruxscopeError, find_program


def main() -> int:
    """Runs the program in the place of this process, with the same arguments."""
    try:
        program = str(find_program())
    except CruxscopeError as error:
        print(f"cruxscope: {error}", file=sys.stderr)
        return 1
    line = [program, *sys.argv[1:]]
    # `cruxscope doctor` asks this Python, rather than the first on the PATH.
    os.environ["CRUXSCOPE_INTERPRETER"] = sys.executable
    if os.name != "nt":
        os.execv(program, line)
    return subprocess.call(line)


if __name__ == "__main__":
    sys.exit(main())
