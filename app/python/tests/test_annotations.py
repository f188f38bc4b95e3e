"""The reading of annotated traces in Python, against the program's and against published segments."""

import gzip
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import support

import cruxscope
from cruxscope.annotations import Section, align, locate, parse

TINY = Path(__file__).resolve().parents[3] / "tests/fixtures/tiny"


class Reading(unittest.TestCase):
    def sections(self, text, reading):
        return [(section.label, section.text) for section in parse(text, reading).sections]

    def test_plain_sections_read_the_same_either_way(self):
        text = 'before ["initializing"] Okay,\n so. ["end-section"]between["adding-knowledge"]\u001fé = 1\u00a0["end-section"] after'
        for reading in ("strict", "tolerant"):
            self.assertEqual(self.sections(text, reading), [("initializing", "Okay,\n so."), ("adding-knowledge", "é = 1")])

    def test_respelled_labels_are_tolerated_only(self):
        text = '["5. backtracking"] Wait. ["end-section"] ["Example_testing"] Try 3. [“End section”] ["deduction"] So. ["end-section"]'
        self.assertEqual(self.sections(text, "tolerant"), [("backtracking", "Wait."), ("example-testing", "Try 3."), ("deduction", "So.")])
        self.assertEqual(parse(text).tolerated, 2)
        self.assertEqual(self.sections(text, "strict"), [("deduction", "So.")])

    def test_a_nested_tag_closes_the_outer_section_there(self):
        text = '["deduction"] So a. ["backtracking"] Wait. ["end-section"] rest ["end-section"]'
        self.assertEqual(self.sections(text, "tolerant"), [("deduction", "So a."), ("backtracking", "Wait.")])
        self.assertEqual((parse(text).repaired, parse(text).tolerated), (1, 1))
        self.assertEqual(self.sections(text, "strict"), [("deduction", 'So a. ["backtracking"] Wait.')])

    def test_unclosed_unknown_and_lists(self):
        parsed = parse('["insight"] x ["end-section"] ["7"] [""] ["a", "b"] [backtracking] ["backtracking"] never ends ["deuction"]')
        self.assertEqual((parsed.sections, parsed.unclosed, parsed.unknown_labels), ([], 1, 2))


class Alignment(unittest.TestCase):
    def spans(self, prompt, output, texts, alignment="forward-search"):
        located, _ = align(prompt, output, [Section("deduction", text) for text in texts], alignment)
        found = {place.section: (place.start, place.end) for place in located}
        return [found.get(number) for number in range(len(texts))]

    def test_repeated_text_finds_its_own_place_going_forward(self):
        prompt, output = "é Wait. ", "Wait. So. Wait. So."
        self.assertEqual(self.spans(prompt, output, ["Wait.", "So.", "Wait.", "So."]), [(8, 13), (14, 17), (18, 23), (24, 27)])
        self.assertEqual(self.spans(prompt, output, ["Wait.", "So.", "Wait."], "published"), [(2, 7), (14, 17), (2, 7)])

    def test_a_jump_back_the_prompt_and_the_longest_block(self):
        texts = ["Third.", "First.", "Only here.", "Second."]
        self.assertEqual(self.spans("Only here. ", "First. Second. Third.", texts), [(26, 32), (11, 17), (0, 10), (18, 25)])
        output = "alpha beta gamma delta. x alpha beta gamma delta. alpha beta gamma"
        self.assertEqual(self.spans("", output, ["x", "alpha beta gamma delta!"]), [(24, 25), (26, 48)])
        self.assertEqual(self.spans("", output, ["delta. alpha", "alpha beta gamma delta!"]), [(43, 55), (0, 22)])

    def test_drops_have_reasons(self):
        sections = [Section("backtracking", ""), Section("deduction", "0123456789 something else")]
        located, dropped = align("p", "0123456789", sections)
        self.assertEqual((located, [drop.reason for drop in dropped]), ([], ["empty", "not-found"]))
        self.assertEqual(dropped[1].coverage, 0.4)

    def test_the_first_holder_of_a_character_counts(self):
        self.assertEqual(locate([(0, 0), (0, 3), (3, 4), (3, 4), (5, 8), (0, 0)], 9), [1, 1, 1, 2, None, 4, 4, 4, None])

    def test_published_segments(self):
        text, data = support.needs_fixtures("interpret", "text"), support.needs_data()

        def read(name):
            with (gzip.open if name.endswith(".gz") else open)(data / name, "rt", encoding="utf-8") as file:
                return {record["id"]: record for record in map(json.loads, file)}

        names = ("aime_2024.jsonl", "folio_validation.jsonl", "temporal_sequences.jsonl", "musique_100.jsonl")
        prompts = {id: record["prompt"] for name in names for id, record in read(name).items()}
        outputs, annotations = read("released_outputs.jsonl.gz"), read("released_annotations.jsonl.gz")
        seen = 0
        for entry in json.loads((text / "segments.json").read_text()):
            id = entry["id"]
            output = outputs[id]["output"]
            if len(output) > 6000:  # difflib takes minutes over long ones
                continue
            sections = parse(annotations[id]["annotated"], "strict").sections
            self.assertEqual((len(sections), [section.label for section in sections]), (entry["n_parsed"], entry["labels"]), id)
            located, _ = align(prompts[id], output, sections, "published")
            found = {place.section: (place.start, place.end) for place in located}
            for segment in entry["segments"]:
                self.assertEqual(found.get(segment["k"]), (segment["c0"], segment["c1"]) if segment["kept"] else None, f"{id}, {segment['k']}")
                seen += 1
        self.assertGreater(seen, 20)
        print(f"\n{seen} published segments found where they are")


class Texts(unittest.TestCase):
    """A tiny model with a tokenizer of its own: texts kept in a study, tokens of sections and drops are the program's."""

    PROMPT = "Où est 7 × 6? Wait. "
    OUTPUT = "Okay, so 7 × 6 = 41. Wait, no: 42… Perhaps naïve? Let me try 2 × 3 = 6. Wait, no: 42… A dozen is 12 — that I know. So 42."
    ANNOTATED = (
        '["initializing"] Okay, so 7 × 6 = 41. ["end-section"] ["backtracking"] Wait, no: 42… ["end-section"] ["3. Uncertainty Estimation"] '
        'Perhaps naive? ["end-section"] ["example-testing"] Let me try 2 × 3 = 6 ["backtracking"] Wait, no: 42… ["end-section"] '
        '["adding-knowledge"] A dozen is 12 – that I know. ["end-section"] ["adding-knowledge"] nowhere to be found ["end-section"] '
        '["backtracking"] ["end-section"] ["example-testing"] Où est 7 × 6? ["end-section"] ["musing"] So 42. ["end-section"] ["deduction"] So 42.'
    )

    def test_sections_of_text_are_those_of_the_program(self):
        support.needs_program()
        support.needs("torch")
        support.needs("transformers")
        import tokenizers
        import transformers

        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            shutil.copytree(TINY / "model", root / "model")
            made = tokenizers.Tokenizer(tokenizers.models.BPE())
            made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
            made.decoder = tokenizers.decoders.ByteLevel()
            special = ["<unk>", "<s>", "</s>"]
            alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
            made.train_from_iterator(
                [self.PROMPT + self.OUTPUT], tokenizers.trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
            )
            made.save(str(root / "model/tokenizer.json"))
            settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>"}
            (root / "model/tokenizer_config.json").write_text(json.dumps(settings))
            traces = [
                {"id": "b", "prompt": self.PROMPT, "output": self.OUTPUT},
                {"id": "a", "prompt": "", "output": self.OUTPUT},
                {"id": "alone", "prompt": "", "output": "x"},
            ]
            annotations = [{"id": "a", "annotated": self.ANNOTATED}, {"id": "b", "annotated": self.ANNOTATED}]
            files = [
                cruxscope.Records(records).write(root / name) for records, name in ((traces, "traces.jsonl"), (annotations, "annotations.jsonl"))
            ]
            model = transformers.AutoModelForCausalLM.from_pretrained(root / "model", torch_dtype="float32")
            fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(root / "model/tokenizer.json"), bos_token="<s>")
            # As transformers' own Llama tokenizer does it, with the token that begins a sequence.
            fast._tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
            for definition, length in (("paper", None), ("paper", 60), ("reference", None)):
                own, theirs = root / f"hooks-{definition}-{length}", root / f"engine-{definition}-{length}"
                flags = {"definition": definition, "max_length": length}
                cruxscope.run(
                    "interpret", progress=False, model=root / "model", traces=files[0], annotations=files[1], out=theirs, threads=1, **flags
                )
                cruxscope.capture(model, *files, own, tokenizer=fast, progress=False, **flags)
                mine, other = cruxscope.load(own), cruxscope.load(theirs)
                for key in ("segments", "dropped", "unscored_sections", "unpaired", "data"):
                    self.assertEqual(mine.manifest[key], other.manifest[key], key)
                for key, value in other.manifest["settings"].items():
                    if key != "run":
                        self.assertEqual(mine.manifest["settings"][key], value, key)
                self.assertEqual(mine.traces, other.traces)
                difference = abs(mine.relative_importance.values - other.relative_importance.values).max()
                self.assertLess(difference, 5e-5)
                # What the program says of its own study it says of this one.
                shown = [cruxscope.run("show", study, progress=False) for study in (own, theirs)]
                self.assertEqual(shown[0]["segments"], shown[1]["segments"])


if __name__ == "__main__":
    unittest.main()
