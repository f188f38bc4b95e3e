"""Two processes at once into one output. With the same settings one waits or is refused, and the result is right; with other settings
nothing is mixed: what is there at the end is what the two would have left one after the other, or one alone."""

import time

from .kills import runs_to_its_end
from .process import differences, digests, ends_well
from .report import Finding
from .scenarios import remove


def attempts(bench, draw):
    """Without end."""
    alone = {}
    while True:
        for scenario in bench.scenarios:
            yield lambda scenario=scenario, seed=draw.random(): same(bench, scenario, type(draw)(seed))
            if scenario.other:
                yield lambda scenario=scenario, seed=draw.random(): other(bench, scenario, type(draw)(seed), alone)


def both(bench, first, second, folder, seconds, draw):
    """Two runs, the second a moment later; writes and renames take a while, so that they meet."""
    settings = None
    if bench.program.preload and draw.random() < 0.6:
        settings = {"CAMPAIGN_CALLS": "rename,sync,unlink", "CAMPAIGN_ERROR": "-1", "CAMPAIGN_PAUSE": str(draw.choice([2000, 20000]))}
        seconds *= 2
    begun = [bench.program.start(first, folder, settings=settings)]
    time.sleep(draw.uniform(0, seconds))
    begun.append(bench.program.start(second, folder, settings=settings))
    return [bench.program.finish(process) for process in begun]


def same(bench, scenario, draw):
    expected, seconds, _ = bench.undisturbed(scenario)
    folder = bench.prepared(scenario)
    results = both(bench, scenario.arguments, scenario.arguments, folder, seconds, draw)
    where = f"{scenario.name} twice at once"
    found = [finding for result in results for finding in ends_well(result, where)]
    if not found and all(result.code for result in results):
        found.append(Finding("differences", where, f"neither came to its end: {results[0].words()}; {results[1].words()}"))
    if not found and (words := differences(expected, digests(folder))):
        found.append(Finding("differences", where, f"{words}; {[result.words() for result in results]} (in {folder})"))
    if not found:
        found = runs_to_its_end(bench, scenario, folder, expected, where)
        remove(folder)
    return found


def other(bench, scenario, draw, alone):
    _, seconds, _ = bench.undisturbed(scenario)
    orders = [(scenario.arguments, scenario.other), (scenario.other, scenario.arguments)]
    if scenario.name not in alone:
        alone[scenario.name] = [one_after_the_other(bench, scenario, order) for order in orders]
    first = draw.randrange(2)
    folder = bench.prepared(scenario)
    results = both(bench, *orders[first], folder, seconds, draw)
    where = f"{scenario.name} beside one with other settings"
    found = [finding for result in results for finding in ends_well(result, where)]
    codes = tuple(result.code == 0 for result in results)
    state = digests(folder)
    allowed = []
    for order in range(2):
        single, (done, after) = alone[scenario.name][order]
        swapped = codes if order == first else codes[::-1]
        if swapped == (True, False):
            allowed.append(single)
        if swapped == done:
            allowed.append(after)
    if not found and state not in allowed:
        words = [differences(one, state) for one in allowed]
        found.append(Finding("differences", where, f"neither of the two: {words}; {[result.words() for result in results]} (in {folder})"))
    if not found:
        remove(folder)
    return found


def one_after_the_other(bench, scenario, order):
    """What is there after the first, and after the second; and which of the two succeeded."""
    folder = bench.prepared(scenario)
    done = [bench.program.run(order[0], folder).code == 0]
    single = digests(folder)
    done.append(bench.program.run(order[1], folder).code == 0)
    after = digests(folder)
    remove(folder)
    return single, (tuple(done), after)
