"""Processes that are killed: at any moment, and at the n-th write, sync, rename, … Afterwards the same command must give the bytes of
an undisturbed run, leave nothing over, and touch nothing else."""

from .process import differences, digests, ends_well
from .report import Finding
from .scenarios import remove


def attempts(bench, draw):
    """Without end."""
    while True:
        for scenario in bench.scenarios:
            yield lambda scenario=scenario, seed=draw.random(): attempt(bench, scenario, type(draw)(seed))


def attempt(bench, scenario, draw):
    expected, seconds, calls = bench.undisturbed(scenario)
    folder, told = bench.prepared(scenario), []
    found = []
    for _ in range(1 if draw.random() < 0.7 else 2):
        at = [call for call in calls for _ in range(min(calls[call], 4))]
        if at and draw.random() < 0.7:
            call = draw.choice(at)
            number = draw.randint(1, calls[call])
            told.append(f"{call} {number} of {calls[call]}")
            result = bench.program.run(scenario.arguments, folder, settings={"CAMPAIGN_CALLS": call, "CAMPAIGN_AT": str(number), "CAMPAIGN_ERROR": "0"})
        else:
            moment = draw.uniform(0, 1.3 * seconds)
            told.append(f"{moment:.3f} s")
            result = bench.program.kill_after(scenario.arguments, folder, moment)
        found += ends_well(result, f"{scenario.name}, killed at {told}", (-9, 0, 1, 2))
    found += runs_to_its_end(bench, scenario, folder, expected, f"{scenario.name}, killed at {' and '.join(told)}")
    if not found:
        remove(folder)
    return found


def runs_to_its_end(bench, scenario, folder, expected, where):
    """Runs a scenario to its end and compares."""
    result = bench.program.run(scenario.arguments, folder)
    # A model that was put in place just before the kill is there, which is said with exit code 2.
    is_there = result.code == 2 and "exists already" in result.err
    found = [] if is_there else ends_well(result, where, (0,))
    if not found and (words := differences(expected, digests(folder))):
        found.append(Finding("differences", where, f"{words} (in {folder})"))
    return found
