#!/usr/bin/env python3
"""Tiny random models of families that mix experts, made and read by transformers, and read by the program: do both find one loss?

    mixtures.py --program target/release/cruxscope [FAMILY …]

Needs PyTorch and transformers 5. A family that this transformers does not have is named as skipped.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

VOCABULARY = 128
SHARED = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}
# Of each family, its configuration in transformers and what makes it tiny.
FAMILIES = {
    "olmoe": ("OlmoeConfig", {"num_experts": 8, "num_experts_per_tok": 2, "norm_topk_prob": False}),
    "mixtral": ("MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "granitemoe": (
        "GraniteMoeConfig",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "embedding_multiplier": 3.0, "logits_scaling": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.2},
    ),
    "dots1": (
        "Dots1Config",
        {
            "moe_intermediate_size": 32, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 2,
            "topk_group": 1, "norm_topk_prob": True, "routed_scaling_factor": 1.5,
        },
    ),
    "minimax_m2": ("MiniMaxM2Config", {"num_local_experts": 8, "num_experts_per_tok": 2, "head_dim": 16, "intermediate_size": 32}),
    "ernie4_5_moe": ("Ernie4_5_MoeConfig", {"moe_intermediate_size": 32, "moe_num_experts": 8, "moe_k": 2, "moe_num_shared_experts": 1, "moe_layer_start_index": 1}),
    "hunyuan_v1_moe": ("HunYuanMoEV1Config", {"num_experts": 4, "moe_topk": [2, 2, 2], "head_dim": 16}),
}
# Differences in the mean loss, in nats.
GATE = 2e-5


def loss_of(family, folder, ids):
    """Makes a model of a family in a folder, and gives its mean loss in float64."""
    import torch
    import transformers

    name, own = FAMILIES[family]
    configuration = getattr(transformers, name)(**{**SHARED, **own})
    model = transformers.AutoModelForCausalLM.from_config(configuration)
    with torch.no_grad():
        for values in model.parameters():
            if values.ndim >= 2:
                values.normal_(0, 0.15)
            else:
                values.add_(torch.randn_like(values) * 0.1)
        # What a router adds before it chooses is no parameter.
        for name, values in model.named_buffers():
            if "bias" in name:
                values.add_(torch.randn_like(values) * 0.1)
    model.save_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.no_grad():
        logits = model(ids).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, VOCABULARY), ids[:, 1:].reshape(-1)).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("families", nargs="*", metavar="FAMILY", default=list(FAMILIES))
    arguments = parser.parse_args()
    import torch
    import transformers
    from safetensors.torch import save_file

    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for family in arguments.families:
            if not hasattr(transformers, FAMILIES[family][0]):
                print(f"skipped: transformers {transformers.__version__} has no {family}")
                continue
            torch.manual_seed(0)
            ids = torch.randint(3, VOCABULARY, (2, 48))
            save_file({"ids": ids.to(torch.int32)}, scratch / "tokens.safetensors")
            expected = loss_of(family, scratch / family, ids)
            command = [arguments.program, "perplexity", "--model", scratch / family, "--tokens", scratch / "tokens.safetensors", "--json"]
            said = subprocess.run(command, capture_output=True, text=True)
            if said.returncode != 0:
                failed += 1
                print(f"{family}: FAILED: {said.stderr.strip()}")
                continue
            found = json.loads(said.stdout)["ids"]["mean_loss"]
            verdict = "ok" if abs(found - expected) < GATE else "FAILED"
            failed += verdict != "ok"
            print(f"{family}: {verdict}, {found:.7f} instead of {expected:.7f}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
