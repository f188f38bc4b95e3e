#!/usr/bin/env python3
"""Small checkpoints of many families as GGUF files, by llama.cpp's own converter: what the program reads of them must have the same loss.

    gguf_families.py LLAMA_CPP ARCHITECTURES OUT [NAME...] [--program PROGRAM]

LLAMA_CPP is a checkout (its folders `conversion` and `gguf-py`); ARCHITECTURES holds a folder for each family (config.json,
model.safetensors, tokenizer.json, expected.json) beside tokens.safetensors. OUT/NAME.gguf is written in float32 for each. With --program
the mean loss of the tokens is compared with expected.json; files that the program refuses must be refused by name. The tokenizers of the
folders are of no model, so that the converter is told which split to note down. Needs torch, transformers and safetensors.
"""
import argparse, json, logging, pathlib, shutil, subprocess, sys, tempfile


def vocabulary(model):
    """A tokenizer.json of byte-level BPE into metadata, under a name of a split that every reader knows."""
    read = json.load(open(model.dir_model / "tokenizer.json"))
    tokens = {place: token for token, place in read["model"]["vocab"].items()} | {token["id"]: token["content"] for token in read["added_tokens"]}
    special = {token["id"] for token in read["added_tokens"]}
    count = model.hparams["vocab_size"]
    writer = model.gguf_writer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens.get(place, f"[PAD{place}]") for place in range(count)])
    writer.add_token_types([3 if place in special else 1 if place in tokens else 5 for place in range(count)])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in read["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def converted(folder, out):
    """Writes a folder as GGUF, or says why the converter does not."""
    import gguf
    from conversion import get_model_class
    from safetensors.torch import load_file, save_file

    config = json.load(open(folder / "config.json"))
    try:
        kind = get_model_class(config["architectures"][0])
    except NotImplementedError:
        return "the converter does not know it"
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / folder.name
        shutil.copytree(folder, copy)
        if config.get("tie_word_embeddings"):
            tensors = load_file(copy / "model.safetensors")
            tensors.pop("lm_head.weight", None)
            save_file(tensors, copy / "model.safetensors")
        try:
            kind = type(kind.__name__, (kind,), {"set_vocab": vocabulary, "model_arch": kind.model_arch})
            kind(copy, gguf.LlamaFileType.ALL_F32, out).write()
        except Exception as error:  # noqa: BLE001 - whatever the converter stumbles over is told
            return f"{type(error).__name__}: {error}"
    return None


def loss_of(program, file, tokens):
    run = subprocess.run([program, "perplexity", "--model", str(file), "--tokens", str(tokens), "--json"], capture_output=True, text=True)
    if run.returncode:
        return None, run.stderr.strip().splitlines()[-1]
    return next(iter(json.loads(run.stdout).values()))["mean_loss"], ""


#: What a GGUF file of these has no place for; the converter leaves it out, and readers take what the published models have.
LOST = {"mistral_swa16": {"sliding_window": None}, "qwen3_moe": {"norm_topk_prob": True}}


def wanted_of(program, folder, tokens):
    """The loss that is expected, or that of the folder without what is lost."""
    if folder.name not in LOST:
        return json.load(open(folder / "expected.json"))["mean_loss"]
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch) / folder.name
        shutil.copytree(folder, copy)
        config = json.load(open(copy / "config.json")) | LOST[folder.name]
        (copy / "config.json").write_text(json.dumps(config))
        return loss_of(program, copy, tokens)[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("llama_cpp", type=pathlib.Path)
    parser.add_argument("architectures", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--program")
    arguments = parser.parse_args()
    sys.path[:0] = [str(arguments.llama_cpp / "gguf-py"), str(arguments.llama_cpp)]
    logging.disable(logging.WARNING)
    arguments.out.mkdir(parents=True, exist_ok=True)
    names = arguments.names or sorted(path.parent.name for path in arguments.architectures.glob("*/config.json"))
    wrong = 0
    for name in names:
        file = arguments.out / f"{name}.gguf"
        why = converted(arguments.architectures / name, file)
        if why:
            print(f"{name}: not converted: {why}")
            continue
        if not arguments.program:
            print(f"{name}: written")
            continue
        tokens = arguments.architectures / "tokens.safetensors"
        wanted = wanted_of(arguments.program, arguments.architectures / name, tokens)
        found, error = loss_of(arguments.program, file, tokens)
        if found is None:
            print(f"{name}: refused: {error}")
        else:
            difference = abs(found - wanted)
            wrong += difference >= 2e-5
            print(f"{name}: loss {found:.6f}, {difference:.1e} from {wanted:.6f}{'  WRONG' if difference >= 2e-5 else ''}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
