"""Packs the program, the page and the Python package into a wheel.

As pip's build backend (PEP 517) it compiles the program first:

    pip install ./app/python
    pip install ./app/python -C features=cuda        # with features of the program
    pip install ./app/python -C page=no              # without the page

With a program that is built already, as CI and releases have one, it takes seconds:

    python3 app/python/build_wheel.py --program target/release/cruxscope --page target/site --out dist

Not maturin, which always compiles: it cannot take the program of the same run, and compiles the program's crate alone, for which cargo
builds hundreds of dependencies again with fewer features than beside the tests. Nor has it a place for the page, which lies in the wheel's
data (PREFIX/share/cruxscope/page), where the program looks for it.

The wheel's platform is that of the program: on Linux `manylinux_2_X` by the newest symbol of the C library that the program asks for, and
`linux` where it asks for a library that not every system has.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import struct
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
NAME = "cruxscope"
#: Libraries of every Linux with the GNU C library (PEP 599, PEP 600), as far as a Rust program asks for any.
EVERYWHERE = re.compile(r"(ld-linux.*|libc|libm|libdl|libpthread|librt|libgcc_s|libutil|libresolv)\.so.*")
#: The tool that built the wheel, with no date: the same inputs give the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    """PEP 517: compiles what is not given, and packs."""
    settings = dict(config_settings or {})
    program = Path(settings["program"]) if settings.get("program") else compile_program(settings.get("features"))
    with tempfile.TemporaryDirectory() as scratch:
        page = settings.get("page")
        folder = None if page == "no" else Path(page) if page else compile_page(Path(scratch) / "page")
        return pack(program, folder, Path(wheel_directory)).name


def build_sdist(sdist_directory, config_settings=None) -> str:
    """PEP 517 asks for this hook; a source package would have to hold the whole workspace."""
    raise SystemExit("cruxscope has no source package of its own: build the wheel in a checkout, `pip wheel ./app/python`")


def compile_program(features: str | None) -> Path:
    """The program, by cargo."""
    command = ["cargo", "build", "--release", "--locked", "-p", "cruxscope"]
    if features:
        command += ["--features", features]
    cargo(command, "the program")
    program = target() / "release" / (NAME + (".exe" if os.name == "nt" else ""))
    if not program.is_file():
        raise SystemExit(f"cargo built no {program}")
    return program


def compile_page(folder: Path) -> Path | None:
    """The page, by cargo, where the compiler can make WebAssembly."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.strip()
    if not sysroot or not (Path(sysroot) / "lib/rustlib/wasm32-unknown-unknown").is_dir():
        print("the wheel gets no page: `rustup target add wasm32-unknown-unknown` would make one", file=sys.stderr)
        return None
    cargo(["cargo", "run", "--release", "--locked", "-p", "cruxscope-web", "--", "build", "--out", str(folder)], "the page")
    return folder


def cargo(command: list[str], what: str) -> None:
    """Runs cargo in the checkout."""
    try:
        subprocess.run(command, cwd=CHECKOUT, check=True)
    except FileNotFoundError:
        raise SystemExit(f"{what} is compiled by Rust, which is not here: https://rustup.rs installs it") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{what} could not be built: `{' '.join(command)}` ended with {error.returncode}") from None


def target() -> Path:
    """Cargo's folder of built things."""
    import json

    printed = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=CHECKOUT, capture_output=True, check=True).stdout
    return Path(json.loads(printed)["target_directory"])


def version() -> str:
    """The version of the workspace."""
    manifest = tomllib.loads((CHECKOUT / "Cargo.toml").read_text(encoding="utf-8"))
    return str(manifest["workspace"]["package"]["version"])


def metadata() -> str:
    """METADATA, out of pyproject.toml."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {NAME}",
        f"Version: {version()}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        f"Keywords: {','.join(project['keywords'])}",
        *(f"Classifier: {classifier}" for classifier in project["classifiers"]),
        *(f"License-File: {licence.name}" for licence in licences()),
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    for extra, requirements in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {requirement}; extra == "{extra}"' for requirement in requirements]
    return "\n".join([*lines, "Description-Content-Type: text/markdown", "", (HERE / project["readme"]).read_text(encoding="utf-8")])


def licences() -> list[Path]:
    """The texts of the licences."""
    return sorted(CHECKOUT.glob("LICENSE-*"))


def pack(program: Path, page: Path | None, out: Path) -> Path:
    """The wheel of a built program and, where there is one, a built page."""
    if not program.is_file():
        raise SystemExit(f"{program} is no program; `cargo build --release` makes it")
    tag = f"py3-none-{platform(program)}"
    stem = f"{NAME}-{version()}"
    info, data = f"{stem}.dist-info", f"{stem}.data"
    files: dict[str, tuple[bytes, bool]] = {}
    for path in sorted((HERE / NAME).rglob("*")):
        if path.is_file() and path.suffix in (".py", ".typed"):
            files[path.relative_to(HERE).as_posix()] = (path.read_bytes(), False)
    files[f"{data}/scripts/{program.name}"] = (stripped(program), True)
    if page is not None:
        for path in page_files(page):
            files[f"{data}/data/share/{NAME}/page/{path.name}"] = (path.read_bytes(), False)
    for licence in licences():
        files[f"{info}/licenses/{licence.name}"] = (licence.read_bytes(), False)
    files[f"{info}/METADATA"] = (metadata().encode(), False)
    files[f"{info}/WHEEL"] = (f"Wheel-Version: 1.0\nGenerator: cruxscope\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(), False)
    record = [f"{name},sha256={digest(content)},{len(content)}" for name, (content, _) in files.items()]
    files[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,", ""]).encode(), False)

    out.mkdir(parents=True, exist_ok=True)
    wheel = out / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, (content, is_program) in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = (0o100755 if is_program else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return wheel


def stripped(program: Path) -> bytes:
    """The program without its symbols, which are a fifth of it; as it is where binutils' strip is missing or does not know its format."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / program.name
        copy.write_bytes(program.read_bytes())
        try:
            done = subprocess.run(["strip", "--strip-all", copy], capture_output=True, check=False)
        except OSError:
            return program.read_bytes()
        return copy.read_bytes() if done.returncode == 0 else program.read_bytes()


def page_files(page: Path) -> list[Path]:
    """The program of a built page, which `cruxscope publish` takes from there: the module and the script around it."""
    found = [path for path in sorted(page.iterdir()) if re.fullmatch(rf"{NAME}.*\.(js|wasm)", path.name)]
    if not any(path.suffix == ".wasm" for path in found) or not any(path.suffix == ".js" for path in found):
        raise SystemExit(f"{page} holds no page; `cruxscope-web build --out DIR` makes one")
    return found


def digest(content: bytes) -> str:
    """SHA-256 as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def platform(program: Path) -> str:
    """The platform of a program, as wheels name it."""
    plain = re.sub(r"[^0-9a-zA-Z]+", "_", sysconfig.get_platform())
    if not plain.startswith("linux_"):
        return plain
    content = program.read_bytes()
    needed = needed_libraries(content)
    symbols = {(int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", content)}
    if not needed or not symbols or not all(EVERYWHERE.fullmatch(library) for library in needed):
        return plain
    major, minor = max(symbols)
    return f"manylinux_{major}_{minor}_{plain.removeprefix('linux_')}"


def needed_libraries(content: bytes) -> list[str]:
    """The libraries that a 64-bit little-endian ELF program asks for (DT_NEEDED); none where it is something else."""
    if content[:6] != b"\x7fELF\x02\x01":
        return []
    (headers,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", content, headers + place * size) for place in range(count)]
    load = [(address, length, offset) for kind, _, offset, address, _, length, _, _ in segments if kind == 1]
    dynamic = [(offset, length) for kind, _, offset, _, _, length, _, _ in segments if kind == 2]
    if not dynamic:
        return []
    offset, length = dynamic[0]
    entries = [struct.unpack_from("<qQ", content, offset + place) for place in range(0, length, 16)]
    strings = next((value for tag, value in entries if tag == 5), None)
    starts = [strings - address + offset for address, length, offset in load if strings is not None and address <= strings < address + length]
    if not starts:
        return []
    names = [starts[0] + value for tag, value in entries if tag == 1]
    return [content[start : content.index(b"\0", start)].decode() for start in names]


def main() -> None:
    """Packs what is built."""
    parser = argparse.ArgumentParser(description="Packs a built program, and a built page, into a wheel.")
    parser.add_argument("--program", type=Path, required=True, help="the program, as cargo built it")
    parser.add_argument("--page", type=Path, help="a page, as cruxscope-web built it")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="the folder of the wheel")
    arguments = parser.parse_args()
    wheel = pack(arguments.program, arguments.page, arguments.out)
    print(f"{wheel}, {wheel.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
