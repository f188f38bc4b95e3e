#!/usr/bin/env python3
"""GGUF files as `compress --format gguf` writes them, run by llama.cpp: are texts the same tokens as by the folder's tokenizer.json, and is what
llama.cpp writes on, greedily, what the program writes on (of q8_0, where llama.cpp rounds activations too, the first token)?

    gguf_llama_cpp.py --program target/release/cruxscope [--sentence-piece OUT] [FOLDER…]

Every FOLDER is a Llama, Qwen2 or Qwen3 of Hugging Face with its tokenizer.json. With --sentence-piece two small random Llamas are made in OUT,
with tokenizers of SentencePiece's kind, and taken too. Needs llama_cpp, tokenizers; for --sentence-piece torch and transformers.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

TEXTS = ["Let me think. Wait, 12 + 30 = 42, isn't it?", "  two blanks  and\n\na line\tmore", "naïve café, 日本語 🙂 x²+y²", "a", "def f(x):\n    return x ** 2"]


def sentence_piece(out, blank_in_front):
    """A tokenizer whose merges are all those of scores, and a model of its size."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    corpus = [(pathlib.Path(__file__).parents[2] / name).read_text() for name in ("README.md", "ARCHITECTURE.md")]
    steps = ([normalizers.Prepend("▁")] if blank_in_front else []) + [normalizers.Replace(" ", "▁")]
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence(steps)
    trained.train_from_iterator([line for text in corpus for line in text.splitlines()], trainers.BpeTrainer(vocab_size=900, show_progress=False, max_token_length=12))
    learned = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    wholes = [token for token, _ in learned if len(token) > 1]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *wholes, *(token for token, _ in learned if len(token) == 1)]
    places = {token: place for place, token in enumerate(tokens)}
    # Every way to make a whole of two tokens, the wholes in the order of their scores.
    ways = [[(whole[:cut], whole[cut:]) for cut in range(1, len(whole)) if whole[:cut] in places and whole[cut:] in places] for whole in wholes]
    merges = [way for own in ways for way in sorted(own, key=lambda way: (len(way[0]), len(way[1])), reverse=True)]
    tokenizer = Tokenizer(models.BPE(places, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ("<unk>", "<s>", "</s>")])
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=len(tokens), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         max_position_embeddings=512, bos_token_id=1, eos_token_id=2)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, values in model.named_parameters():
            values.copy_(torch.randn(values.shape) * 0.15 + ("norm" in name))
    model.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    said = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True, "tokenizer_class": "LlamaTokenizerFast"}
    (out / "tokenizer_config.json").write_text(json.dumps(said))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--sentence-piece", type=pathlib.Path)
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    from llama_cpp import Llama
    from tokenizers import Tokenizer

    folders = list(arguments.folders)
    if arguments.sentence_piece:
        folders += [sentence_piece(arguments.sentence_piece / name, front) for name, front in (("blank", True), ("none", False))]
    wrong = 0
    for folder in folders:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        for numbers in ("f16", "q8_0"):
            with tempfile.TemporaryDirectory() as scratch:
                file = pathlib.Path(scratch) / "model.gguf"
                said = subprocess.run([arguments.program, "compress", "--model", folder, "--format", "gguf", "--gguf-type", numbers, "--out", file], capture_output=True, text=True)
                if said.returncode:
                    print(f"{folder.name} {numbers}: not written: {said.stderr.strip().splitlines()[-1]}")
                    wrong += said.returncode != 2
                    continue
                model = Llama(str(file), n_ctx=256, n_threads=2, verbose=False, logits_all=False)
                same, choices = 0, 0
                for text in TEXTS:
                    ids = tokenizer.encode(text, add_special_tokens=False).ids
                    theirs = model.tokenize(text.encode(), add_bos=False, special=False)
                    same += theirs == ids
                    if theirs != ids:
                        print(f"   {text!r}: {ids} by tokenizer.json, {theirs} by llama.cpp")
                    model.reset()
                    prompt, own = model.tokenize(text.encode(), add_bos=True), []
                    for token in model.generate(prompt, temp=0.0, repeat_penalty=1.0, top_k=1):
                        own.append(token)
                        if len(own) == 12:
                            break
                    run = subprocess.run([arguments.program, "generate", "--model", file, "--prompt", text, "--temperature", "0", "--max-new-tokens", "12", "--ignore-eos", "--json"],
                                         capture_output=True, text=True)
                    ours = json.loads(run.stdout)["outputs"][0] if run.returncode == 0 else {"text": run.stderr}
                    told = ours.get("text", "")
                    # llama.cpp rounds activations where it multiplies codes: there the first choice alone is compared, and may be another.
                    if numbers == "q8_0":
                        own, ours["tokens"] = own[:1], ours.get("tokens", [])[:1]
                    agreed = ours.get("tokens") == own or told == model.detokenize(own, prev_tokens=prompt).decode(errors="replace")
                    choices += agreed
                    if not agreed:
                        print(f"   {text!r}: {ours} by the program, {own} by llama.cpp: {model.detokenize(own, prev_tokens=prompt)!r}")
                print(f"{folder.name} {numbers}: {same} of {len(TEXTS)} texts are the same tokens, {choices} are continued alike")
                wrong += same < len(TEXTS) or numbers == "f16" and choices < len(TEXTS)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
