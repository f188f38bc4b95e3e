//! Chat templates against Jinja itself; `goldens/chat_templates.py` makes the goldens.

use cruxscope_benchmark::prompts::{ChatTemplate, Message};
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    messages: Vec<Message>,
    text: String,
}

#[test]
fn templates_say_what_jinja_says() {
    let goldens: Goldens = serde_json::from_str(include_str!("goldens/chat_templates.json")).unwrap();
    assert_eq!(goldens.cases.len(), 12);
    let mut wrong = Vec::new();
    for (number, case) in goldens.cases.iter().enumerate() {
        let template = ChatTemplate::new("golden", case.template.clone(), String::new(), "</s>".into()).unwrap();
        match template.render(&case.messages) {
            Ok(text) if text == case.text => {}
            Ok(text) => wrong.push(format!("case {number}: {text:?}, but Jinja says {:?}", case.text)),
            Err(error) => wrong.push(format!("case {number}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), goldens.cases.len(), wrong.join("\n"));
}
