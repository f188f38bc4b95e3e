//! How a byte-level tokenizer splits a text before merging, by the names GGUF files use in `tokenizer.ggml.pre`.
//!
//! A GGUF file names its split and leaves the expressions to the reader. The ones here are those of the models' own
//! `tokenizer.json`. A name that is not here is refused, because a wrong split moves tokens without any other sign.

use serde_json::{Value, json};

/// A way of splitting, and what goes with it in the models that use it.
pub(crate) struct PreTokenizer {
    /// Names in `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    /// Expressions whose matches are set apart, one after the other.
    splits: &'static [&'static str],
    /// Whether GPT-2's own expression comes last.
    gpt2: bool,
    /// A piece that is a token is taken whole, whatever the merges say.
    pub ignore_merges: bool,
    /// Sequences begin with a special token unless the file says otherwise.
    pub begins: bool,
    /// Text is composed (Unicode NFC) first.
    pub composed: bool,
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI: &str = r"\p{Han}+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str =
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;

const PLAIN: PreTokenizer = PreTokenizer {
    names: &[],
    splits: &[],
    gpt2: false,
    ignore_merges: false,
    begins: false,
    composed: false,
};

/// Every known way.
const KNOWN: [PreTokenizer; 15] = [
    PreTokenizer {
        names: &["gpt-2", "phi-2", "olmo", "mpt", "exaone4"],
        gpt2: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "codeshell", "minerva-7b"],
        splits: &[r"\p{N}"],
        gpt2: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"],
        splits: &[LLAMA3],
        ignore_merges: true,
        begins: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["dbrx", "smaug-bpe"],
        splits: &[LLAMA3],
        ..PLAIN
    },
    PreTokenizer {
        // DeepSeek's distilled models have the tokenizer of the Qwen that they were made of, with tokens added.
        names: &["qwen2", "deepseek-r1-qwen"],
        splits: &[QWEN2],
        composed: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["megrez", "stablelm2"],
        splits: &[QWEN2],
        ..PLAIN
    },
    PreTokenizer {
        names: &["tekken"],
        splits: &[TEKKEN],
        ignore_merges: true,
        begins: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["gpt-4o", "llama4", "kanana2"],
        splits: &[O200K],
        ..PLAIN
    },
    PreTokenizer {
        names: &["glm4"],
        splits: &[LLAMA3],
        ignore_merges: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["chatglm-bpe"],
        splits: &[LLAMA3],
        ..PLAIN
    },
    PreTokenizer {
        names: &["seed-coder"],
        splits: &[SEED],
        ..PLAIN
    },
    PreTokenizer {
        names: &["qwen35"],
        splits: &[QWEN35],
        composed: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["kimi-k2"],
        splits: &[KIMI],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-v3"],
        splits: &[r"\p{N}{1,3}", "[一-龥\u{3040}-ゟ゠-ヿ]+", DEEPSEEK3],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        splits: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥\u{800}-一가-\u{d7ff}]+", r"\p{N}"],
        ..PLAIN
    },
];

/// DeepSeek LLM's letters are those with case; its marks are ASCII's, their wide twins and two blocks of general punctuation.
const DEEPSEEK_LLM: PreTokenizer = PreTokenizer {
    names: &["deepseek-llm"],
    splits: &[
        r"[\r\n]",
        r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",
        r"\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+",
        r"\s+$",
        "[一-龥\u{800}-一가-\u{d7ff}]+",
        r"\p{N}+",
    ],
    ..PLAIN
};

impl PreTokenizer {
    /// The way of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().find(|known| known.names.contains(&name))
    }

    /// The name of the way in which a `tokenizer.json` splits text, if it is one of those that are known.
    pub fn of_json(json: &Value) -> Option<&'static str> {
        let model = json.get("model")?;
        let ignores = model.get("ignore_merges").and_then(Value::as_bool) == Some(true);
        let step = json.get("pre_tokenizer")?;
        let steps = match step.get("pretokenizers").and_then(Value::as_array) {
            Some(steps) => steps.as_slice(),
            None => std::slice::from_ref(step),
        };
        let (last, before) = steps.split_last()?;
        let is = |step: &Value, kind: &str| step.get("type").and_then(Value::as_str) == Some(kind);
        if !is(last, "ByteLevel") || last.get("add_prefix_space").and_then(Value::as_bool) == Some(true) {
            return None;
        }
        let gpt2 = last.get("use_regex").and_then(Value::as_bool) != Some(false);
        let split = |step: &Value| {
            if is(step, "Digits") && step.get("individual_digits").and_then(Value::as_bool) == Some(true) {
                return Some(r"\p{N}".to_string());
            }
            let isolated = is(step, "Split") && step.get("behavior").and_then(Value::as_str) == Some("Isolated");
            let plain = step.get("invert").and_then(Value::as_bool) != Some(true);
            let expression = step.get("pattern")?.get("Regex")?.as_str()?;
            (isolated && plain).then(|| expression.to_string())
        };
        let splits: Vec<String> = before.iter().map(split).collect::<Option<_>>()?;
        let composed = match json.get("normalizer") {
            None | Some(Value::Null) => false,
            Some(normalizer) if is(normalizer, "NFC") => true,
            Some(_) => return None,
        };
        let same = |known: &&Self| known.splits == splits && known.gpt2 == gpt2 && known.ignore_merges == ignores && known.composed == composed;
        Self::all().find(same)?.names.first().copied()
    }

    /// All names in one line, for messages.
    pub fn known() -> String {
        Self::all().flat_map(|known| known.names).copied().collect::<Vec<_>>().join(", ")
    }

    fn all() -> impl Iterator<Item = &'static Self> {
        KNOWN.iter().chain(std::iter::once(&DEEPSEEK_LLM))
    }

    /// As `tokenizer.json` writes it.
    pub fn json(&self) -> Value {
        let split = |expression: &&str| json!({"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": false});
        let mut steps: Vec<Value> = self.splits.iter().map(split).collect();
        steps.push(json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": self.gpt2}));
        json!({"type": "Sequence", "pretokenizers": steps})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, PreTokenizerWrapper};

    fn pieces(name: &str, text: &str) -> Vec<String> {
        let splitter: PreTokenizerWrapper = serde_json::from_value(PreTokenizer::find(name).unwrap().json()).unwrap();
        let mut string = PreTokenizedString::from(text);
        splitter.pre_tokenize(&mut string).unwrap();
        string
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .map(|(_, (from, to), _)| text[from..to].to_string())
            .collect()
    }

    #[test]
    fn every_known_name_makes_a_splitter() {
        for name in PreTokenizer::known().split(", ") {
            assert_eq!(
                pieces(name, "Wait, let's see:\n\n 12345 = x² — 日本語 Ünïcode.  ").concat(),
                "Wait, let's see:\n\n 12345 = x² — 日本語 Ünïcode.  ",
                "{name}"
            );
        }
        assert!(PreTokenizer::find("nobody").is_none());
    }

    #[test]
    fn a_way_is_found_again_in_the_file_that_it_makes() {
        let file = |known: &PreTokenizer| json!({"normalizer": known.composed.then(|| json!({"type": "NFC"})), "pre_tokenizer": known.json(), "model": {"ignore_merges": known.ignore_merges}});
        for known in PreTokenizer::all() {
            let found = PreTokenizer::of_json(&file(known)).and_then(PreTokenizer::find).unwrap();
            assert_eq!(
                (found.splits, found.gpt2, found.ignore_merges),
                (known.splits, known.gpt2, known.ignore_merges),
                "{:?}",
                known.names
            );
        }
        let digits = json!([{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}]);
        let mut other = json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": digits}, "model": {}});
        assert_eq!(PreTokenizer::of_json(&other), Some("smollm"));
        other["normalizer"] = json!({"type": "Lowercase"});
        assert_eq!(PreTokenizer::of_json(&other), None);
        assert_eq!(PreTokenizer::of_json(&json!({"pre_tokenizer": {"type": "Whitespace"}, "model": {}})), None);
    }

    #[test]
    fn words_end_where_their_makers_say() {
        // A contraction is a part of the word, or a piece of its own; a change of case begins a word.
        assert_eq!(pieces("gpt-4o", "I'm helloWorld 12345/x"), ["I'm", " hello", "World", " ", "123", "45", "/x"]);
        assert_eq!(pieces("glm4", "I'm helloWorld 12345"), ["I", "'m", " helloWorld", " ", "123", "45"]);
        assert_eq!(pieces("seed-coder", "x 12!\ny"), ["x", " ", "1", "2", "!", "\n", "y"]);
        assert_eq!(pieces("llama-bpe", "x 12!\ny"), ["x", " ", "12", "!\n", "y"]);
        // Marks belong to the letters before them.
        assert_eq!(pieces("qwen35", "हिन्दी"), ["हिन्दी"]);
        assert!(pieces("qwen2", "हिन्दी").len() > 1);
        // Han stands apart.
        assert_eq!(pieces("kimi-k2", "abc日本語def"), ["abc", "日本語", "def"]);
        assert_eq!(pieces("gpt-4o", "abc日本語def"), ["abc日本語def"]);
    }

    #[test]
    fn what_was_made_of_qwen_composes_text_as_qwen_does() {
        for (name, composed) in [("qwen2", true), ("deepseek-r1-qwen", true), ("llama-bpe", false), ("smollm", false)] {
            assert_eq!(PreTokenizer::find(name).unwrap().composed, composed, "{name}");
        }
    }

    #[test]
    fn digits_go_one_by_one_or_in_threes() {
        assert_eq!(pieces("smollm", "x 1234"), ["x", " ", "1", "2", "3", "4"]);
        assert_eq!(pieces("gpt-2", "x 1234"), ["x", " 1234"]);
        assert_eq!(pieces("llama-bpe", "x 1234"), ["x", " ", "123", "4"]);
        assert_eq!(pieces("qwen2", "x 1234"), ["x", " ", "1", "2", "3", "4"]);
        assert_eq!(pieces("deepseek-v3", "x 1234"), ["x", " ", "123", "4"]);
        assert_eq!(pieces("llama-bpe", "I'LL go\n\n ok"), ["I", "'LL", " go", "\n\n", " ok"]);
    }
}
