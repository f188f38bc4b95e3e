//! Datasets in every form that their publishers ship, and what malformed ones are told.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests are tests too")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_benchmark::BenchmarkError;
use cruxscope_benchmark::datasets::{Benchmark, Dataset};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

fn read(name: &str, content: &[u8]) -> Result<Dataset, BenchmarkError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    Dataset::read(&path)
}

#[test]
fn aime_from_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("aime.parquet");
    let schema = "message schema { required binary ID (UTF8); required binary Problem (UTF8); required binary Solution (UTF8); required int64 Answer; }";
    for compression in [parquet::basic::Compression::UNCOMPRESSED, parquet::basic::Compression::SNAPPY] {
        let properties = WriterProperties::builder().set_compression(compression).build();
        let file = File::create(&path).unwrap();
        let mut writer = SerializedFileWriter::new(file, Arc::new(parse_message_type(schema).unwrap()), Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for texts in [["2024-II-4", "2024-I-1"], ["Find é.", "Find y."], ["s", "s"]] {
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(*text)).collect();
            column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[33, 204], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let dataset = Dataset::read(&path).unwrap();
        assert_eq!((dataset.benchmark, dataset.questions.len()), (Benchmark::Aime, 2));
        assert_eq!(dataset.questions[0].raw_prompt(), "Find é.\n<think>\n");
        assert_eq!((dataset.questions[1].id.as_str(), dataset.questions[1].answer.as_str()), ("AIME_2024/1", "204"));
    }
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    assert!(Dataset::read(&path).unwrap_err().is_user_error());
}

#[test]
fn folio_lines_with_text_or_lists() {
    let lines = concat!(
        r#"{"premises": "All a are b.\nNo b is c. ", "conclusion": "No a is c.", "label": "True", "story_id": 1}"#,
        "\n",
        r#"{"premises": ["All a are b.", "No b is c. "], "conclusion": "No a is c.", "label": "Unknown"}"#,
        "\n"
    );
    let dataset = read("folio.jsonl", lines.as_bytes()).unwrap();
    assert_eq!(dataset.questions[0].text, dataset.questions[1].text);
    assert!(
        dataset.questions[0]
            .raw_prompt()
            .ends_with("Premise: All a are b.\nNo b is c. \n*******\n\n*******\nConclusion: No a is c.\n*******<think>\n")
    );
    assert_eq!(
        (dataset.questions[0].answer.as_str(), dataset.questions[1].answer.as_str()),
        ("True", "Uncertain")
    );
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    assert_eq!(read("folio.jsonl.gz", &gzip.finish().unwrap()).unwrap().questions, dataset.questions);
}

#[test]
fn temporal_and_musique_from_json() {
    let temporal = br#"{"canary": "x", "examples": [{"input": "When?\nOptions:\n(A) 1pm", "target": "(A)"}]}"#;
    let dataset = read("temporal.json", temporal).unwrap();
    assert_eq!((dataset.benchmark, dataset.questions[0].answer.as_str()), (Benchmark::Temporal, "(A)"));
    let musique = br#"[{"id": "2hop__1", "question": "Who?", "answer": "A B", "answer_aliases": ["B"], "paragraphs": [{"idx": 0, "title": "T",
        "paragraph_text": "P", "is_supporting": true}]}]"#;
    let dataset = read("musique.json", musique).unwrap();
    let question = &dataset.questions[0];
    assert_eq!(
        (question.id.as_str(), question.aliases[0].as_str(), question.passages[0].title.as_str()),
        ("MuSiQue100/0", "B", "T")
    );
    assert!(!question.raw_prompt().contains("P\n"), "closed book");
}

#[test]
fn malformed_files_are_told_what_is_wrong() {
    for (content, told) in [
        (&b""[..], "no record"),
        (b"{\"Problem\": \"1\"", "neither JSON"),
        (b"[1, 2]", "record 1 is 1"),
        (b"{\"x\": 1}", "its fields are x"),
        (b"{\"Problem\": \"1\", \"Answer\": 1}\n{\"Problem\": \"1\"}", "record 2: it has no field answer"),
        (
            b"{\"premises\": {}, \"conclusion\": \"c\", \"label\": \"True\"}",
            "record 1: its field premises",
        ),
        (
            b"{\"premises\": \"p\", \"conclusion\": \"c\", \"label\": \"Maybe\"}",
            "none of True, False, Uncertain",
        ),
        (b"{\"question\": \"q\", \"answer\": \"a\", \"answer_aliases\": \"b\"}", "not a list"),
        (
            b"{\"id\": \"AIME_2024/3\", \"problem\": \"1\", \"answer\": 1}\n{\"id\": \"AIME_2024/3\", \"problem\": \"2\", \"answer\": 1}",
            "stands there twice",
        ),
        (b"PAR1 not really", "Parquet"),
    ] {
        let error = read("file", content).unwrap_err();
        assert!(error.is_user_error());
        assert!(error.to_string().contains(told), "{error} / {told}");
    }
    assert!(Dataset::read(Path::new("/nowhere")).unwrap_err().is_user_error());
}
