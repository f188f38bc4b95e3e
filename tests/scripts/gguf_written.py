#!/usr/bin/env python3
"""GGUF files as `compress --format gguf` writes them, read by gguf-py: is every tensor what gguf-py makes of the model's own, byte by byte,
and is the loss that of the same numbers in a folder?

    gguf_written.py --program target/release/cruxscope FOLDER…

Every FOLDER is a Llama, Qwen2 or Qwen3 of Hugging Face. Needs numpy, safetensors, torch and gguf; with llama_cpp, its logits too.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from gguf import GGMLQuantizationType, GGUFReader, quants
from safetensors.torch import load_file, save_file

STEMS = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up",
         "down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "q_norm": "attn_q_norm", "k_norm": "attn_k_norm"}
WHOLE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}


def own_name(name):
    if name in WHOLE:
        return WHOLE[name]
    _, _, layer, *_, stem, kind = name.split(".")
    return f"blk.{layer}.{STEMS[stem]}.{kind}"


def permuted(config, name, values):
    """Rows with rotary pairs side by side, as llama.cpp's converter lays them for Llama."""
    if config["model_type"] != "llama" or not any(part in name for part in ("q_proj", "k_proj")):
        return values
    heads = config["num_attention_heads"] if "q_proj" in name else config["num_key_value_heads"]
    return values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def run(program, *arguments):
    said = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if said.returncode != 0:
        raise SystemExit(f"{arguments}: {said.stderr}")
    return said.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    failed = 0
    for folder in arguments.folders:
        config = json.loads((folder / "config.json").read_text())
        plain = {name: tensor.float().numpy() for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            torch.manual_seed(0)
            tokens = scratch / "tokens.safetensors"
            save_file({"ids": torch.randint(0, config["vocab_size"], (2, 64), dtype=torch.int32)}, tokens)
            for kind in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "f16", "bf16"):
                file, other = scratch / f"{kind}.gguf", scratch / kind
                run(arguments.program, "compress", "--model", folder, "--format", "gguf", "--gguf-type", kind, "--out", file, "--json")
                numbers = GGMLQuantizationType[kind.upper()]
                written = {tensor.name: tensor for tensor in GGUFReader(file).tensors}
                other.mkdir()
                back, wrong = {}, []
                for name, values in plain.items():
                    own = own_name(name)
                    if own == "output.weight" and own not in written and config.get("tie_word_embeddings"):
                        continue
                    tensor = written.pop(own)
                    laid = permuted(config, name, values)
                    kind_here = GGMLQuantizationType.F32 if values.ndim == 1 else numbers
                    if values.ndim > 1 and kind.startswith("q") and values.shape[1] % 32:
                        kind_here = GGMLQuantizationType.F16
                    expected = quants.quantize(laid, kind_here)
                    if tensor.tensor_type != kind_here or tensor.data.tobytes() != expected.tobytes():
                        wrong.append(own)
                    # The same numbers, laid as the folder lays them.
                    rounded = quants.dequantize(quants.quantize(values, kind_here), kind_here).reshape(values.shape)
                    back[name] = torch.from_numpy(numpy.ascontiguousarray(rounded))
                wrong += [name for name in written if name != "rope_freqs.weight"]
                save_file(back, other / "model.safetensors")
                (other / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key != "quantization_config"}))
                losses = [json.loads(run(arguments.program, "perplexity", "--model", model, "--tokens", tokens, "--json"))["ids"]["mean_loss"]
                          for model in (file, other)]
                ok = not wrong and abs(losses[0] - losses[1]) < 2e-6
                failed += not ok
                print(f"{folder.name} {kind}: {'ok' if ok else 'FAILED'}, {len(plain)} tensors, loss {losses[0]:.7f} and {losses[1]:.7f} {wrong[:3]}")
                failed += llama_cpp(arguments.program, file, config)
    return 1 if failed else 0


def llama_cpp(program, file, config):
    """Greedy tokens by llama.cpp's Python package, where it is there."""
    try:
        from llama_cpp import Llama
    except ImportError:
        return 0
    model = Llama(str(file), n_ctx=64, logits_all=True, verbose=False, n_threads=1)
    ids = [int(number) for number in numpy.random.default_rng(1).integers(4, config["vocab_size"], 24)]
    model.eval(ids)
    logits = numpy.array(model.scores[: len(ids)], dtype=numpy.float64)
    losses = [numpy.log(numpy.exp(row - row.max()).sum()) + row.max() - row[target] for row, target in zip(logits[:-1], ids[1:])]
    with tempfile.TemporaryDirectory() as scratch:
        tokens = pathlib.Path(scratch) / "t.safetensors"
        save_file({"ids": torch.tensor([ids], dtype=torch.int32)}, tokens)
        own = json.loads(run(program, "perplexity", "--model", file, "--tokens", tokens, "--json"))["ids"]["mean_loss"]
    print(f"  llama.cpp: loss {float(numpy.mean(losses)):.5f}, here {own:.5f}")
    return abs(float(numpy.mean(losses)) - own) > 0.05


if __name__ == "__main__":
    sys.exit(main())
