#!/usr/bin/env python3
"""Tiny random models of every family that opens, in many configurations, made and read by transformers, and read by the program: is the
loss the same, or is the configuration refused by name? A wrong number is the fault that is looked for.

    families.py --program target/release/cruxscope [--keep DIR] [FAMILY …]

Needs PyTorch and transformers 5. Configurations that transformers itself does not take are named as skipped.
"""

import argparse
import copy
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
VOCABULARY, TOKENS = 128, 96
# Differences in the mean loss, in nats.
GATE = 2e-5
SHARED = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "max_position_embeddings": 256, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}
EXPERTS = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
LATENT = {"kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "head_dim": None, "n_routed_experts": 4,
          "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1, "num_key_value_heads": 4}
DELTA = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16}
GRANITE = {"embedding_multiplier": 12.0, "residual_multiplier": 0.22, "attention_multiplier": 0.2, "logits_scaling": 4.0, "head_dim": None}
DEEPSEEK_YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32, "mscale": 1.0, "mscale_all_dim": 0.7}
KINDS = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]

ROPES = {
    "theta": {"rope_type": "default", "rope_theta": 5e5},
    "linear": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0},
    "llama3": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
    "yarn": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64},
    "yarn, mscale": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 40.0, "original_max_position_embeddings": 32, "mscale": 1.0, "mscale_all_dim": 0.5,
                     "beta_fast": 16, "beta_slow": 2},
    "yarn, factor of attention": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "attention_factor": 1.3, "original_max_position_embeddings": 64,
                                  "truncate": False},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
    "longrope": {"rope_type": "longrope", "rope_theta": 1e4, "factor": 4.0, "short_factor": [1 + 0.1 * i for i in range(8)],
                 "long_factor": [1 + 0.5 * i for i in range(8)], "original_max_position_embeddings": 64},
    "partial": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
}
COMMON = {
    "plain": {},
    "tied": {"tie_word_embeddings": True},
    "one key head": {"num_key_value_heads": 1},
    "as many key heads": {"num_key_value_heads": 4},
    "wide heads": {"head_dim": 32},
    "biases in attention": {"attention_bias": True},
    "biases in the feed-forward block": {"mlp_bias": True},
    "epsilon": {"rms_norm_eps": 1e-2},
    "gelu": {"hidden_act": "gelu_pytorch_tanh"},
    "exact gelu": {"hidden_act": "gelu"},
    "window by flag": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2},
    "window": {"sliding_window": 16},
    "no window": {"sliding_window": None},
    "kinds of layers": {"sliding_window": 16, "layer_types": KINDS, "use_sliding_window": True},
    "short context": {"max_position_embeddings": 64},
}
MOE = {"one expert a token": {"num_experts_per_tok": 1}, "renormalised": {"norm_topk_prob": True}, "not renormalised": {"norm_topk_prob": False}}
GROUPS = {**MOE, "groups": {"n_routed_experts": 8, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 3}, "factor": {"routed_scaling_factor": 2.5},
          "all layers of experts": {"first_k_dense_replace": 0}, "two shared": {"n_shared_experts": 2}, "none shared": {"n_shared_experts": 0},
          "none shared, null": {"n_shared_experts": None}}
# Of each family what makes it tiny, and variations of its own.
FAMILIES = {
    "llama": ({}, {"no head_dim": {"head_dim": None}, "pretraining_tp": {"pretraining_tp": 2}}),
    "qwen2": ({"head_dim": None}, {}),
    "qwen3": ({}, {}),
    "mistral": ({"sliding_window": None}, {}),
    "ministral": ({"sliding_window": 16}, {}),
    "ministral3": ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 32, "beta_fast": 32.0,
                                        "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}}, {}),
    "seed_oss": ({}, {"biases of output": {"attention_out_bias": True}, "no biases": {"attention_bias": False}}),
    "phi3": ({"head_dim": None, "sliding_window": None}, {}),
    "smollm3": ({"head_dim": None}, {"all turn": {"no_rope_layers": [1, 1, 1, 1]}, "every second": {"no_rope_layer_interval": 2}, "none turns": {"no_rope_layers": [0, 0, 0, 0]}}),
    "granite": (GRANITE, {"factors": {"embedding_multiplier": 1.0, "residual_multiplier": 1.0, "logits_scaling": 16.0}}),
    "hunyuan_v1_dense": ({}, {}),
    "ernie4_5": ({}, {"use_bias": {"use_bias": True}}),
    "olmo2": ({"head_dim": None}, {}),
    "olmo3": ({"head_dim": None, "sliding_window": 16}, {}),
    "exaone4": ({"sliding_window": 16, "sliding_window_pattern": 4}, {"every second": {"sliding_window_pattern": 2}}),
    "glm": ({}, {"no biases": {"attention_bias": False}}),
    "glm4": ({}, {}),
    "arcee": ({}, {}),
    "gemma2": ({"sliding_window": 16, "query_pre_attn_scalar": 16}, {"no caps": {"attn_logit_softcapping": None, "final_logit_softcapping": None},
                                                                  "caps": {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 7.0},
                                                                  "scalar": {"query_pre_attn_scalar": 64}}),
    "gemma3_text": ({"sliding_window": 16, "query_pre_attn_scalar": 16, "layer_types": KINDS}, {"caps": {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 7.0},
                                                                       "both directions": {"use_bidirectional_attention": True}}),
    "cohere2": ({"sliding_window": 16}, {"logit_scale": {"logit_scale": 0.5}, "layer_norm_eps": {"layer_norm_eps": 1e-2}}),
    "starcoder2": ({"head_dim": None}, {"no biases": {"use_bias": False}, "norm_epsilon": {"norm_epsilon": 1e-2}}),
    "stablelm": ({"head_dim": None}, {"biases": {"use_qkv_bias": True}, "norms of heads": {"qk_layernorm": True}, "parallel": {"use_parallel_residual": True},
                                      "layer_norm_eps": {"layer_norm_eps": 1e-2}}),
    "olmo": ({"head_dim": None}, {"clip": {"clip_qkv": 0.5}}),
    "helium": ({}, {}),
    "cohere": ({"head_dim": None}, {"logit_scale": {"logit_scale": 0.5}, "layer_norm_eps": {"layer_norm_eps": 1e-2}, "norms of heads": {"use_qk_norm": True}}),
    "gemma": ({}, {"both directions": {"use_bidirectional_attention": True}}),
    "vaultgemma": ({"sliding_window": 16, "query_pre_attn_scalar": 16}, {"no caps": {"attn_logit_softcapping": None, "final_logit_softcapping": None},
                                                                         "caps": {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 7.0}}),
    "hyperclovax": ({"embedding_multiplier": 3.0, "residual_multiplier": 0.7, "attention_multiplier": 0.2, "logits_scaling": 0.5},
                    {"no norms after": {"use_post_norm": False}, "no factors": {"embedding_multiplier": 1.0, "residual_multiplier": 1.0, "attention_multiplier": None,
                                                                                "logits_scaling": 1.0}}),
    "nemotron": ({}, {"norm_eps": {"norm_eps": 1e-2}}),
    "qwen3_moe": (EXPERTS, {**MOE, "some dense": {"mlp_only_layers": [1]}, "every second": {"decoder_sparse_step": 2}}),
    "qwen2_moe": ({**EXPERTS, "head_dim": None, "shared_expert_intermediate_size": 48},
                  {**MOE, "some dense": {"mlp_only_layers": [1]}, "every second": {"decoder_sparse_step": 2}, "no biases": {"qkv_bias": False}}),
    "olmoe": ({"num_experts": 4, "num_experts_per_tok": 2, "head_dim": None}, {**MOE, "clip": {"clip_qkv": 0.5}}),
    "mixtral": ({"num_local_experts": 4, "num_experts_per_tok": 2}, MOE),
    "granitemoe": ({**GRANITE, "num_local_experts": 4, "num_experts_per_tok": 2}, MOE),
    "gpt_oss": ({"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16}, MOE),
    "glm4_moe": ({"moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1,
                  "topk_group": 1}, {**GROUPS, "norm of queries": {"use_qk_norm": True}}),
    "dots1": ({"moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1}, GROUPS),
    "minimax_m2": ({"num_local_experts": 4, "num_experts_per_tok": 2}, {"rotary_dim": {"rotary_dim": 8}}),
    "ernie4_5_moe": ({"moe_intermediate_size": 32, "moe_num_experts": 4, "moe_k": 2, "moe_num_shared_experts": 1, "moe_layer_start_index": 1, "head_dim": None},
                     {"interval": {"moe_layer_interval": 2}, "end": {"moe_layer_end_index": 2}, "two shared": {"moe_num_shared_experts": 2}}),
    "hunyuan_v1_moe": ({"num_experts": 4, "moe_topk": [2, 2, 2, 2]}, {"differing": {"moe_topk": [2, 2, 1, 2]}}),
    "deepseek_v2": ({**LATENT, "q_lora_rank": None, "topk_method": "greedy"},
                    {**GROUPS, "latent queries": {"q_lora_rank": 32}, "limited": {"topk_method": "group_limited_greedy", "n_routed_experts": 8, "n_group": 4, "topk_group": 2},
                     "scaled": {"rope_parameters": DEEPSEEK_YARN}}),
    "deepseek_v3": ({**LATENT, "q_lora_rank": 32, "n_group": 1, "topk_group": 1},
                    {**GROUPS, "plain queries": {"q_lora_rank": None}, "scaled": {"rope_parameters": DEEPSEEK_YARN}, "turning apart": {"rope_interleave": False}}),
    "qwen3_next": ({**EXPERTS, **DELTA, "shared_expert_intermediate_size": 48}, {**MOE, "kernel": {"linear_conv_kernel_dim": 2}}),
    "qwen3_5_text": (DELTA, {"kernel": {"linear_conv_kernel_dim": 2}, "one value a key": {"linear_num_value_heads": 2}}),
    "qwen3_5_moe_text": ({**DELTA, **EXPERTS, "shared_expert_intermediate_size": 48}, {**MOE, "kernel": {"linear_conv_kernel_dim": 2}}),
    "llama4_text": (
        {"intermediate_size_mlp": 80, "num_local_experts": 4, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "attention_chunk_size": 32, "floor_scale": 8},
        {"two experts a token": {"num_experts_per_tok": 2}, "experts everywhere": {"interleave_moe_layer_step": 1}, "some experts": {"moe_layers": [0, 3]},
         "no experts": {"moe_layers": []}, "every second turns": {"no_rope_layer_interval": 2}, "some turn": {"no_rope_layers": [0, 1, 1, 0]},
         "no growth": {"attn_temperature_tuning": False}, "no norm": {"use_qk_norm": False}, "no chunks": {"attention_chunk_size": None},
         "chunks where nothing turns": {"layer_types": ["full_attention", "chunked_attention", "full_attention", "chunked_attention"]},
         "odd chunks": {"attention_chunk_size": 7, "attn_scale": 0.7}}),
}


# Families that keep rotary parameters by kinds of layers.
BY_KIND = ("olmo3", "gemma3_text")


def older(config):
    """Spellings of transformers 4."""
    rope = config.pop("rope_parameters", None)
    if rope and "full_attention" in rope:
        local, rope = rope["sliding_attention"], rope["full_attention"]
        if config["model_type"] == "gemma3_text":
            config["rope_local_base_freq"] = local["rope_theta"]
    if rope:
        rope = dict(rope)
        config["rope_theta"] = rope.pop("rope_theta", 1e4)
        if "partial_rotary_factor" in rope:
            config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
        config["rope_scaling"] = None if rope.get("rope_type", "default") == "default" and len(rope) < 2 else rope
    config["torch_dtype"] = config.pop("dtype", "float32")
    config["transformers_version"] = "4.51.0"
    return config


def variants(family):
    own, differences = FAMILIES[family]
    for name, change in {**COMMON, **differences}.items():
        yield name, change, None
    for name, rope in ROPES.items():
        rope = copy.deepcopy(rope)
        for key, value in own.get("rope_parameters", {}).items():
            if key.startswith("llama_4"):
                rope[key] = value
                rope.setdefault("original_max_position_embeddings", 32)
        if family in BY_KIND:
            local = {"rope_type": "default", "rope_theta": 1e4 if family == "gemma3_text" else rope["rope_theta"]}
            rope = {"full_attention": rope, "sliding_attention": local}
        if family == "olmo3":
            yield f"rope {name}, older, usual base", {"rope_parameters": {kind: {**own, "rope_theta": 5e5} for kind, own in rope.items()}}, older
        if family == "phi3" and name == "longrope":
            yield "rope longrope, context outside", {"rope_parameters": rope, "original_max_position_embeddings": 64}, None
            yield "rope longrope, context outside, older", {"rope_parameters": rope, "original_max_position_embeddings": 64}, older
        yield f"rope {name}", {"rope_parameters": rope}, None
        yield f"rope {name}, older", {"rope_parameters": rope}, older


def randomize(model):
    import torch

    with torch.no_grad():
        for name, values in [*model.named_parameters(), *model.named_buffers()]:
            if values.dtype.is_floating_point and "inv_freq" not in name and "embed_scale" not in name:
                if values.ndim >= 2:
                    values.normal_(0, 0.15)
                elif "norm" in name and "bias" not in name:
                    values.normal_(1, 0.2)
                else:
                    values.normal_(0, 0.2)


def loss_of(family, change, post, folder, ids):
    """Makes a model of a family in a folder, and gives its mean loss by transformers in float64, or why there is none."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    fields = {**SHARED, **FAMILIES[family][0], **change}
    wanted = {key: value for key, value in fields.items() if not (key == "head_dim" and value is None)}
    config = CONFIG_MAPPING[family](**wanted)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    randomize(model)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    if post:
        file = folder / "config.json"
        file.write_text(json.dumps(post(json.loads(file.read_text()))))
    # Angles stay float32 as they are in every model.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    rotary = {name: buffer.clone() for name, buffer in model.named_buffers() if "inv_freq" in name}
    model = model.double()
    for name, buffer in model.named_buffers():
        if name in rotary:
            buffer.data = rotary[name].data
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, VOCABULARY).double(), ids[:, 1:].reshape(-1)).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--keep", type=pathlib.Path, help="where models are kept that were wrong")
    parser.add_argument("families", nargs="*", metavar="FAMILY", default=list(FAMILIES))
    arguments = parser.parse_args()
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    count = {"equal": 0, "refused": 0, "skipped": 0, "WRONG": 0}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        torch.manual_seed(5)
        ids = torch.randint(3, VOCABULARY, (2, TOKENS))
        save_file({"ids": ids.to(torch.int32)}, scratch / "tokens.safetensors")
        for family in arguments.families:
            if family not in transformers.CONFIG_MAPPING:
                print(f"skipped: transformers {transformers.__version__} has no {family}")
                continue
            for name, change, post in variants(family):
                folder = scratch / "model"
                try:
                    expected = loss_of(family, change, post, folder, ids)
                except Exception as error:  # whatever a configuration does to transformers
                    print(f"{family}, {name}: skipped, transformers says {type(error).__name__}: {str(error)[:100]}".replace("\n", " "))
                    count["skipped"] += 1
                    continue
                command = [arguments.program, "perplexity", "--model", folder, "--tokens", scratch / "tokens.safetensors", "--json", "--threads", "1"]
                said = subprocess.run(command, capture_output=True, text=True)
                if said.returncode == 2:
                    count["refused"] += 1
                    print(f"{family}, {name}: refused ({expected:.6f}): {said.stderr.strip().splitlines()[-1][-200:]}")
                    continue
                found = json.loads(said.stdout)["ids"]["mean_loss"] if said.returncode == 0 else float("nan")
                verdict = "equal" if abs(found - expected) < GATE else "WRONG"
                count[verdict] += 1
                if verdict == "WRONG":
                    print(f"{family}, {name}: WRONG, {found:.7f} instead of {expected:.7f} {said.stderr.strip()[-200:]}")
                    if arguments.keep:
                        shutil.copytree(folder, arguments.keep / f"{family} {name}", dirs_exist_ok=True)
                sys.stdout.flush()
    print(", ".join(f"{number} {what}" for what, number in count.items()))
    return 1 if count["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
