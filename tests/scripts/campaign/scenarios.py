"""Commands that write, each with its inputs, and what an undisturbed run of it leaves behind."""

import dataclasses
import shutil
import threading
import time

from . import material
from .process import differences, digests

CALLS = ["write", "sync", "rename", "open", "unlink", "mkdir", "truncate"]
MODEL, TRACES = ["--model", "model"], ["--traces", "traces.jsonl", "--annotations", "annotations.jsonl"]
CALIBRATION = ["--calibration-tokens", "tokens.safetensors"]


@dataclasses.dataclass
class Scenario:
    """A command. `before` are commands whose outputs it needs; `other` is the same command with other settings into the same output."""

    name: str
    arguments: list
    inputs: list
    outputs: list
    other: list = None
    before: list = ()
    # Whether lines are appended to an output, so that it is not whole at every moment.
    appends: bool = False
    # Whether an input holds the folder's own path, and cannot be copied from another one.
    tied: bool = False


def known(endpoint):
    """All of them; `{...}/v1` stands for the toy server's address."""
    compress = ["compress", *MODEL, "--out", "small"]
    interpret = ["interpret", *MODEL, *TRACES, "--out", "study"]
    asks = ["--endpoint", endpoint, "--model", "tiny", "--no-stream", "--concurrency", "1"]
    benchmark = ["benchmark", "run", "--data", "data.jsonl", *asks, "--max-new-tokens", "16", "--out", "samples.jsonl"]
    annotate = ["annotate", "run", "outputs.jsonl", *asks, "--out", "marks"]
    plan = ["shard", "plan", *MODEL, *TRACES, "--out", "study", "--shards", "2"]
    score = ["score", "outputs.jsonl", "--data", "data.jsonl", "--results", "results.json"]
    text = ["model", "traces.jsonl", "annotations.jsonl", "tokens.safetensors"]
    return [
        Scenario("compress rtn", [*compress, "--method", "rtn", "--group-size", "16"], ["model"], ["small"], [*compress, "--method", "rtn", "--group-size", "16", "--bits", "3"]),
        Scenario("compress gptq", [*compress, "--method", "gptq", "--group-size", "16", *CALIBRATION], text, ["small"], [*compress, "--method", "magnitude"]),
        Scenario("compress awq packed", [*compress, "--method", "awq", "--group-size", "16", "--packed", "gptq-v2", "--basis", "folded", *CALIBRATION], text, ["small"]),
        Scenario("interpret", interpret, text, ["study"], [*interpret, "--definition", "reference"]),
        Scenario("interpret channels", [*interpret, "--channels"], text, ["study"], [*interpret, "--limit", "2"]),
        Scenario("shard plan", plan, text, ["study.plan.json"], [*plan[:-1], "3"]),
        Scenario("shard run", ["shard", "run", "study.plan.json", "--shard", "1/2"], text, ["study"], before=[plan], tied=True),
        Scenario("merge", ["shard", "merge", "study.plan.json"], text, ["study"], before=[plan, ["shard", "run", "study.plan.json"]], tied=True),
        Scenario("benchmark", [*benchmark, "--samples-per-question", "2"], ["data.jsonl"], ["samples.jsonl"], [*benchmark, "--temperature", "0.9"], appends=True),
        Scenario("annotate", annotate, ["outputs.jsonl"], ["marks"], [*annotate, "--temperature", "0.5"], appends=True),
        Scenario("score", score, ["outputs.jsonl", "data.jsonl"], ["results.json"], [*score, "--compression", "3-bit RTN"]),
        Scenario("validate", ["validate", "--study", "study", *MODEL, "--method", "rtn", *CALIBRATION, "--group-size", "16"], text, ["study"], before=[interpret]),
        Scenario("publish", ["publish", "published", "--page", "page", "--out", "site"], ["published", "page"], ["site"], ["publish", "published", "--page", "page", "--out", "site", "--title", "Another"]),
        Scenario("publish again", ["publish", "published", "--page", "page", "--out", "site", "--title", "New"], ["published", "page"], ["site"], before=[["publish", "published", "--page", "page", "--out", "site"]]),
        Scenario("export", ["export", "published", "--format", "svg,pdf,png,csv,latex", "--out", "figures"], ["published"], ["figures"]),
        Scenario("sensitivity", ["sensitivity", *MODEL, "--tokens", "tokens.safetensors", "--formats", "rtn-3-g16,rtn-4-g16", "--draws", "1", "--out", "study"], text, ["study"]),
    ]


class Bench:
    """Prepares folders for attempts, and knows what undisturbed runs give."""

    def __init__(self, program, scratch, endpoint, part):
        self.program, self.scratch, self.lock, self.number = program, scratch, threading.Lock(), 0
        self.template = scratch / "template"
        if not self.template.exists():
            material.build(self.template)
        self.known, self.undisturbed_runs, self.locks = {}, {}, {}
        self.prepared_folders = {}
        commands = program.run(["--help"], scratch).out
        self.scenarios = []
        for scenario in known(endpoint):
            if f"\n  {scenario.arguments[0]} " in commands:
                self.scenarios.append(scenario)
            else:
                part.skip(scenario.name, "this program does not know the command")

    def folder(self):
        """A new empty folder."""
        with self.lock:
            self.number += 1
            folder = self.scratch / f"try-{self.number}"
        folder.mkdir()
        return folder

    def prepared(self, scenario):
        """A new folder with all inputs of a scenario, as they are just before it begins."""
        with self.lock:
            mine = self.locks.setdefault(scenario.name, threading.RLock())
        with mine:
            if scenario.tied:
                return self.fresh(scenario)
            if scenario.name not in self.prepared_folders:
                self.prepared_folders[scenario.name] = self.fresh(scenario)
        folder = self.folder()
        shutil.copytree(self.prepared_folders[scenario.name], folder, dirs_exist_ok=True, symlinks=True)
        return folder

    def fresh(self, scenario):
        folder = self.folder()
        for name in scenario.inputs:
            source = self.template / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        for arguments in scenario.before:
            result = self.program.run(arguments, folder)
            if result.code != 0:
                raise RuntimeError(f"{scenario.name}: cannot be prepared: {result.words()}")
        return folder

    def undisturbed(self, scenario):
        """Digests after an undisturbed run, its seconds, and how often it makes each kind of call."""
        with self.lock:
            mine = self.locks.setdefault(scenario.name, threading.RLock())
        with mine:
            if scenario.name not in self.undisturbed_runs:
                folder = self.prepared(scenario)
                began = time.monotonic()
                result = self.program.run(scenario.arguments, folder)
                seconds = time.monotonic() - began
                if result.code != 0:
                    raise RuntimeError(f"{scenario.name}: an undisturbed run fails: {result.words()}")
                expected = digests(folder)
                calls = {}
                again, count = self.prepared(scenario), self.scratch / f"count-{self.number}"
                settings = {"CAMPAIGN_CALLS": ",".join(CALLS), "CAMPAIGN_COUNT": str(count)} if self.program.preload else None
                self.program.run(scenario.arguments, again, settings=settings)
                if words := differences(expected, digests(again)):
                    raise RuntimeError(f"{scenario.name}: two undisturbed runs differ: {words}")
                if settings:
                    calls = {kind: int(number) for kind, number in map(str.split, count.read_text().splitlines())}
                remove(again)
                remove(folder)
                self.undisturbed_runs[scenario.name] = (expected, seconds, calls)
        return self.undisturbed_runs[scenario.name]


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
