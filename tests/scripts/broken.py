"""Studies that somebody broke, or made to break a page, put beside a good one in a site."""

import hashlib
import json
import shutil
import struct

MANIFEST, ARRAYS, CHANNELS = "study.json", "importance.safetensors", "channels.safetensors"
BEHAVIOURS = ["backtracking", "uncertainty-estimation", "example-testing", "adding-knowledge"]
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

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
    """Puts the broken studies beside the study at an address, and two more good ones, one of them with channels."""
    source = site / address
    studies = source.parent

    def copy(name, change=None):
        folder = studies / name
        shutil.copytree(source, folder)
        if change:
            manifest = json.loads((folder / MANIFEST).read_text())
            # Channels that the good study may have are not this one's.
            (folder / CHANNELS).unlink(missing_ok=True)
            manifest["arrays"] = [entry for entry in manifest["arrays"] if entry["file"] != CHANNELS]
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

    def channels(manifest, folder):
        """Channel maps of zeros, as large as the model's modules."""
        layers, header, length = manifest["model"]["layers"], {}, 0
        for behaviour in BEHAVIOURS:
            for module, size in zip(MODULES, manifest["model"]["modules"]):
                end = length + 4 * layers * size["outputs"]
                header[f"channels/{behaviour}/{module}"] = {"dtype": "F32", "shape": [layers, size["outputs"]], "data_offsets": [length, end]}
                length = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        arrays = struct.pack("<Q", len(text)) + text + bytes(length)
        (folder / CHANNELS).write_bytes(arrays)
        manifest["arrays"].append({"file": CHANNELS, "sha256": hashlib.sha256(arrays).hexdigest(), "bytes": len(arrays)})

    copy("second", put("title", value="The second study"))
    copy("with-channels", channels)
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
