"""Studies that somebody broke, or made to break a page, put beside a good one in a site."""

import hashlib
import json
import shutil
import struct

MANIFEST, ARRAYS = "study.json", "importance.safetensors"

# Each broken study, and words of what must be said of it.
SAID = {
    "no-such-study": "could not be fetched",
    "no-arrays": "importance.safetensors could not be fetched",
    "a-page": "not a file of a study",
    "cut": "digest",
    "no-number": "finite number",
    "many-layers": "4000000000 layers",
    "many-instances": "instances",
    "long-title": "title of 1000000 bytes",
    "newer": "newer",
    "elsewhere": "outside the study",
}
SCRIPT = "<img src=x onerror='window.hacked = 1'><script>window.hacked = 1</script>"


def add(site, address):
    """Puts the broken studies beside the study at an address, and a second good one."""
    source = site / address
    studies = source.parent

    def copy(name, change=None):
        folder = studies / name
        shutil.copytree(source, folder)
        if change:
            manifest = json.loads((folder / MANIFEST).read_text())
            change(manifest, folder)
            (folder / MANIFEST).write_text(json.dumps(manifest))

    def put(*way, value):
        def change(manifest, _):
            for step in way[:-1]:
                manifest = manifest[step]
            manifest[way[-1]] = value

        return change

    def no_number(manifest, folder):
        """A number that is none, with a digest that fits."""
        arrays = bytearray((folder / ARRAYS).read_bytes())
        (length,) = struct.unpack("<Q", arrays[:8])
        start = 8 + length + json.loads(arrays[8 : 8 + length])["contributions"]["data_offsets"][0]
        arrays[start : start + 8] = struct.pack("<d", float("nan"))
        (folder / ARRAYS).write_bytes(arrays)
        entry = next(entry for entry in manifest["arrays"] if entry["file"] == ARRAYS)
        entry["sha256"] = hashlib.sha256(arrays).hexdigest()

    def cut(_, folder):
        arrays = (folder / ARRAYS).read_bytes()
        (folder / ARRAYS).write_bytes(arrays[: len(arrays) // 2])

    copy("second", put("title", value="The second study"))
    copy("no-arrays", lambda _, folder: (folder / ARRAYS).unlink())
    copy("a-page")
    (studies / "a-page" / MANIFEST).write_text("<!doctype html><title>Not found</title><p>There is nothing here")
    copy("cut", cut)
    copy("no-number", no_number)
    copy("many-layers", put("model", "layers", value=4_000_000_000))
    copy("many-instances", lambda manifest, _: manifest["instances"].extend(manifest["instances"][:1] * 100_000))
    copy("long-title", put("title", value="x" * 1_000_000))
    copy("newer", put("schema", value=99))
    copy("elsewhere", put("arrays", 0, "file", value="../../../site.json"))
    copy("script", put("title", value=SCRIPT))
