//! Why an output ended, in the words of many servers.

use crate::generator::{FailureKind, Finish};

/// Characters of a server's own word that are kept.
const LONGEST_WORD: usize = 64;

/// What a server's word for the end of an output means: an output that counts, or none.
pub(super) fn meaning(word: &str) -> Result<Finish, FailureKind> {
    let plain: String = word.trim().to_lowercase().replace(['-', ' '], "_");
    Ok(match plain.as_str() {
        "" | "null" | "none" | "unknown" | "unspecified" | "finish_reason_unspecified" => Finish::Unknown,
        "stop" | "eos" | "eos_token" | "end_turn" | "end" | "stop_sequence" | "stop_token" | "complete" | "completed" => Finish::Stop,
        "length" | "max_tokens" | "max_length" | "model_length" | "max_output_tokens" | "max_completion_tokens" | "token_limit" => Finish::Length,
        "abort"
        | "aborted"
        | "cancel"
        | "cancelled"
        | "canceled"
        | "error"
        | "failed"
        | "timeout"
        | "interrupted"
        | "incomplete"
        | "overloaded"
        | "server_error"
        | "internal_error"
        | "insufficient_system_resource" => return Err(FailureKind::Aborted),
        "tool_calls" | "tool_call" | "tool_use" | "function_call" | "malformed_function_call" => return Err(FailureKind::ToolCall),
        "refusal" | "refused" => return Err(FailureKind::Declined),
        "content_filter"
        | "content_filtered"
        | "safety"
        | "recitation"
        | "prohibited_content"
        | "blocklist"
        | "blocked"
        | "spii"
        | "sensitive"
        | "moderation"
        | "guardrail_intervened" => return Err(FailureKind::ContentFilter),
        _ => Finish::Other(word.chars().filter(|character| !character.is_control()).take(LONGEST_WORD).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_many_servers() {
        for (word, expected) in [
            ("stop", Ok(Finish::Stop)),
            ("EOS", Ok(Finish::Stop)),
            ("MAX_TOKENS", Ok(Finish::Length)),
            ("", Ok(Finish::Unknown)),
            ("abort", Err(FailureKind::Aborted)),
            ("insufficient_system_resource", Err(FailureKind::Aborted)),
            ("content-filter", Err(FailureKind::ContentFilter)),
            ("SAFETY", Err(FailureKind::ContentFilter)),
            ("tool_calls", Err(FailureKind::ToolCall)),
            ("refusal", Err(FailureKind::Declined)),
            ("re\u{1b}peated", Ok(Finish::Other("repeated".into()))),
        ] {
            assert_eq!(meaning(word), expected, "{word}");
        }
        assert!(matches!(meaning(&"x".repeat(999)), Ok(Finish::Other(word)) if word.len() == LONGEST_WORD));
    }
}
