//! Files of traces and annotations: what is read, and what each malformed file is told.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

use std::path::PathBuf;

use cruxscope_study::Label;
use cruxscope_trace::{Annotation, AnnotationContent, LabelledSpan, Trace, TraceContent, TraceError, TraceSet};
use tempfile::TempDir;

fn written(traces: &str, annotations: &str) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (t, a) = (folder.path().join("traces.jsonl"), folder.path().join("annotations.jsonl"));
    std::fs::write(&t, traces).unwrap();
    std::fs::write(&a, annotations).unwrap();
    (folder, t, a)
}

fn read(traces: &str, annotations: &str) -> Result<TraceSet, TraceError> {
    let (_folder, t, a) = written(traces, annotations);
    TraceSet::read(&t, &a)
}

const TEXT: &str = r#"{"id": "a", "prompt": "p", "output": "o", "more": [1]}"#;
const TOKENS: &str = r#"{"id": "b", "input_ids": [5, 6, 7]}"#;

#[test]
fn pairs_in_the_order_of_the_traces() {
    let traces = format!("{TOKENS}\n{TEXT}\n{}\n", r#"{"id": "c", "prompt": "", "output": ""}"#);
    let annotations = concat!(
        r#"{"id": "x", "annotated": "?"}"#,
        "\n",
        r#"{"id": "a", "annotated": "t", "note": {}}"#,
        "\n",
        r#"{"id": "b", "segments": [{"label": "backtracking", "start": 1, "last": 2, "score": 3}]}"#
    );
    let set = read(&traces, annotations).unwrap();
    assert_eq!(set.instances.iter().map(|instance| instance.trace.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(set.instances[0].trace.content, TraceContent::Tokens(vec![5, 6, 7]));
    let spans = vec![LabelledSpan {
        label: Label::Backtracking,
        start: 1,
        last: 2,
    }];
    assert_eq!(set.instances[0].annotation.content, AnnotationContent::Segments(spans));
    assert_eq!(
        set.instances[1].trace.content,
        TraceContent::Text {
            prompt: "p".into(),
            output: "o".into()
        }
    );
    assert_eq!(set.instances[1].annotation.content, AnnotationContent::Text("t".into()));
    assert_eq!(set.unannotated, ["c"]);
    assert_eq!(set.unmatched_annotations, ["x"]);
}

#[test]
fn each_malformed_file_is_told_what_is_wrong() {
    let annotation = r#"{"id": "a", "annotated": "t"}"#;
    let cases: &[(&str, &str, &[&str])] = &[
        ("", annotation, &["traces.jsonl is empty"]),
        (TEXT, "\n \n", &["annotations.jsonl is empty"]),
        ("garbage", annotation, &["traces.jsonl, line 1", "expected {\"id\""]),
        ("{\"id\": \"a\", \"prompt\": \"p\", \"outp", annotation, &["traces.jsonl, line 1", "EOF"]),
        (r#"{"prompt": "p", "output": "o"}"#, annotation, &["line 1", "missing field `id`"]),
        (r#"{"id": 1, "prompt": "p", "output": "o"}"#, annotation, &["line 1", "expected a string"]),
        (r#"{"id": "a", "prompt": "p"}"#, annotation, &["line 1", "no \"output\""]),
        (r#"{"id": "a", "output": "o"}"#, annotation, &["line 1", "no \"prompt\""]),
        (r#"{"id": "a"}"#, annotation, &["line 1", "neither text nor token ids"]),
        (
            r#"{"id": "a", "prompt": "p", "output": "o", "input_ids": [1]}"#,
            annotation,
            &["both text and \"input_ids\""],
        ),
        (r#"{"id": "a", "input_ids": []}"#, annotation, &["is empty"]),
        (r#"{"id": "a", "input_ids": [-1]}"#, annotation, &["line 1", "-1"]),
        (r#"{"id": "a", "input_ids": [4294967296]}"#, annotation, &["line 1", "4294967296"]),
        (r#"{"id": "a", "input_ids": "12"}"#, annotation, &["line 1", "expected a sequence"]),
        (&format!("{TEXT}\n{TEXT}"), annotation, &["traces.jsonl, line 2", "stands already on line 1"]),
        (
            TEXT,
            &format!("{annotation}\n{annotation}"),
            &["annotations.jsonl, line 2", "stands already on line 1"],
        ),
        (TEXT, r#"{"id": "a"}"#, &["neither \"annotated\" nor \"segments\""]),
        (
            TEXT,
            r#"{"id": "a", "annotated": "t", "segments": []}"#,
            &["both \"annotated\" and \"segments\""],
        ),
        (TEXT, r#"{"id": "b", "annotated": "t"}"#, &["no id in", "\"b\"", "\"a\"", "the same ids"]),
        (
            TEXT,
            r#"{"id": "a", "segments": [{"label": "musing", "start": 0, "last": 0}]}"#,
            &["line 1", "segment 0", "musing", "backtracking"],
        ),
        (
            TEXT,
            r#"{"id": "a", "segments": [{"label": "deduction", "start": 2, "last": 1}]}"#,
            &["line 1", "segment 0", "after its last token 1"],
        ),
        (
            TEXT,
            r#"{"id": "a", "segments": [{"label": "deduction", "start": -1, "last": 1}]}"#,
            &["line 1", "-1"],
        ),
        (TOKENS, r#"{"id": "b", "annotated": "t"}"#, &["instance \"b\"", "only its token ids"]),
        (
            TOKENS,
            r#"{"id": "b", "segments": [{"label": "deduction", "start": 0, "last": 1}, {"label": "deduction", "start": 1, "last": 3}]}"#,
            &["instance \"b\"", "segment 1", "tokens 1 to 3", "3 tokens"],
        ),
    ];
    for (traces, annotations, expected) in cases {
        let error = read(traces, annotations).unwrap_err();
        assert!(error.is_user_error(), "{error}");
        for part in *expected {
            assert!(
                error.to_string().contains(part),
                "{traces} and {annotations}: \"{error}\" should say \"{part}\""
            );
        }
    }
}

#[test]
fn ranges_are_checked_against_the_number_of_tokens() {
    let annotation = Annotation {
        id: "a".into(),
        content: AnnotationContent::Segments(vec![LabelledSpan {
            label: Label::Deduction,
            start: 0,
            last: 4,
        }]),
    };
    assert!(annotation.check_spans(5).is_ok());
    assert!(matches!(annotation.check_spans(4), Err(TraceError::SpanOutOfBounds { last: 4, tokens: 4, .. })));
    assert!(annotation.check_spans(0).unwrap_err().to_string().contains("the last one is none"));
    assert!(
        Annotation {
            id: "a".into(),
            content: AnnotationContent::Text("t".into())
        }
        .check_spans(0)
        .is_ok()
    );
}

#[test]
fn a_line_of_fifty_megabytes_is_read() {
    let output = "x é ".repeat(10 << 20);
    let (_folder, traces, _) = written(&serde_json::json!({"id": "long", "prompt": "", "output": output}).to_string(), "");
    let read = Trace::read_all(&traces).unwrap();
    assert!(matches!(&read[0].content, TraceContent::Text { output, .. } if output.len() == 50 << 20));
}

#[test]
fn a_missing_file_is_named() {
    let (folder, traces, _) = written(TEXT, "");
    let error = TraceSet::read(&traces, &folder.path().join("none.jsonl")).unwrap_err();
    assert!(error.is_user_error());
    assert!(error.to_string().contains("none.jsonl"), "{error}");
}
