#!/usr/bin/env python3
"""Makes tests/fixtures/smollm2_greedy.json: what transformers generates greedily, in float32, for five prompts.

    greedy_tokens.py --model FOLDER > tests/fixtures/smollm2_greedy.json

FOLDER is SmolLM2-135M-Instruct as a Hugging Face folder with the weights of the GGUF file that fetch_smollm2.sh fetches.
Generation does not stop at the token that ends a text, so that every prompt gives as many tokens. For each token the gap
between the two highest logits is looked at: the smallest is kept, as it says how exact a program must be to agree.
"""

import argparse
import json

import torch
import transformers

TOKENS = 200
PROMPTS = [
    "The capital of France is",
    "<|im_start|>user\nA train leaves at 9:40 and arrives at 12:05. How long is the journey?<|im_end|>\n<|im_start|>assistant\n",
    "def fibonacci(n):\n    ",
    "Es war einmal ein König, der hatte drei Töchter. Die jüngste",
    "Let me think step by step. If all roses are flowers and some flowers fade quickly, then",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    folder = parser.parse_args().model
    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    cases = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            made = model.generate(
                **ids,
                max_new_tokens=TOKENS,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
                output_logits=True,
                return_dict_in_generate=True,
            )
        start = ids["input_ids"].shape[1]
        tokens = made.sequences[0, start:].tolist()
        best = [logits[0].topk(2).values for logits in made.logits]
        gap = min(float(pair[0] - pair[1]) for pair in best)
        text = tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        cases.append({"prompt": prompt, "prompt_ids": ids["input_ids"][0].tolist(), "tokens": tokens, "text": text, "smallest_gap": gap})
    made_by = f"transformers {transformers.__version__}, torch {torch.__version__}, float32"
    print(json.dumps({"made_by": made_by, "cases": cases}, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
