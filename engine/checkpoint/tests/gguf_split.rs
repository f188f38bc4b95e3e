//! A GGUF file in parts is the same model as the whole; parts that are missing or of another model are refused by name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may stop the test")]

mod common;

use std::path::Path;

use common::{LAYERS, gguf, gguf_parts, metadata, tensors};
use cruxscope_checkpoint::Checkpoint;

fn refusal(file: &Path) -> String {
    match Checkpoint::open(file) {
        Ok(_) => panic!("{} was accepted", file.display()),
        Err(error) => {
            assert!(error.is_user_error(), "{error}");
            error.to_string()
        }
    }
}

#[test]
fn parts_are_the_whole_whichever_is_given() {
    let (_whole, whole) = gguf(&metadata(), &tensors());
    let whole = Checkpoint::open(&whole).unwrap();
    for count in [1, 2, 3, 7] {
        let (_folder, files) = gguf_parts(&metadata(), &tensors(), count);
        for file in [&files[0], &files[count - 1]] {
            let parts = Checkpoint::open(file).unwrap();
            assert_eq!(parts.config(), whole.config());
            assert_eq!(parts.files(), files, "every part decides numbers");
            for layer in 0..LAYERS {
                assert_eq!(parts.layer(layer).unwrap(), whole.layer(layer).unwrap());
            }
            assert_eq!(parts.embedding_rows(&[3, 7]).unwrap(), whole.embedding_rows(&[3, 7]).unwrap());
            assert_eq!(parts.final_norm().unwrap(), whole.final_norm().unwrap());
        }
    }
}

#[test]
fn parts_that_are_missing_or_strange_are_named() {
    let (folder, files) = gguf_parts(&metadata(), &tensors(), 3);
    let held = std::fs::read(&files[1]).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    assert!(refusal(&files[0]).contains("tiny-00002-of-00003.gguf"));
    std::fs::write(&files[1], &held[..held.len() / 2]).unwrap();
    assert!(refusal(&files[0]).contains("tiny-00002-of-00003.gguf") || refusal(&files[0]).contains("blk."));
    std::fs::write(&files[1], std::fs::read(&files[2]).unwrap()).unwrap();
    assert!(refusal(&files[2]).contains("split.no"), "the third under the name of the second");
    let (_other, other) = gguf_parts(&metadata(), &tensors().into_iter().skip(2).collect(), 3);
    std::fs::copy(&other[1], &files[1]).unwrap();
    assert!(refusal(&files[0]).contains("split.tensors.count") || refusal(&files[0]).contains("names"));
    std::fs::write(&files[1], held).unwrap();
    Checkpoint::open(&files[0]).unwrap();
    let renamed = folder.path().join("tiny.gguf");
    std::fs::copy(&files[0], &renamed).unwrap();
    assert!(refusal(&renamed).contains("-00001-of-00003.gguf"));
}
