"""What tests need beyond the checkout, and how they skip."""

from __future__ import annotations

import os
import unittest
from pathlib import Path

import cruxscope

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def shipped() -> list[Path]:
    """Every study of the repository."""
    found = sorted(path.parent for path in STUDIES.rglob("study.json"))
    assert found, f"no study lies under {STUDIES}"
    return found


def needs_program() -> Path:
    """The program; the test is skipped where there is none, unless a wheel is tested."""
    try:
        return cruxscope.find_program()
    except cruxscope.CruxscopeError as error:
        if required("program"):
            raise
        raise unittest.SkipTest(str(error)) from error


def needs_fixtures(*path: str) -> Path:
    """A folder of fixtures."""
    root = os.environ.get("CRUXSCOPE_FIXTURES")
    folder = Path(root or "../shared/fixtures").joinpath(*path)
    if not folder.is_dir():
        if required("fixtures"):
            raise AssertionError(f"{folder} is not there, and fixtures are required")
        raise unittest.SkipTest("there is no folder of fixtures")
    return folder


def needs(module: str) -> None:
    """A package of Python."""
    import importlib

    try:
        importlib.import_module(module)
    except ImportError as error:
        kind = {"torch": "python", "transformers": "python"}.get(module, module)
        if required(kind):
            raise
        raise unittest.SkipTest(f"{module} is not installed") from error


def required(kind: str) -> bool:
    """Whether the lack of a kind of thing is a failure."""
    return kind in os.environ.get("CRUXSCOPE_REQUIRE", "").split(",")


def needs_data() -> Path:
    """The folder of published data."""
    folder = Path(os.environ.get("CRUXSCOPE_DATA") or "../shared/data")
    if not folder.is_dir():
        if required("data"):
            raise AssertionError(f"{folder} is not there, and data are required")
        raise unittest.SkipTest("there is no folder of published data")
    return folder
