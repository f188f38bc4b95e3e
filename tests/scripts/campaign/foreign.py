"""Outputs where something of somebody else's stands already: in the folder, under the very names that the program writes, in its partial
folder, behind links. None of it is touched, whatever the command makes of it."""

from .process import differences, digests, ends_well
from .report import Finding
from .scenarios import remove

# Names that anybody may use.
ANY = ["notes.txt", ".hidden", "study.json.bak", "deep/thesis.tex", ".parts/mine.txt", ".tmp"]
TEXT = "years of work\n"
# A figure is drawn over an earlier one of its name: that is what `export` is asked for.
REPLACES = {"export"}


def attempts(bench, draw):
    """Every scenario in every way, once."""
    for scenario in bench.scenarios:
        for way in ["any", "same names", "one name", "partial", "link", "file", "links in it", "beside"]:
            yield lambda scenario=scenario, way=way, seed=draw.random(): attempt(bench, scenario, way, type(draw)(seed))


def attempt(bench, scenario, way, draw):
    expected, _, _ = bench.undisturbed(scenario)
    folder, elsewhere = bench.prepared(scenario), bench.folder()
    before = digests(folder)
    out = folder / scenario.outputs[0]
    made = sorted(name for name, value in expected.items() if name not in before and value != "folder")
    is_folder = out.name in expected and expected[out.name] == "folder"
    put = seed(scenario, way, folder, elsewhere, out, made, is_folder, draw)
    if put is None:
        remove(folder)
        remove(elsewhere)
        return []
    theirs, far = {name: digests(folder).get(name) for name in put}, digests(elsewhere)
    where = f"{scenario.name} where foreign files stand ({way}: {', '.join(put[:3])})"
    result = bench.program.run(scenario.arguments, folder)
    # Whoever starts shards is told by 3 that another try cannot help.
    found = ends_well(result, where, (0, 1, 2, 3) if scenario.tied else (0, 1, 2))
    after = digests(folder)
    if words := differences(theirs, {name: after[name] for name in theirs if name in after}):
        found.append(Finding("foreign", where, f"{words}; {result.words()} (in {folder})"))
    # An output folder may be a link, and be filled; what is there stays.
    now = digests(elsewhere)
    if words := differences(far, {name: now[name] for name in far if name in now}):
        found.append(Finding("foreign", where, f"behind the link {words}; {result.words()}"))
    inputs = {name: value for name, value in before.items() if name.split("/")[0] not in scenario.outputs}
    if words := differences(inputs, {name: after[name] for name in inputs if name in after}):
        found.append(Finding("foreign", where, f"an input: {words}"))
    if not found:
        remove(folder)
        remove(elsewhere)
    return found


def seed(scenario, way, folder, elsewhere, out, made, is_folder, draw):
    """Puts foreign files there and names them; nothing where the way makes no sense for this output."""

    def put(names):
        kept = []
        for name in names:
            path = folder / name
            if path.exists() or any(parent.is_file() for parent in path.parents):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(TEXT)
            kept.append(name)
        return kept or None

    if way == "any":
        return put([f"{out.name}/{name}" for name in ANY]) if is_folder else None
    if way == "same names":
        return None if scenario.name in REPLACES else put(made)
    if way == "one name":
        return None if scenario.name in REPLACES or not made else put([draw.choice(made)])
    if way == "partial":
        return put([f".{out.name}.partial/notes.txt", f".{out.name}.partial/model-layer-00001.txt"])
    if way == "beside":
        return put([f".{out.name}.1.new/mine", f".{out.name}.1.old/mine", f"{out.name}.bak", f"{out.name}.tmp", f".{out.name}.mine"])
    if out.exists():
        return None
    if way == "file":
        return put([out.name]) if is_folder else None
    if way == "link":
        if is_folder:
            (elsewhere / "album").mkdir()
            (elsewhere / "album/photo.jpg").write_text(TEXT)
            out.symlink_to(elsewhere / "album")
            return [out.name]
        (elsewhere / "diary.jsonl").write_text(TEXT)
        out.symlink_to(elsewhere / "diary.jsonl")
        return [out.name]
    if is_folder:  # links in it
        (elsewhere / "diary").write_text(TEXT)
        out.mkdir()
        names = [name for name in made if name.count("/") == 1]
        if scenario.name in REPLACES or not names:
            return None
        for name in names:
            (folder / name).symlink_to(elsewhere / "diary")
        return names
    return None

