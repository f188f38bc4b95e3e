"""What programs in Python read in folders that `cruxscope compress` writes.

    python other_readers.py logits FOLDER OUT.safetensors ID ID …    logits of transformers, on the CPU in float32
    python other_readers.py unpack FOLDER OUT.safetensors            weights of a packed checkpoint, as AutoAWQ and GPTQ define them

Needs numpy and safetensors; `logits` needs torch and transformers too. Says "missing: …" and ends with 3 where they are not there.
"""

import json
import pathlib
import sys

try:
    import numpy
    from safetensors.numpy import load_file, save_file
except ImportError as error:
    print(f"missing: {error.name}")
    sys.exit(3)


def logits(folder, out, ids):
    try:
        import torch
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        print(f"missing: {error.name}")
        sys.exit(3)
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    with torch.no_grad():
        found = model(torch.tensor([ids])).logits[0]
    save_file({"logits": numpy.ascontiguousarray(found.numpy())}, out)


def fields(words, bits):
    """Codes of a stream of bits along the first axis, lowest bits first."""
    stream = ((words.view(numpy.uint32)[:, None, :] >> numpy.arange(32, dtype=numpy.uint32)[None, :, None]) & 1).reshape(-1, words.shape[1])
    codes = stream.reshape(-1, bits, words.shape[1])
    return (codes * (1 << numpy.arange(bits))[None, :, None]).sum(axis=1)


def awq(arrays, stem):
    order = numpy.array([0, 2, 4, 6, 1, 3, 5, 7])

    def nibbles(words):
        shifts = numpy.arange(0, 32, 4, dtype=numpy.uint32)
        found = (words.view(numpy.uint32)[:, :, None] >> shifts) & 15
        back = numpy.empty_like(found)
        back[:, :, order] = found
        return back.reshape(words.shape[0], -1)

    codes, zeros = nibbles(arrays[f"{stem}.qweight"]), nibbles(arrays[f"{stem}.qzeros"])
    scales = arrays[f"{stem}.scales"].astype(numpy.float32)
    group = codes.shape[0] // scales.shape[0]
    repeat = lambda values: numpy.repeat(values, group, axis=0)
    return (codes.astype(numpy.float32) - repeat(zeros).astype(numpy.float32)) * repeat(scales)


def gptq(arrays, stem, config):
    bits = config["bits"]
    codes = fields(arrays[f"{stem}.qweight"], bits)
    zeros = fields(numpy.ascontiguousarray(arrays[f"{stem}.qzeros"].T), bits).T
    if config.get("checkpoint_format", "gptq") == "gptq":
        zeros = (zeros + 1) % (1 << bits)
    scales, groups = arrays[f"{stem}.scales"].astype(numpy.float32), arrays[f"{stem}.g_idx"]
    return (codes.astype(numpy.float32) - zeros[groups].astype(numpy.float32)) * scales[groups]


def unpack(folder, out):
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())["quantization_config"]
    arrays = {}
    for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
        arrays.update(load_file(file))
    found = {}
    for name in arrays:
        if name.endswith(".qweight"):
            stem = name[: -len(".qweight")]
            weight = awq(arrays, stem) if config["quant_method"] == "awq" else gptq(arrays, stem, config)
            found[f"{stem}.weight"] = numpy.ascontiguousarray(weight.T.astype(numpy.float32))
    save_file(found, out)


if __name__ == "__main__":
    what, folder, out, *rest = sys.argv[1:]
    logits(folder, out, [int(word) for word in rest]) if what == "logits" else unpack(folder, out)
