//! From the fields of a record to a question, for each benchmark.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::table_file::Record;
use super::{Benchmark, Passage, Question};
use crate::answers;
use crate::error::BenchmarkError;

/// The questions of a file's records.
pub(super) fn questions(path: &Path, records: &[Record]) -> Result<(Benchmark, Vec<Question>), BenchmarkError> {
    let wrong = |why: String| BenchmarkError::Dataset { path: path.to_owned(), why };
    let benchmark = records.first().and_then(recognise).ok_or_else(|| {
        let fields: Vec<&str> = records.iter().take(1).flat_map(Record::keys).map(String::as_str).collect();
        wrong(format!(
            "its fields are {}; known are problem and answer (AIME), premises, conclusion and label (FOLIO), input and target (Temporal), \
             question and answer (MuSiQue)",
            fields.join(", ")
        ))
    })?;
    let mut ids = BTreeSet::new();
    let questions = records
        .iter()
        .enumerate()
        .map(|(number, record)| {
            let mut question = question(benchmark, number, record).map_err(|why| wrong(format!("record {}: {why}", number + 1)))?;
            if let Some(id) = record.get("id").and_then(Value::as_str).filter(|id| Benchmark::of_id(id) == Some(benchmark)) {
                question.id = id.to_owned();
            }
            if !ids.insert(question.id.clone()) {
                return Err(wrong(format!("record {}: id \"{}\" stands there twice", number + 1, question.id)));
            }
            Ok(question)
        })
        .collect::<Result<_, _>>()?;
    Ok((benchmark, questions))
}

/// The benchmark whose fields a record has.
fn recognise(record: &Record) -> Option<Benchmark> {
    let has = |name: &str| record.contains_key(name);
    if has("premises") && has("conclusion") {
        Some(Benchmark::Folio)
    } else if has("problem") && has("answer") {
        Some(Benchmark::Aime)
    } else if has("input") && (has("target") || has("answer")) {
        Some(Benchmark::Temporal)
    } else if has("question") && has("answer") {
        Some(Benchmark::Musique)
    } else {
        None
    }
}

fn question(benchmark: Benchmark, number: usize, record: &Record) -> Result<Question, String> {
    let mut question = Question::bare(benchmark, number);
    match benchmark {
        Benchmark::Aime => {
            question.text = text(record, &["problem"])?;
            question.answer = expected(text(record, &["answer"])?, "number", answers::number)?;
        }
        Benchmark::Folio => {
            let premises = lines(record, "premises")?;
            let conclusion = text(record, &["conclusion"])?;
            question.text = format!(
                "Use logical deductions to determine whether the provided conclusion is true, false, or uncertain based on premise. Consider all \
                 relevant information to reach a logical conclusion.\n\n*******\nPremise: {premises}\n*******\n\n*******\nConclusion: \
                 {conclusion}\n*******"
            );
            // The first release says Unknown where later ones say Uncertain.
            let label = text(record, &["label", "answer"])?;
            question.answer = match answers::truth(&label).as_deref() {
                Some("true") => "True".into(),
                Some("false") => "False".into(),
                Some("uncertain") => "Uncertain".into(),
                _ => return Err(format!("its label is \"{}\", which is none of True, False, Uncertain", label.trim())),
            };
        }
        Benchmark::Temporal => {
            let input = text(record, &["input"])?;
            question.text =
                format!("Use the timeline provided and answer step by step. Finally give the index (the letter) of the actual correct answer.\n{input}");
            let letter = expected(text(record, &["target", "answer"])?, "letter A to D", answers::letter)?;
            question.answer = format!("({letter})");
        }
        Benchmark::Musique => {
            let asked = text(record, &["question"])?;
            question.text = format!("{asked} Final answer of this question should be in as fewer number of words as possible.");
            question.answer = text(record, &["answer"])?;
            if answers::words(&question.answer).is_empty() {
                return Err(format!("its answer \"{}\" holds no word", question.answer));
            }
            question.aliases = strings(record, "answer_aliases")?;
            question.passages = passages(record);
        }
    }
    Ok(question)
}

/// An expected answer in one form, read as answers in outputs are read: a rule that cannot read it could find no output right.
fn expected(answer: String, what: &str, read: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    read(&answer).ok_or_else(|| format!("its answer \"{}\" cannot be read as a {what}", answer.trim()))
}

/// The first of these fields that is there, as text; a number is text too.
fn text(record: &Record, names: &[&str]) -> Result<String, String> {
    match names.iter().find_map(|name| record.get(*name)) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(other) => Err(format!("its field {} is {other}, not text", names.join(" or "))),
        None => Err(format!("it has no field {}", names.join(" or "))),
    }
}

/// A field that is text, or a list of lines.
fn lines(record: &Record, name: &str) -> Result<String, String> {
    match record.get(name) {
        Some(Value::Array(_)) => Ok(strings(record, name)?.join("\n")),
        _ => text(record, &[name]),
    }
}

fn strings(record: &Record, name: &str) -> Result<Vec<String>, String> {
    match record.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(elements)) => elements
            .iter()
            .map(|element| {
                element
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| format!("its field {name} holds {element}, not text"))
            })
            .collect(),
        Some(other) => Err(format!("its field {name} is {other}, not a list")),
    }
}

fn passages(record: &Record) -> Vec<Passage> {
    let field = |passage: &Value, name: &str| passage.get(name).and_then(Value::as_str).map(str::to_owned);
    let all = record.get("paragraphs").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter_map(|passage| {
            Some(Passage {
                title: field(passage, "title").unwrap_or_default(),
                text: field(passage, "paragraph_text").or_else(|| field(passage, "text"))?,
            })
        })
        .collect()
}
