//! What was written, opened as anyone will open it and compared with its source.

use std::path::Path;

use super::StoredAs;
use super::configuration::has_bias;
use crate::{Checkpoint, CheckpointError, ModelConfig};

/// Rows of the embedding and the head that are compared, at their beginnings and ends.
const ROWS: usize = 64;

/// Compares configuration, special tokens, embedding and head. The layers were read back as they came.
///
/// # Errors
/// `Written`, naming what differs; whatever opening gives.
pub(super) fn compare(source: &Checkpoint, folder: &Path, stored_as: StoredAs) -> Result<(), CheckpointError> {
    let wrong = |reason: String| CheckpointError::Written {
        path: folder.to_path_buf(),
        reason,
    };
    let written = Checkpoint::open(folder).map_err(|error| wrong(error.to_string()))?;
    let wanted = ModelConfig {
        query_key_value_bias: has_bias(source.config(), 0),
        output_bias: has_bias(source.config(), 3),
        ..source.config().clone()
    };
    if *written.config() != wanted {
        return Err(wrong(format!("its configuration is {:?} instead of {wanted:?}", written.config())));
    }
    match (source.tokenizer(), written.tokenizer()) {
        (Ok(source), Ok(written)) => {
            if source.vocabulary() != written.vocabulary() || source.beginning() != written.beginning() {
                return Err(wrong("its tokenizer has other tokens, or begins a text with others".to_string()));
            }
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => return Err(wrong(error.to_string())),
        (Err(_), Ok(_)) => return Err(wrong("it has a tokenizer, and its source has none".to_string())),
    }
    if let Ok(stop) = source.stop_tokens()
        && written.stop_tokens()? != stop
    {
        return Err(wrong("other tokens end a text".to_string()));
    }
    let vocabulary = wanted.vocabulary;
    for rows in [0..vocabulary.min(ROWS), vocabulary.saturating_sub(ROWS)..vocabulary] {
        let ids: Vec<u32> = rows.clone().map(|row| row as u32).collect();
        for (what, source, written) in [
            ("embedding", source.embedding_rows(&ids)?, written.embedding_rows(&ids)?),
            ("head", source.head_rows(rows.clone())?, written.head_rows(rows.clone())?),
        ] {
            let rounded = source.values.iter().map(|value| stored_as.rounded(*value).to_bits());
            if !rounded.eq(written.values.iter().map(|value| value.to_bits())) {
                return Err(wrong(format!("rows {rows:?} of its {what} are not those of its source")));
            }
        }
    }
    Ok(())
}
