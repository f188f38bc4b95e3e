"""Servers that refuse, hang, lie and babble. No run hangs, nothing that is no answer becomes a sample, the key is written nowhere, and
the same command with a good server afterwards fills in what is missing."""

import json
import socket

from .process import KEY, digests, ends_well
from .report import Finding
from .scenarios import remove
from .toy_server import BEHAVIOURS, good_text

# Seconds that a run may take, with the time-outs that it is given.
LIMIT = 60
QUESTIONS = 3


def attempts(bench, server):
    """Every behaviour, streamed and whole, by `benchmark run` and by `annotate run`, once."""
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
    addresses = {name: server.address(name) for name in BEHAVIOURS} | {"refusing": f"http://127.0.0.1:{closed.getsockname()[1]}/v1", "no such host": "http://nowhere.invalid/v1"}
    for streamed in [True, False]:
        for name, address in addresses.items():
            for command in ["benchmark", "annotate"]:
                yield lambda command=command, name=name, address=address, streamed=streamed, hold=closed: attempt(bench, server, command, name, address, streamed)


def attempt(bench, server, command, name, address, streamed):
    folder = bench.folder()
    for file in ["data.jsonl", "outputs.jsonl"]:
        (folder / file).write_bytes((bench.template / file).read_bytes())
    before = digests(folder)
    where = f"{command} with a server: {name}{', streamed' if streamed else ''}"
    file = folder / ("samples.jsonl" if command == "benchmark" else "marks/windows.jsonl")

    def run(address, limits):
        arguments = ["benchmark", "run", "--data", "data.jsonl", "--out", "samples.jsonl", "--max-new-tokens", "64"]
        if command == "annotate":
            arguments = ["annotate", "run", "outputs.jsonl", "--out", "marks"]
        arguments += ["--endpoint", address, "--model", "tiny", "--api-key-env", "CAMPAIGN_KEY", "--concurrency", "4", *limits]
        return bench.program.run(arguments + ([] if streamed else ["--no-stream"]), folder, LIMIT)

    result = run(address, ["--max-attempts", "2", "--idle-timeout", "2", "--timeout", "5"])
    found = ends_well(result, where)
    samples = read(file)
    may = BEHAVIOURS[name][1] if name in BEHAVIOURS else False
    if may is False and samples:
        found.append(Finding("differences", where, f"{len(samples)} samples were made of it: {samples[0]['output'][:60]!r}"))
    if may is False and result.code == 0:
        found.append(Finding("ends", where, f"nothing was answered, and the exit code is 0: {result.words()}"))
    if may and len(samples) != QUESTIONS:
        found.append(Finding("differences", where, f"{len(samples)} of {QUESTIONS} samples; {result.words()}"))
    for sample in samples:
        if not sample["output"].strip():
            found.append(Finding("differences", where, "an empty sample counts as finished"))
        if may and sample["output"] != good_text(asked(sample)):
            found.append(Finding("differences", where, f"another text than was sent: {sample['output'][:80]!r}"))
    if not found and may is not None:
        # Whoever shares the machine may take its time.
        result = run(server.address("good stream" if streamed else "good"), ["--idle-timeout", "30", "--timeout", "50"])
        found += ends_well(result, f"{where}, then a good one", (0,))
        if not found and len(read(file)) != QUESTIONS:
            found.append(Finding("differences", where, f"a good server afterwards gives {len(read(file))} of {QUESTIONS} samples; {result.words()}"))
    for path in folder.rglob("*"):
        if path.is_file() and KEY.encode() in path.read_bytes():
            found.append(Finding("differences", where, f"the key stands in {path.name}"))
    if any(digests(folder).get(path) != value for path, value in before.items()):
        found.append(Finding("foreign", where, "an input was changed"))
    if not found:
        remove(folder)
    return found


def asked(sample):
    prompt = sample["prompt"] if isinstance(sample["prompt"], str) else sample["prompt"][-1]["content"]
    return {"prompt": prompt, "seed": sample["seed"]}


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
