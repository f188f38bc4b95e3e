#!/usr/bin/env python3
"""Recipes that `cruxscope allocate --export` wrote, read by the tools' own packages.

usage: exports.py RECIPE.json [--gptqmodel CHECKOUT]

Beside RECIPE.json lie RECIPE.llm-compressor.yaml, RECIPE.gptqmodel.json, RECIPE.auto-round.json, RECIPE.modelopt.yaml, as far as they
were asked for. compressed-tensors, auto-round and modelopt are imported where they are installed; GPTQModel's matcher is taken from a
checkout of its source, since the package builds kernels. What is not there is named. Each module of the recipe must get its own format.
"""
import argparse, json, re, subprocess, sys
from fnmatch import fnmatch
from pathlib import Path

NAMES = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}


def module(component):
    layer, name = component.split("_")
    return f"model.layers.{int(layer) - 1}.{NAMES[name]}"


def wanted(recipe):
    """Bits and columns of a group for every module; nothing where it stays."""
    found = {}
    for entry in recipe["components"]:
        match = re.fullmatch(r"(?:rtn|gptq|awq)-(\d)-(?:g(\d+)|row)", entry["format"])
        found[module(entry["component"])] = (int(match[1]), int(match[2] or -1)) if match else None
    return found


def llm_compressor(path, wanted):
    import compressed_tensors, yaml
    from compressed_tensors.quantization import QuantizationScheme
    from compressed_tensors.utils import match as matching

    match_name = getattr(matching, "match_name", None) or matching._match_name

    recipe = yaml.safe_load(path.read_text())
    found = {name: [] for name in wanted}
    for modifier in recipe["quant_stage"]["quant_modifiers"].values():
        for group in modifier["config_groups"].values():
            scheme = QuantizationScheme.model_validate(group)
            weights = scheme.weights
            for name in wanted:
                ignored = any(match_name(name, pattern) for pattern in modifier["ignore"])
                if not ignored and any(match_name(name, target) for target in scheme.targets):
                    found[name].append((weights.num_bits, weights.group_size or -1))
    for name, own in found.items():
        assert own == ([wanted[name]] if wanted[name] else []), (name, own, wanted[name])
    return f"compressed-tensors {compressed_tensors.__version__}"


def gptqmodel(path, wanted, checkout):
    """Runs the functions that look a module up in `dynamic`, cut out of the source; Python's `re` stands in for PCRE."""
    source = subprocess.run(["git", "-C", checkout, "show", "HEAD:gptqmodel/quantization/config.py"], capture_output=True, text=True, check=True).stdout
    config = json.loads(path.read_text())
    missing = object()
    scope = {"pcre": re, "_DYNAMIC_NO_MATCH": missing, "DYNAMIC_FIELD_SYNONYMS": {}}
    scope |= {f"_DYNAMIC_{kind}_CACHE": {} for kind in ("PATTERN", "OVERRIDE", "EXACT_LOOKUP", "ALL_EXACT", "REGEX_PATTERN")}
    for function in ("_extract_literal_regex_pattern", "_get_dynamic_patterns", "_resolve_dynamic_override", "dynamic_get"):
        first = source.index(f"\ndef {function}(") + 1
        last = re.compile(r"^[^\s)]", re.M).search(source, source.index("\n", first) + 1)
        exec("from __future__ import annotations\n" + source[first : last.start()], scope)
    for name, own in wanted.items():
        override = scope["dynamic_get"](config["dynamic"], name)
        if override is False:
            assert own is None, (name, own)
            continue
        settings = {**config, **(override or {})}
        assert own == (settings["bits"], settings["group_size"]), (name, own, override)
    head = subprocess.run(["git", "-C", checkout, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    return f"the matcher of GPTQModel's source, {head}"


def auto_round(path, wanted):
    import auto_round as package
    from auto_round.schemes import QuantizationScheme

    layers = json.loads(path.read_text())["layer_config"]
    assert set(layers) == set(wanted)
    for name, own in layers.items():
        scheme = QuantizationScheme.from_dict(own)
        assert wanted[name] == (None if scheme.bits == 16 else (scheme.bits, scheme.group_size)), (name, own)
    return f"auto-round {package.__version__}"


def modelopt(path, wanted):
    import modelopt, yaml
    from modelopt.torch.quantization.config import QuantizeConfig

    config = QuantizeConfig.model_validate(yaml.safe_load(path.read_text()))
    for name, own in wanted.items():
        # Later entries win, as the package says.
        found = None
        for entry in config.quant_cfg:
            if fnmatch(f"{name}.weight_quantizer", entry.quantizer_name):
                found = entry.cfg if entry.enable else None
        if own is None:
            assert found is None, name
            continue
        sizes = found.block_sizes
        assert own == (found.num_bits, sizes[-1] if sizes else -1), (name, own, found)
    return f"modelopt {modelopt.__version__}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--gptqmodel")
    arguments = parser.parse_args()
    formats = wanted(json.loads(arguments.recipe.read_text()))
    of = lambda ending: arguments.recipe.with_name(f"{arguments.recipe.stem}.{ending}")
    checks = [("llm-compressor.yaml", llm_compressor, ()), ("auto-round.json", auto_round, ()), ("modelopt.yaml", modelopt, ())]
    checks.append(("gptqmodel.json", gptqmodel, (arguments.gptqmodel,)))
    failed = False
    for ending, check, more in checks:
        path = of(ending)
        if not path.is_file() or (check is gptqmodel and not arguments.gptqmodel):
            print(f"skipped: {ending} was not written, or its tool not given")
            continue
        try:
            print(f"{ending}: every one of {len(formats)} modules as the recipe has it, by {check(path, formats, *more)}")
        except ImportError as error:
            print(f"skipped: {ending}, {error}")
        except AssertionError as error:
            failed = True
            print(f"FAILED: {ending}: {error}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
