"""`cruxscope demo`, which takes a minute or two: an undisturbed run goes on beside the other parts; then pieces of its output are taken away,
and the runs that make them again are killed."""

import shutil

from .kills import runs_to_its_end
from .process import differences, digests, end, ends_well
from .report import Finding
from .scenarios import Scenario, remove

ARGUMENTS = ["demo", "--no-window", "--puzzles", "4", "--instances", "1", "--controls", "1", "--json", "--out", "demo"]
# Pieces that are taken away together, so that the run has something to do: what is opened at the end, and a model's answers.
ENDS = ["summary.json", "results.json", "collection.json"]
LIMIT = 900


class Demo:
    """Begins the undisturbed run."""

    def __init__(self, program, bench):
        self.program, self.bench, self.folder, self.expected = program, bench, bench.folder(), None
        self.process = program.start([*ARGUMENTS, "--threads", "1"], self.folder)

    def end(self):
        end(self.process)

    def attempts(self, part, draw, seconds):
        """Without end, once the undisturbed run is there."""
        if seconds < 60:
            return part.skip("demo", "an undisturbed one takes a minute or two: give --minutes 8 or more")
        result = self.program.finish(self.process, seconds)
        if result.code is None:
            return part.skip("demo", f"an undisturbed one was not finished after {seconds:.0f} s more: give more --minutes")
        if result.code != 0:
            yield lambda: [Finding("ends", "demo", result.words())]
            return
        self.expected = digests(self.folder)
        while True:
            yield lambda seed=draw.random(): self.attempt(type(draw)(seed))

    def attempt(self, draw):
        folder = self.bench.folder()
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        out = folder / "demo"
        for name in ENDS[draw.randrange(3) :]:
            (out / name).unlink()
        pieces = sorted([*(out / "answers").iterdir(), *(out / "studies").iterdir(), *(out / "models").iterdir()])
        for piece in draw.sample(pieces, draw.randint(1, 2)):
            shutil.rmtree(piece) if piece.is_dir() else piece.unlink()
        scenario = Scenario("demo", ARGUMENTS, [], ["demo"])
        if draw.random() < 0.6 and self.program.preload:
            call, number = draw.choice(["rename", "unlink", "sync", "write", "open", "mkdir"]), draw.randint(1, 40)
            where = f"demo, killed at {call} {number}"
            result = self.program.run(ARGUMENTS, folder, LIMIT, settings={"CAMPAIGN_CALLS": call, "CAMPAIGN_AT": str(number), "CAMPAIGN_ERROR": "0"})
        else:
            moment = draw.uniform(0.1, 15)
            where = f"demo, killed after {moment:.1f} s"
            result = self.program.kill_after(ARGUMENTS, folder, moment)
        found = ends_well(result, where, (-9, 0))
        result = self.program.run(ARGUMENTS, folder, LIMIT)
        found += ends_well(result, where, (0,))
        if not found and (words := differences(self.expected, digests(folder))):
            found.append(Finding("differences", where, f"{words} (in {folder})"))
        if not found:
            remove(folder)
        return found
