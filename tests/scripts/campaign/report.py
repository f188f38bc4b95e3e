"""What was tried and what was found: counts by part, and the runner that tries things until its time is spent."""

import concurrent.futures
import dataclasses
import threading
import time
import traceback

# The kinds of findings, in the order in which they are printed. "ends" are signals and exit codes that say the wrong thing.
KINDS = ["differences", "panics", "foreign", "time-outs", "ends"]
# Findings of a part that are printed in full; the rest is counted.
SHOWN = 25


@dataclasses.dataclass
class Finding:
    """Something that should not be: its kind, on what, and what was seen."""

    kind: str
    where: str
    what: str


class Part:
    """Counts of one part of the campaign."""

    def __init__(self, name):
        self.name, self.tries, self.findings, self.listed, self.skipped = name, 0, [], [], []
        self.began, self.lock = time.monotonic(), threading.RLock()

    def counts(self):
        return {kind: sum(finding.kind == kind for finding in self.findings) for kind in KINDS}

    def skip(self, what, why):
        """Says that something is left out; once for each reason."""
        with self.lock:
            if (what, why) not in self.skipped:
                self.skipped.append((what, why))
                print(f"skipped: {what}: {why}", flush=True)

    def listing(self, text):
        """Keeps something that is no fault but should be seen."""
        with self.lock:
            self.listed.append(text)

    def run(self, attempts, seconds, jobs):
        """Makes attempts, several at once, until there are none left or the time is spent. Each returns its findings."""
        end, source = time.monotonic() + seconds, iter(attempts)

        def work():
            while time.monotonic() < end:
                try:
                    with self.lock:
                        attempt = next(source, None)
                    if attempt is None:
                        return
                    found = list(attempt())
                except Exception:  # a fault of the campaign itself must not pass for a clean run
                    found = [Finding("ends", "the campaign", traceback.format_exc())]
                with self.lock:
                    self.tries += 1
                    self.findings += found
                    for finding in found:
                        if len(self.findings) <= SHOWN:
                            print(f"  {self.name}: {finding.kind}: {finding.where}: {finding.what}", flush=True)

        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for future in [pool.submit(work) for _ in range(jobs)]:
                future.result()

    def print(self):
        seconds = time.monotonic() - self.began
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts().items())
        listed = f", {len(self.listed)} listed" if self.listed else ""
        print(f"{self.name}: {self.tries} tries, {counts}{listed} ({seconds:.0f} s)", flush=True)
        for text in sorted(self.listed)[:SHOWN]:
            print(f"  listed: {text}")
