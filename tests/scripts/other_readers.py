"""What programs in Python read in folders that `cruxscope compress` writes.

    python other_readers.py logits FOLDER OUT.safetensors ID ID …    logits of transformers, on the CPU in float32
    python other_readers.py logits-of-5 FOLDER OUT.safetensors ID …  the same by transformers 5 or later, whose configurations have other keys
    python other_readers.py unpack FOLDER OUT.safetensors            weights of a packed checkpoint, as their makers define them
    python other_readers.py decompress FOLDER OUT.safetensors        weights of a checkpoint of compressed-tensors, by its own library

Needs numpy and safetensors; `logits` needs torch and transformers too, `decompress` torch and compressed-tensors. Says "missing: …" and ends with 3 where they are not there.
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
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    from transformers import CONFIG_MAPPING, __version__

    # Older versions do not look at what newer ones write, and would compute another rotation.
    if config["model_type"] not in CONFIG_MAPPING or ("rope_parameters" in config and int(__version__.split(".")[0]) < 5):
        print(f"missing: a transformers that knows {config['model_type']} as it is written, not {__version__}")
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


def compressed(arrays, stem, config):
    (group,) = config["config_groups"].values()
    bits, symmetric = group["weights"]["num_bits"], group["weights"]["symmetric"]
    rows, columns = arrays[f"{stem}.weight_shape"]

    def stream(words, count):
        found = ((words.view(numpy.uint32)[:, :, None] >> numpy.arange(32, dtype=numpy.uint32)) & 1).reshape(words.shape[0], -1)
        found = found[:, : count * bits].reshape(words.shape[0], count, bits)
        return (found << numpy.arange(bits, dtype=numpy.uint32)).sum(axis=2).astype(numpy.int64)

    scales = arrays[f"{stem}.weight_scale"]
    codes = stream(arrays[f"{stem}.weight_packed"], columns)
    zeros = numpy.full(scales.shape, 1 << (bits - 1))
    if not symmetric:
        zeros = stream(numpy.ascontiguousarray(arrays[f"{stem}.weight_zero_point"].T), rows).T
    repeat = lambda values: numpy.repeat(values, columns // scales.shape[1], axis=1)
    weight = (codes - repeat(zeros)).astype(numpy.float32) * repeat(scales).astype(numpy.float32)
    return weight.astype(scales.dtype).T


def unpack(folder, out):
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())["quantization_config"]
    arrays = {}
    for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
        arrays.update(load_file(file))
    found = {}
    for name in arrays:
        stem, _, part = name.rpartition(".")
        if part in ("qweight", "weight_packed"):
            method = config["quant_method"]
            weight = awq(arrays, stem) if method == "awq" else compressed(arrays, stem, config) if part != "qweight" else gptq(arrays, stem, config)
            found[f"{stem}.weight"] = numpy.ascontiguousarray(weight.T.astype(numpy.float32))
    save_file(found, out)


def decompress(folder, out):
    try:
        import torch
        from compressed_tensors.compressors import BaseCompressor
        from compressed_tensors.quantization import QuantizationConfig
        from compressed_tensors.utils.match import match_targets
        from safetensors.torch import load_file as load
    except ImportError as error:
        print(f"missing: {error.name}")
        sys.exit(3)
    said = json.loads((pathlib.Path(folder) / "config.json").read_text())["quantization_config"]
    config = QuantizationConfig.model_validate(said)
    schemes = {target: scheme for scheme in config.config_groups.values() for target in scheme.targets}
    compressor = BaseCompressor.get_value_from_registry(config.format)
    arrays = {}
    for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
        arrays.update(load(file))
    found = {}
    for name in arrays:
        if name.endswith(".weight_packed"):
            stem = name[: -len(".weight_packed")]
            assert stem not in config.ignore, stem
            scheme = schemes[match_targets(stem, torch.nn.Linear(1, 1), schemes)[0]]
            own = {key[len(stem) + 1 :]: value for key, value in arrays.items() if key.startswith(f"{stem}.weight")}
            assert set(own) == set(compressor.compression_param_names(scheme)), (stem, sorted(own))
            found[f"{stem}.weight"] = numpy.ascontiguousarray(compressor.decompress(own, scheme)["weight"].float().numpy())
    save_file(found, out)


if __name__ == "__main__":
    what, folder, out, *rest = sys.argv[1:]
    if what == "logits-of-5":
        from importlib.metadata import PackageNotFoundError, version

        try:
            known = version("transformers")
        except PackageNotFoundError:
            known = "0"
        if int(known.split(".")[0]) < 5:
            print(f"missing: transformers 5, there is {known}")
            sys.exit(3)
    if what in ("logits", "logits-of-5"):
        logits(folder, out, [int(word) for word in rest])
    else:
        {"unpack": unpack, "decompress": decompress}[what](folder, out)
