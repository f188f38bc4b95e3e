//! A caption in Markdown, drawn with the window's type: paragraphs, lists, emphasis, code, links.

use cruxscope_theme::{Palette, sizes, typeface};
use egui::text::{LayoutJob, TextFormat};
use egui::{Color32, FontId, Stroke, Ui};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// One block of text with the links that stand in it.
#[derive(Debug, Default)]
struct Block {
    job: LayoutJob,
    links: Vec<(String, String)>,
}

/// Draws it within the width there is.
pub fn show(ui: &mut Ui, text: &str) {
    let palette = Palette::of(ui.ctx());
    ui.spacing_mut().item_spacing.y = sizes::SMALL;
    for block in blocks(text, palette) {
        ui.add(egui::Label::new(block.job).wrap().selectable(true));
        for (name, address) in block.links {
            ui.hyperlink_to(name, address);
        }
    }
}

fn blocks(text: &str, palette: &Palette) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut block = Block::default();
    let (mut strong, mut emphasis, mut link): (usize, usize, Option<(String, String)>) = (0, 0, None);
    // The next number of each list that is open; nothing for one with bullets.
    let mut lists: Vec<Option<u64>> = Vec::new();
    let push = |block: &mut Block, text: &str, font: FontId, colour: Color32, italics: bool, underlined: bool| {
        let underline = if underlined { Stroke::new(sizes::HAIRLINE, colour) } else { Stroke::NONE };
        let format = TextFormat {
            font_id: font,
            color: colour,
            italics,
            underline,
            line_height: Some(sizes::LINE - 2.0),
            ..TextFormat::default()
        };
        block.job.append(text, 0.0, format);
    };
    let mut end = |block: &mut Block| {
        if !block.job.is_empty() {
            blocks.push(std::mem::take(block));
        }
    };
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Strong | Tag::Heading { .. }) => strong += 1,
            Event::End(TagEnd::Strong) => strong = strong.saturating_sub(1),
            Event::Start(Tag::Emphasis) => emphasis += 1,
            Event::End(TagEnd::Emphasis) => emphasis = emphasis.saturating_sub(1),
            Event::Start(Tag::Link { dest_url, .. }) => link = Some((String::new(), dest_url.to_string())),
            Event::End(TagEnd::Link) => {
                // Only what a browser opens without harm.
                block.links.extend(
                    link.take()
                        .filter(|(_, address)| address.starts_with("https://") || address.starts_with("http://")),
                );
            }
            Event::Start(Tag::List(first)) => {
                end(&mut block);
                lists.push(first);
            }
            Event::End(TagEnd::List(_)) => {
                lists.pop();
            }
            Event::Start(Tag::Item) => {
                end(&mut block);
                let mark = match lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "•  ".to_owned(),
                };
                push(&mut block, &mark, typeface::body(), palette.dim, false, false);
            }
            Event::End(TagEnd::Heading(_)) => {
                strong = strong.saturating_sub(1);
                end(&mut block);
            }
            Event::End(TagEnd::Paragraph | TagEnd::Item) => end(&mut block),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
                if let Some((name, _)) = &mut link {
                    name.push_str(&text);
                }
                let font = if strong > 0 { typeface::body_strong() } else { typeface::body() };
                let colour = if link.is_some() { palette.accent } else { palette.text };
                // Numbers keep their percent sign on their line.
                let text = text.replace(" %", "\u{a0}%");
                push(&mut block, &text, font, colour, emphasis > 0, link.is_some());
            }
            Event::Code(text) => push(&mut block, &text, typeface::code(), palette.text, false, false),
            Event::SoftBreak => push(&mut block, " ", typeface::body(), palette.text, false, false),
            Event::HardBreak => push(&mut block, "\n", typeface::body(), palette.text, false, false),
            _ => {}
        }
    }
    end(&mut block);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_the_words_and_only_harmless_links() {
        let text = "# One\n\nA **bold** `word`,\nnext 5 %.\n\n1. first\n2. [site](https://x.org) and [bad](javascript:alert)\n\n<b>as is</b>";
        let blocks = blocks(text, &Palette::DARK);
        let words: Vec<&str> = blocks.iter().map(|block| block.job.text.as_str()).collect();
        assert_eq!(words, ["One", "A bold word, next 5\u{a0}%.", "1. first", "2. site and bad", "<b>as is</b>"]);
        assert_eq!(blocks[3].links, [("site".to_owned(), "https://x.org".to_owned())]);
    }
}
