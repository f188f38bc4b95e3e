//! What the annotator is asked.

use std::ops::Range;

/// The version of the prompt. The prompt's bytes are in every sample's key, so another version never passes for this one.
pub const PROMPT_VERSION: u32 = 1;

/// Characters of the text before a window that are shown with it.
const CONTEXT: usize = 600;

const TASK: &str = r#"You mark how a language model reasons. Below is a task that the model was given, and its output or a part of it. Cut the part between BEGIN and END into sections, each a stretch of consecutive text in which the model does one thing, and give each section one of these six labels:

initializing: it restates the task, says what is asked, or voices its first thoughts before it has an approach
deduction: it takes a step that follows from its present approach and from what it has established
adding-knowledge: it recalls a fact, formula or definition that the task does not give
example-testing: it tries an example, a number or a special case, or checks a result against one
uncertainty-estimation: it says how sure or unsure it is, or doubts a step
backtracking: it gives up its present approach, or takes back a step, and turns to another

Write each section like this, with its label in brackets and double quotes before it and the end mark after it:

["deduction"] the section's text ["end-section"]

Rules:
- Quote the section's text letter by letter from the output: no omissions, no dots for left-out words, no corrections, no translation.
- Keep the order of the output. Sections neither overlap nor nest; close each before you open the next.
- Use only the six labels, spelled as above, without numbers.
- Be sparing with uncertainty-estimation, example-testing, adding-knowledge and backtracking: where you are in doubt, it is deduction.
- Text that shows none of the six may be left out. Write nothing but the sections."#;

/// The prompt for one window, a range of bytes of the output.
pub fn annotation_prompt(task: &str, output: &str, window: Range<usize>) -> String {
    let before = &output[..window.start];
    let shown = &output[window];
    let context = match before.char_indices().rev().nth(CONTEXT - 1) {
        Some((at, _)) => &before[at..],
        None => before,
    };
    let context = if context.is_empty() {
        String::new()
    } else {
        format!("JUST BEFORE (for context, not to be marked):\n{context}\n\n")
    };
    format!(
        "{TASK}\n\nTASK:\n{}\n\n{context}BEGIN\n{shown}\nEND",
        task.trim_end_matches("<think>\n").trim_end()
    )
}

#[cfg(test)]
mod tests {
    use cruxscope_study::Label;

    use super::*;

    #[test]
    fn the_prompt_names_every_label_and_shows_the_window_alone() {
        let output = format!("{}é middle. last", "x".repeat(700));
        let prompt = annotation_prompt("What is 1 + 1?\n<think>\n", &output, 702..output.len());
        for label in Label::ALL {
            assert!(prompt.contains(&format!("\n{}: ", label.name())), "{label:?}");
        }
        assert!(prompt.contains("TASK:\nWhat is 1 + 1?\n\nJUST BEFORE"));
        assert!(prompt.ends_with("BEGIN\n middle. last\nEND"));
        assert!(prompt.contains(&format!("marked):\n{}é\n", "x".repeat(599))));
        assert!(!annotation_prompt("t", &output, 0..5).contains("JUST BEFORE"));
    }
}
