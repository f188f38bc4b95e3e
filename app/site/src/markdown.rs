//! Captions in Markdown as HTML and as plain paragraphs: what a canvas draws of them, for readers without one.
//!
//! HTML that stands in a caption is text here: a study cannot put markup into a page.

use std::fmt::Write as _;

use cruxscope_selectors::markup::escape_html as escape;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// The caption as HTML.
pub fn html(text: &str) -> String {
    let mut html = String::new();
    // What ends each open element; nothing for one that is left out.
    let mut open: Vec<&'static str> = Vec::new();
    for event in Parser::new(text) {
        match event {
            Event::Start(tag) => {
                let (begin, end) = element(&tag);
                html.push_str(&begin);
                open.push(end);
            }
            Event::End(_) => html.push_str(open.pop().unwrap_or_default()),
            Event::Text(words) | Event::Html(words) | Event::InlineHtml(words) => html.push_str(&escape(&bound(&words))),
            // Writing to a String cannot fail.
            Event::Code(words) => write!(html, "<code>{}</code>", escape(&words)).unwrap_or_default(),
            Event::SoftBreak => html.push(' '),
            Event::HardBreak => html.push_str("<br>"),
            Event::Rule => html.push_str("<hr>"),
            _ => {}
        }
    }
    html
}

/// A text whose numbers keep their percent sign on their line.
fn bound(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

fn element(tag: &Tag<'_>) -> (String, &'static str) {
    let plain = |begin: &str, end| (begin.to_owned(), end);
    match tag {
        Tag::Paragraph => plain("<p>", "</p>\n"),
        // The page has headings of its own.
        Tag::Heading { .. } => plain("<p><strong>", "</strong></p>\n"),
        Tag::BlockQuote(_) => plain("<blockquote>", "</blockquote>\n"),
        Tag::CodeBlock(_) => plain("<pre>", "</pre>\n"),
        Tag::List(Some(first)) => (format!("<ol start=\"{first}\">"), "</ol>\n"),
        Tag::List(None) => plain("<ul>", "</ul>\n"),
        Tag::Item => plain("<li>", "</li>\n"),
        Tag::Emphasis => plain("<em>", "</em>"),
        Tag::Strong => plain("<strong>", "</strong>"),
        // Only what a browser opens without harm.
        Tag::Link { dest_url, .. } if dest_url.starts_with("https://") || dest_url.starts_with("http://") => {
            (format!("<a href=\"{}\" rel=\"noopener\">", escape(dest_url)), "</a>")
        }
        _ => (String::new(), ""),
    }
}

/// The caption as paragraphs without markup; what stands in a list is a paragraph each.
pub fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut words = String::new();
    let mut end = |words: &mut String| {
        let done = std::mem::take(words);
        if !done.trim().is_empty() {
            paragraphs.push(done.trim().to_owned());
        }
    };
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Item) => {
                end(&mut words);
                words.push_str("• ");
            }
            Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::CodeBlock) => end(&mut words),
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => words.push_str(&bound(&text)),
            Event::SoftBreak | Event::HardBreak => words.push(' '),
            _ => {}
        }
    }
    end(&mut words);
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_kept_and_html_is_text() {
        let said = html("Look at **this** `x<y`, [here](https://example.org/?a=1&b=2) and [not](javascript:alert(1)).\n\n- one\n- two <b>");
        assert_eq!(
            said,
            "<p>Look at <strong>this</strong> <code>x&lt;y</code>, <a href=\"https://example.org/?a=1&amp;b=2\" rel=\"noopener\">here</a> and not.</p>\n\
             <ul><li>one</li>\n<li>two &lt;b&gt;</li>\n</ul>\n"
        );
    }

    #[test]
    fn paragraphs_have_no_markup() {
        let said = paragraphs("# Head\n\nLook at **this**\nnow.\n\n- one\n- `two`");
        assert_eq!(said, ["Head", "Look at this now.", "• one", "• two"]);
        assert_eq!(paragraphs("From 42 % on"), ["From 42\u{a0}% on"]);
        assert!(html("From 42 % on").contains("42\u{a0}%"));
        assert_eq!(paragraphs("  "), Vec::<String>::new());
    }
}
