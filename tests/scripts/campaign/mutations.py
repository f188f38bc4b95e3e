"""Files that were changed. Whatever is in them, the reading command ends by itself within its time and memory, with a documented exit
code, without a panic, and writes nothing but its output. Where it takes a changed header and prints other numbers, that is listed."""

import os
import pathlib
import shutil

from .mutate import change
from .process import digests, ends_well
from .report import Finding
from .scenarios import remove

LIMIT = 40
PERPLEXITY = ["perplexity", "--model", "model", "--tokens", "tokens.safetensors", "--json"]
GENERATE = ["generate", "--model", "model", "--prompt", "Once upon", "--max-new-tokens", "4", "--json"]
INTERPRET = ["interpret", "--model", "model", "--traces", "traces.jsonl", "--annotations", "annotations.jsonl", "--out", "out"]
COMPRESS = ["compress", "--model", "model", "--method", "rtn", "--group-size", "16", "--out", "out", "--json"]
TEMPLATE = ["benchmark", "run", "--data", "data.jsonl", "--endpoint", "http://127.0.0.1:9/v1", "--model", "tiny", "--prompt", "chat-template", "--template", "model", "--out", "out", "--dry-run", "--json"]
GGUF = ["--model", "model.gguf"]
PLAN = "planned.plan.json"
# Files and the commands that read them, all on the campaign's material.
READERS = [
    ("model/config.json", [PERPLEXITY, COMPRESS, INTERPRET]),
    ("model/model.safetensors", [PERPLEXITY, COMPRESS]),
    ("model/tokenizer.json", [GENERATE]),
    ("model/tokenizer_config.json", [GENERATE, TEMPLATE]),
    ("model/generation_config.json", [GENERATE]),
    ("model.gguf", [["perplexity", *GGUF, "--tokens", "tokens.safetensors", "--json"], ["generate", *GGUF, "--prompt", "a", "--max-new-tokens", "4", "--json"]]),
    ("tokens.safetensors", [PERPLEXITY]),
    ("traces.jsonl", [INTERPRET]),
    ("annotations.jsonl", [INTERPRET]),
    ("outputs.jsonl", [["score", "outputs.jsonl", "--data", "data.jsonl", "--json"], ["analyze", "outputs", "outputs.jsonl", "--data", "data.jsonl", "--json"], ["annotate", "summary", "outputs.jsonl", "--annotations", "marked.jsonl", "--json"]]),
    ("marked.jsonl", [["annotate", "summary", "outputs.jsonl", "--annotations", "marked.jsonl", "--json"]]),
    ("data.jsonl", [["score", "outputs.jsonl", "--data", "data.jsonl", "--json"]]),
    ("samples.jsonl", [["benchmark", "status", "samples.jsonl", "--json"], ["score", "samples.jsonl", "--data", "data.jsonl", "--json"]]),
    ("results.json", [["export", "results.json", "--view", "benchmarks", "--format", "svg,csv,latex", "--out", "out"], ["score", "outputs.jsonl", "--data", "data.jsonl", "--results", "results.json"]]),
    ("study/study.json", [["show", "study", "--json"], ["export", "study", "--format", "svg,csv,latex", "--out", "out"], ["shift", "--from", "study", "--to", "study"]]),
    ("study/importance.safetensors", [["show", "study", "--json"], ["export", "study", "--format", "csv", "--out", "out"]]),
    ("study/channels.safetensors", [["export", "study", "--view", "channels", "--format", "csv", "--out", "out"]]),
    ("study/compression.json", [["export", "study", "--view", "compression", "--format", "csv", "--out", "out"]]),
    ("study/validation.json", [["export", "study", "--view", "validation", "--format", "csv", "--out", "out"], ["publish", "study", "--page", "page", "--out", "out"]]),
    ("study/sensitivity.safetensors", [["allocate", "--study", "study", "--max-kl", "100", "--out", "out"], ["export", "study", "--view", "budget", "--format", "csv", "--out", "out"]]),
    ("study/divergence.safetensors", [["export", "study", "--view", "divergence", "--format", "csv", "--out", "out"]]),
    ("site/site.json", [["publish", "study", "--page", "page", "--out", "site"]]),
    ("small/cruxscope_compression.json", [["compression-report", "small", "--json"], ["interpret", *["--model", "small"], *INTERPRET[3:]]]),
    ("small/model.safetensors.index.json", [["perplexity", "--model", "small", "--tokens", "tokens.safetensors", "--json"]]),
    ("packed/model-layer-00001.safetensors", [["perplexity", "--model", "packed", "--tokens", "tokens.safetensors", "--json"]]),
    ("packed/config.json", [["perplexity", "--model", "packed", "--tokens", "tokens.safetensors", "--json"]]),
    (PLAN, [["shard", "status", "planned.plan.json", "--json"], ["shard", "run", "planned.plan.json"], ["shard", "merge", "planned.plan.json", "--json"]]),
]
# Files that describe a model; in others every change is one of what they say.
MODELS = ("model/", "model.gguf", "small/", "packed/", "formats-")
# Where readers write; everything else must stay.
OUTPUTS = {"out", "results.json", "site", "planned", "home"}


class Corpus:
    """A folder with one of every file, made by the program itself, and what the readers print of it unchanged."""

    def __init__(self, bench, endpoint, part):
        self.bench, self.folder, self.said = bench, bench.folder(), {}
        shutil.copytree(bench.template, self.folder, dirs_exist_ok=True)
        model = ["--model", "model"]
        tokens = ["--calibration-tokens", "tokens.safetensors"]
        rtn = ["--method", "rtn", "--group-size", "16"]
        for arguments in [
            ["compress", *model, *rtn, "--out", "small"],
            ["compress", *model, *rtn, "--packed", "gptq-v2", "--out", "packed"],
            ["interpret", "--model", "small", *INTERPRET[3:-1], "study", "--channels"],
            ["sensitivity", "--model", "small", "--tokens", "tokens.safetensors", "--formats", "rtn-3-g16,rtn-4-g16", "--draws", "1", "--out", "study"],
            ["compare", "--model", "model", "--model", "small", "--tokens", "tokens.safetensors", "--out", "study"],
            ["validate", "--study", "study", "--model", "small", *rtn, *tokens],
            ["benchmark", "run", "--data", "data.jsonl", "--endpoint", endpoint, "--model", "tiny", "--no-stream", "--max-new-tokens", "16", "--out", "samples.jsonl"],
            ["score", "outputs.jsonl", "--data", "data.jsonl", "--results", "results.json"],
            ["publish", "study", "--page", "page", "--out", "site"],
            ["shard", "plan", *model, *INTERPRET[3:-1], "planned", "--shards", "2", "--plan", "planned.plan.json"],
        ]:
            result = bench.program.run(arguments, self.folder)
            if result.code != 0:
                raise RuntimeError(f"the corpus: {' '.join(arguments)}: {result.words()}")
        self.readers = [reader for reader in READERS if (self.folder / reader[0]).is_file()]
        for name, _ in READERS:
            if not (self.folder / name).is_file():
                part.skip(f"changes of {name}", "the program does not write it")
        self.readers += self.fixtures(part)
        # Unchanged, every reader is content; otherwise its file would prove nothing.
        for name, commands in self.readers:
            for arguments in commands:
                copy = self.copy(name)
                result = bench.program.run(arguments, copy)
                if result.code != 0 and arguments[:2] != ["shard", "merge"]:
                    raise RuntimeError(f"the corpus: {' '.join(arguments)}: {result.words()}")
                self.said[str(arguments)] = result.out
                remove(copy)

    def fixtures(self, part):
        """The checkpoints of the repository in other formats, and those of CRUXSCOPE_FIXTURES."""
        places = [pathlib.Path(__file__).parents[2] / "fixtures/formats"]
        if more := os.environ.get("CRUXSCOPE_FIXTURES"):
            places.append(pathlib.Path(more) / "formats")
        else:
            part.skip("changes of further fixtures", "CRUXSCOPE_FIXTURES is not set")
        found = []
        for place in places:
            for model in sorted(place.glob("*/config.json")):
                name = f"formats-{model.parent.name}"
                if (self.folder / name).exists() or sum(path.stat().st_size for path in model.parent.iterdir()) > 4 << 20:
                    continue
                shutil.copytree(model.parent, self.folder / name)
                read = ["perplexity", "--model", name, "--tokens", "tokens.safetensors", "--json"]
                if self.bench.program.run(read, self.folder).code != 0:
                    shutil.rmtree(self.folder / name)  # refused by name as it is
                    continue
                found += [(f"{name}/{file.name}", [read]) for file in sorted((self.folder / name).iterdir()) if file.name == "config.json" or file.suffix == ".safetensors"]
        return found

    def copy(self, name):
        """Only what the readers of a file need: other checkpoints are left behind."""
        folder = self.bench.folder()
        keep = name.split("/")[0]
        for entry in self.folder.iterdir():
            if entry.name.startswith(("formats-", "packed", "small", "site", "home")) and entry.name != keep:
                continue
            if entry.name == "model.gguf" and keep != "model.gguf":
                continue
            (shutil.copytree if entry.is_dir() else shutil.copy)(entry, folder / entry.name)
        plan = folder / PLAN
        plan.write_text(plan.read_text().replace(str(self.folder), str(folder)))
        return folder


def attempts(bench, endpoint, part, draw):
    """Without end, over all files in turn."""
    corpus = Corpus(bench, endpoint, part)
    while True:
        order = corpus.readers[:]
        draw.shuffle(order)
        for name, commands in order:
            yield lambda name=name, arguments=draw.choice(commands), seed=draw.random(): attempt(corpus, part, name, arguments, type(draw)(seed))


def attempt(corpus, part, name, arguments, draw):
    folder = corpus.copy(name)
    changed, what, is_header = change(draw, name, (folder / name).read_bytes())
    (folder / name).write_bytes(changed)
    before = outside(folder)
    where = f"{' '.join(arguments[:2])} of {name}: {what}"
    result = corpus.bench.program.run(arguments, folder, LIMIT)
    # Whoever starts shards is told by 3 that another try cannot help.
    found = ends_well(result, where, (0, 1, 2, 3) if arguments[0] == "shard" else (0, 1, 2))
    if result.code in (1, 2, 3) and not result.err.strip():
        found.append(Finding("ends", where, f"exit {result.code} without a word"))
    if result.code == 0 and is_header and name.startswith(MODELS) and result.out != corpus.said[str(arguments)]:
        part.listing(f"{where}: exit 0, other output")
    if outside(folder) != before:
        found.append(Finding("foreign", where, f"something beside the output was changed (in {folder})"))
    if not found:
        remove(folder)
    else:
        found[0].what += f" (in {folder})"
    return found


def outside(folder):
    """Everything but what readers may write."""
    return {name: value for name, value in digests(folder).items() if name.split("/")[0].lstrip(".").removesuffix(".lock").removesuffix(".partial") not in OUTPUTS}
