//! Jinja templates: the checkpoint's own for conversations, and a person's own for questions.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value as JinjaValue, context};
use serde_json::Value;

use super::Message;
use crate::datasets::Question;
use crate::error::BenchmarkError;

/// The name under which a template stands in its environment.
const NAME: &str = "prompt";
/// Instructions that rendering a template may take: a thousand times what the longest published one takes for a conversation. A template
/// without an end is an error instead of a program that hangs.
const FUEL: u64 = 10_000_000;

/// A checkpoint's chat template.
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// The template of a checkpoint: of its folder's `chat_template.jinja` or `tokenizer_config.json`, or of either file itself.
    ///
    /// # Errors
    ///
    /// If there is none, or it is no Jinja.
    pub fn open(path: &Path) -> Result<Self, BenchmarkError> {
        let source = path.display().to_string();
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let read = |path: &Path| fs::read_to_string(path).map_err(BenchmarkError::io("read", path));
        let configuration_path = folder.join("tokenizer_config.json");
        let configuration: Value = if configuration_path.is_file() {
            serde_json::from_str(&read(&configuration_path)?).map_err(|error| unusable(&source, &error.to_string()))?
        } else {
            Value::Null
        };
        let alone = if path.is_dir() { folder.join("chat_template.jinja") } else { path.to_owned() };
        let template = if alone.extension().is_some_and(|extension| extension == "jinja") && alone.is_file() {
            read(&alone)?
        } else {
            template_of(&configuration).ok_or_else(|| unusable(&source, "there is no chat_template in it"))?
        };
        Self::new(&source, template, token(&configuration, "bos_token"), token(&configuration, "eos_token"))
    }

    /// A template given as text.
    ///
    /// # Errors
    ///
    /// If it is no Jinja.
    pub fn new(source: &str, template: String, bos_token: String, eos_token: String) -> Result<Self, BenchmarkError> {
        Ok(Self {
            environment: environment(source, template, LastLineBreak::Dropped)?,
            source: source.to_owned(),
            bos_token,
            eos_token,
        })
    }

    /// The text of a conversation, ending where the model is to speak. The token that begins a text is left out: servers and
    /// tokenizers put it there themselves.
    ///
    /// # Errors
    ///
    /// If the template refuses.
    pub fn render(&self, messages: &[Message]) -> Result<String, BenchmarkError> {
        let text = self.whole(messages)?;
        Ok(text.strip_prefix(self.bos_token.as_str()).map_or_else(|| text.clone(), str::to_owned))
    }

    /// The token that the template writes at the beginning of a conversation, and [`Self::render`] leaves out; nothing where it
    /// writes none.
    ///
    /// # Errors
    ///
    /// If the template refuses.
    pub fn beginning(&self) -> Result<Option<String>, BenchmarkError> {
        let begins = !self.bos_token.is_empty() && self.whole(&[Message::user("?")])?.starts_with(&self.bos_token);
        Ok(begins.then(|| self.bos_token.clone()))
    }

    fn whole(&self, messages: &[Message]) -> Result<String, BenchmarkError> {
        let values = context! {
            messages => JinjaValue::from(Serde(messages)),
            add_generation_prompt => true,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
        };
        render(&self.environment, &self.source, values)
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A person's own template, filled with `question` (the task), `dataset`, `id` and `passages` of a question.
pub struct PromptTemplate {
    environment: Environment<'static>,
    source: String,
}

impl PromptTemplate {
    /// A template given as text.
    ///
    /// # Errors
    ///
    /// If it is no Jinja.
    pub fn new(source: &str, template: String) -> Result<Self, BenchmarkError> {
        Ok(Self {
            environment: environment(source, template, LastLineBreak::Kept)?,
            source: source.to_owned(),
        })
    }

    /// The prompt of a question.
    ///
    /// # Errors
    ///
    /// If the template names what is not there.
    pub fn render(&self, question: &Question) -> Result<String, BenchmarkError> {
        let values = context! {
            question => question.text.as_str(),
            dataset => question.benchmark.name(),
            id => question.id.as_str(),
            passages => JinjaValue::from(Serde(&question.passages)),
        };
        render(&self.environment, &self.source, values)
    }
}

impl fmt::Debug for PromptTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What becomes of a line break at a template's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastLineBreak {
    /// It is part of the prompt.
    Kept,
    /// It is dropped, as Jinja does unless told otherwise.
    Dropped,
}

/// Jinja as tokenizers use it: blocks leave no empty lines, methods are Python's, and a template can refuse.
fn environment(source: &str, template: String, last_line_break: LastLineBreak) -> Result<Environment<'static>, BenchmarkError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(last_line_break == LastLineBreak::Kept)
        .build()
        .map_err(|error| unusable(source, &error.to_string()))?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |text: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, text))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", super::python_json::to_json);
    // Jinja reads every kind of line break as one character.
    let template = without_generation_marks(&template.replace("\r\n", "\n").replace('\r', "\n"));
    environment
        .add_template_owned(NAME, template)
        .map_err(|error| unusable(source, &error.to_string()))?;
    Ok(environment)
}

/// A template without `{% generation %}`: the marks with which training finds what an assistant said. What stands between them is
/// rendered as if they were not there, with the white space that they take away.
fn without_generation_marks(template: &str) -> String {
    let mut rest = template;
    let mut text = String::with_capacity(template.len());
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start + 2..start + length];
        let name = tag.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']);
        let opens = |mark: &'static str| if tag.starts_with(mark) { mark } else { "" };
        let closes = |mark: &'static str| if tag.ends_with(mark) { mark } else { "" };
        text.push_str(&rest[..start]);
        let stands_for = match name.trim() {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        match stands_for {
            Some(other) => {
                text.extend(["{%", opens("-"), opens("+"), " ", other, " ", closes("-"), closes("+"), "%}"]);
            }
            None => text.push_str(&rest[start..start + length + 2]),
        }
        rest = &rest[start + length + 2..];
    }
    text.push_str(rest);
    text
}

/// The local time in a format of strftime, as transformers gives it to templates.
fn strftime_now(format: String) -> Result<String, Error> {
    let mut text = String::new();
    // What the format cannot mean is an error of the writing, and a panic of `to_string`.
    write!(text, "{}", chrono::Local::now().format(&format))
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, format!("strftime_now(\"{format}\") is no format of a date")))?;
    Ok(text)
}

fn render(environment: &Environment<'_>, source: &str, values: JinjaValue) -> Result<String, BenchmarkError> {
    let rendered = environment.get_template(NAME).and_then(|template| template.render(values));
    rendered.map_err(|error| unusable(source, &error.to_string()))
}

fn unusable(name: &str, why: &str) -> BenchmarkError {
    BenchmarkError::Template {
        name: name.into(),
        why: why.into(),
    }
}

/// The template of a tokenizer's configuration; of several, the default one.
fn template_of(configuration: &Value) -> Option<String> {
    match configuration.get("chat_template")? {
        Value::String(template) => Some(template.clone()),
        Value::Array(templates) => templates
            .iter()
            .find(|template| template["name"] == "default")
            .or_else(|| templates.first())
            .and_then(|template| template["template"].as_str())
            .map(str::to_owned),
        _ => None,
    }
}

/// A special token, which is text or an object with its text.
fn token(configuration: &Value, name: &str) -> String {
    let value = &configuration[name];
    value.as_str().or_else(|| value["content"].as_str()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::Benchmark;

    #[test]
    fn a_template_without_an_end_is_an_error() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
        let template = ChatTemplate::new("endless", endless.into(), String::new(), String::new()).unwrap();
        let began = std::time::Instant::now();
        let error = template.render(&[Message::user("?")]).unwrap_err().to_string();
        assert!(error.contains("fuel"), "{error}");
        assert!(began.elapsed().as_secs() < 60, "it took {:?}", began.elapsed());
    }

    const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\n    {% if message.role == 'user' %}\n<|user|>{{ message.content.strip() }}\
                            \n    {% else %}\n{{ raise_exception('only users') }}\n    {% endif %}\n{% endfor %}{% if add_generation_prompt \
                            %}<|assistant|><think>\n{% endif %}";

    #[test]
    fn a_conversation_in_a_checkpoints_template() {
        let folder = tempfile::tempdir().unwrap();
        let configuration = serde_json::json!({"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": TEMPLATE}],
            "bos_token": {"content": "<s>"}, "eos_token": "</s>"});
        fs::write(folder.path().join("tokenizer_config.json"), configuration.to_string()).unwrap();
        let template = ChatTemplate::open(folder.path()).unwrap();
        assert_eq!(template.render(&[Message::user(" 1 + 1? ")]).unwrap(), "<|user|>1 + 1?\n<|assistant|><think>\n");
        let refused = template.render(&[Message {
            role: "system".into(),
            content: String::new(),
        }]);
        assert!(refused.unwrap_err().to_string().contains("only users"));
        fs::write(folder.path().join("chat_template.jinja"), "{{ messages[0].content }}{{ eos_token }}").unwrap();
        assert_eq!(ChatTemplate::open(folder.path()).unwrap().render(&[Message::user("x")]).unwrap(), "x</s>");
    }

    #[test]
    fn the_beginning_is_told_apart_and_line_breaks_are_jinjas() {
        let template = |text: &str| ChatTemplate::new("t", text.into(), "<s>".into(), "</s>".into()).unwrap();
        let begins = template("{{ bos_token }}{{ messages[0].content }}");
        assert_eq!(begins.beginning().unwrap().as_deref(), Some("<s>"));
        assert_eq!(begins.render(&[Message::user("x")]).unwrap(), "x");
        assert_eq!(template("{{ messages[0].content }}").beginning().unwrap(), None);
        let broken = template("{% if true %}\r\n{{ messages[0].content }}\r\n{% endif %}\r<|assistant|>\r\n");
        assert_eq!(broken.render(&[Message::user("x")]).unwrap(), "x\n<|assistant|>");
    }

    #[test]
    fn templates_may_ask_for_the_date() {
        let template = |text: &str| ChatTemplate::new("t", text.into(), String::new(), String::new()).unwrap();
        let text = template("{% if strftime_now is defined %}{{ strftime_now('%Y-%m-%d %B') }}{% endif %}")
            .render(&[])
            .unwrap();
        let year: i32 = text.get(..4).and_then(|year| year.parse().ok()).unwrap_or_default();
        assert!(year >= 2025 && text.as_bytes().get(4) == Some(&b'-') && text.len() > 13, "{text}");
        assert!(template("{{ strftime_now('%') }}").render(&[]).is_err());
    }

    /// Right is what `apply_chat_template` of transformers 5 gives.
    #[test]
    fn json_is_pythons() {
        let rendered = |text: &str| {
            let template = ChatTemplate::new("t", text.into(), String::new(), String::new()).unwrap();
            template.render(&[Message::user("it's <é> & \u{1f600}\u{7f}\n")])
        };
        for (text, right) in [
            (
                "{{ messages | tojson }}",
                "[{\"role\": \"user\", \"content\": \"it's <é> & \u{1f600}\u{7f}\\n\"}]",
            ),
            (
                "{{ messages[0].content | tojson(ensure_ascii=True) }}",
                "\"it's <\\u00e9> & \\ud83d\\ude00\u{7f}\\n\"",
            ),
            (
                "{{ {'b': [1, 2.0, none, true], 'a': {}} | tojson }}",
                "{\"b\": [1, 2.0, null, true], \"a\": {}}",
            ),
            (
                "{{ {'b': [1], 'a': []} | tojson(sort_keys=True, separators=(',', ':')) }}",
                "{\"a\":[],\"b\":[1]}",
            ),
            (
                "{{ {'b': [1, [2]], 'a': []} | tojson(indent=2) }}",
                "{\n  \"b\": [\n    1,\n    [\n      2\n    ]\n  ],\n  \"a\": []\n}",
            ),
            ("{% for key, value in {'z': 1, 'a': 2}.items() %}{{ key }}{{ value }}{% endfor %}", "z1a2"),
        ] {
            assert_eq!(rendered(text).unwrap(), right, "{text}");
        }
        assert!(rendered("{{ messages | tojson(allow_nan=False) }}").is_err());
    }

    #[test]
    fn marks_of_what_an_assistant_said_leave_no_trace() {
        let template = "{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}{% else %}\n{%- generation -%}\n x {{ m.content }} \n{% endgeneration %}\nend{% endif %}\n{% endfor %}";
        let template = ChatTemplate::new("t", template.into(), String::new(), String::new()).unwrap();
        let said = Message {
            role: "assistant".into(),
            content: "y".into(),
        };
        assert_eq!(template.render(&[Message::user("q"), said]).unwrap(), "<u>qx y \nend");
    }

    #[test]
    fn templates_that_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ChatTemplate::open(folder.path()).unwrap_err().is_user_error());
        assert!(PromptTemplate::new("mine", "{% if %}".into()).unwrap_err().to_string().contains("mine"));
    }

    #[test]
    fn ones_own_template() {
        let question = Question {
            text: "Why?".into(),
            ..Question::bare(Benchmark::Musique, 3)
        };
        let template = PromptTemplate::new("mine", "{{ id }} ({{ dataset }}): {{ question }}\n".into()).unwrap();
        assert_eq!(template.render(&question).unwrap(), "MuSiQue100/3 (musique): Why?\n");
    }
}
