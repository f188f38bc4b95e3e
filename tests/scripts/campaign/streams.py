"""Closed and full standard streams. Diagnostics never decide a result; data that cannot be printed are an error, never a panic."""

from .kills import runs_to_its_end
from .process import differences, digests, ends_well
from .report import Finding
from .scenarios import remove

STREAMS = {"stderr closed": "2>&-", "stderr full": "2>/dev/full", "stdout closed": ">&-", "stdout full": ">/dev/full", "all closed": ">&- 2>&- <&-", "nobody reads": "| :"}
# Commands that print, on inputs that the material has.
PRINTING = [
    (["show", "published"], ["published"]),
    (["show", "published", "--json"], ["published"]),
    (["perplexity", "--model", "model", "--tokens", "tokens.safetensors"], ["model", "tokens.safetensors"]),
    (["generate", "--model", "model", "--prompt", "Once", "--max-new-tokens", "8"], ["model"]),
    (["benchmark", "published"], []),
    (["score", "outputs.jsonl", "--data", "data.jsonl"], ["outputs.jsonl", "data.jsonl"]),
    (["annotate", "summary", "outputs.jsonl", "--annotations", "marked.jsonl"], ["outputs.jsonl", "marked.jsonl"]),
    (["analyze", "outputs", "outputs.jsonl", "--data", "data.jsonl"], ["outputs.jsonl", "data.jsonl"]),
    (["--help"], []),
    (["completions", "bash"], []),
    (["devices"], []),
    (["compress", "--model", "nowhere", "--method", "rtn", "--out", "small"], []),
]


def attempts(bench):
    """Every scenario and every printing command with every stream, once."""
    for how, redirect in STREAMS.items():
        for scenario in bench.scenarios:
            yield lambda scenario=scenario, how=how, redirect=redirect: writes(bench, scenario, how, redirect)
        for arguments, inputs in PRINTING:
            yield lambda arguments=arguments, inputs=inputs, how=how, redirect=redirect: prints(bench, arguments, inputs, how, redirect)


def writes(bench, scenario, how, redirect):
    expected, _, _ = bench.undisturbed(scenario)
    folder = bench.prepared(scenario)
    where = f"{scenario.name} with {how}"
    result = bench.program.run(scenario.arguments, folder, redirect=redirect)
    # What is written is done whether or not it can be told of; only data that were to be printed are missed.
    found = ends_well(result, where, (0, 1) if how == "stdout full" else (0,))
    if not found and result.code == 1:
        found = runs_to_its_end(bench, scenario, folder, expected, where)
    elif not found and (words := differences(expected, digests(folder))):
        found.append(Finding("differences", where, f"{words} (in {folder})"))
    if not found:
        remove(folder)
    return found


def prints(bench, arguments, inputs, how, redirect):
    where = f"{' '.join(arguments)} with {how}"
    result = bench.program.run(arguments, bench.template, redirect=redirect)
    found = ends_well(result, where, (0, 1, 2))
    if not found and how == "stdout full" and result.code == 0 and arguments[0] in ("show", "perplexity", "generate", "score", "benchmark"):
        found.append(Finding("differences", where, "what was to be printed is lost, and the exit code is 0"))
    if not found and "nowhere" not in arguments and how.startswith("stderr") and result.code != 0:
        found.append(Finding("ends", where, result.words()))
    return found
