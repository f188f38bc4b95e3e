//! A trace cut into pieces, each with its height: what is needed to scroll through it without laying all of it out.

use std::sync::Arc;

use cruxscope_selectors::trace::{Run, answer, is_shown, runs};
use cruxscope_selectors::trace_look::TraceLook;
use cruxscope_study::TraceText;
use cruxscope_theme::{Palette, sizes, typeface};
use egui::text::{CCursor, LayoutJob, TextFormat};
use egui::{Color32, Id, Rect, Stroke, Ui};

use crate::views::scene::Scene;

/// Bytes of a piece at the most: a paragraph that is longer is cut at a space.
const PIECE: usize = 1_600;
/// Height of a line of text.
const LINE_HEIGHT: f32 = 20.0;

/// A piece of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Whether it is of the prompt.
    pub prompt: bool,
    /// The first byte in the prompt or the output.
    pub start: usize,
    /// The byte after the last, its line break left out.
    pub end: usize,
    /// Where it begins, from the top of the text.
    pub top: f32,
    /// Its height.
    pub height: f32,
}

/// A trace at one width.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The pieces, from top to bottom.
    pub pieces: Vec<Piece>,
    /// The runs of the output.
    pub runs: Vec<Run>,
    /// For each section, the top of its first line and the bottom of its last; nothing where it stands nowhere.
    pub sections: Vec<Option<[f32; 2]>>,
    /// The height of all.
    pub height: f32,
    key: (usize, u32, u32),
}

/// The measures of a trace at a width, kept from frame to frame. Labels and themes change colours, not measures.
pub fn measured(ui: &Ui, text: &Arc<TraceText>, width: f32, palette: &Palette) -> Arc<Measured> {
    let id = Id::unique("measured trace");
    let key = (Arc::as_ptr(text) as usize, width.to_bits(), ui.pixels_per_point().to_bits());
    if let Some(known) = ui.data(|data| data.get_temp::<Arc<Measured>>(id))
        && known.key == key
    {
        return known;
    }
    let mut found = measure(ui, text, width, palette);
    found.key = key;
    let found = Arc::new(found);
    ui.data_mut(|data| data.insert_temp(id, Arc::clone(&found)));
    found
}

fn measure(ui: &Ui, text: &TraceText, width: f32, palette: &Palette) -> Measured {
    let runs = runs(text);
    let mut sections: Vec<Option<[f32; 2]>> = vec![None; text.sections.len()];
    let mut pieces = Vec::new();
    let mut top = 0.0;
    for (prompt, whole) in [(true, &text.prompt), (false, &text.output)] {
        for (start, end) in cut(whole) {
            let piece = Piece {
                prompt,
                start,
                end,
                top,
                height: 0.0,
            };
            let galley = ui.painter().layout_job(job(text, &runs, &piece, width, &TraceLook::default(), palette));
            let height = galley.size().y.max(LINE_HEIGHT);
            if !prompt {
                for run in overlapping(&runs, start, end) {
                    let Some(section) = run.section else { continue };
                    let at = |byte: usize| {
                        let characters = whole[start..byte.clamp(start, end)].chars().count();
                        galley.pos_from_cursor(CCursor::new(characters))
                    };
                    let (first, last) = (top + at(run.start).top(), top + at(run.end).bottom());
                    let known = sections[section].get_or_insert([first, last]);
                    known[1] = known[1].max(last);
                }
            }
            pieces.push(Piece { height, ..piece });
            top += height;
        }
        top += sizes::LARGE;
    }
    Measured {
        pieces,
        runs,
        sections,
        height: top,
        key: (0, 0, 0),
    }
}

/// Where a byte of the output stands, from the top left of the text; nothing where no piece holds it.
pub fn place(ui: &Ui, text: &TraceText, measures: &Measured, byte: usize, width: f32, scene: &Scene<'_>) -> Option<Rect> {
    let own = measures.pieces.partition_point(|piece| piece.prompt || piece.end < byte);
    let piece = measures.pieces.get(own).filter(|piece| piece.start <= byte.max(piece.start) && !piece.prompt)?;
    let characters = text.output.get(piece.start..byte.max(piece.start))?.chars().count();
    let galley = ui
        .painter()
        .layout_job(job(text, &measures.runs, piece, width, &scene.state.trace, scene.palette));
    Some(galley.pos_from_cursor(CCursor::new(characters)).translate(egui::vec2(0.0, piece.top)))
}

/// The pieces of a text: its lines, and of lines that are too long what lies between two spaces.
fn cut(text: &str) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let end = from + line.trim_end_matches(['\n', '\r']).len();
        let mut start = from;
        while end - start > PIECE {
            let mut limit = start + PIECE;
            while !text.is_char_boundary(limit) {
                limit -= 1;
            }
            let at = text[start..limit].rfind(' ').map_or(limit, |space| start + space + 1);
            pieces.push((start, at));
            start = at;
        }
        pieces.push((start, end));
        from += line.len();
    }
    pieces
}

/// The runs that lie in some bytes.
pub fn overlapping(runs: &[Run], start: usize, end: usize) -> impl Iterator<Item = &Run> {
    let first = runs.partition_point(|run| run.end <= start);
    runs[first..].iter().take_while(move |run| run.start < end)
}

/// How a piece is laid out: a run of a behaviour on the ground of its colour with a line in it underneath, which every kind of colour
/// vision sees; the prompt in a fainter ink, the answer after the thought in stronger type.
pub fn job(text: &TraceText, runs: &[Run], piece: &Piece, width: f32, look: &TraceLook, palette: &Palette) -> LayoutJob {
    let format = |ink: Color32, ground: Color32| TextFormat {
        font_id: typeface::body(),
        color: ink,
        background: ground,
        line_height: Some(LINE_HEIGHT),
        ..TextFormat::default()
    };
    let answer = answer(text).unwrap_or(usize::MAX);
    let mut job = LayoutJob::default();
    job.wrap.max_width = width;
    if piece.prompt {
        job.append(&text.prompt[piece.start..piece.end], 0.0, format(palette.faint, Color32::TRANSPARENT));
        return job;
    }
    for run in overlapping(runs, piece.start, piece.end) {
        let (start, end) = (run.start.max(piece.start), run.end.min(piece.end));
        let section = run.section.and_then(|section| text.sections.get(section));
        let mut underline = Stroke::NONE;
        let (ink, ground) = match section {
            Some(section) if is_shown(section, look) => match section.label.behaviour() {
                Some(behaviour) if section.dropped.is_none() => {
                    underline = Stroke::new(1.5, palette.behaviour(behaviour));
                    (palette.text, palette.tint(palette.behaviour(behaviour)))
                }
                Some(_) => (palette.dim, palette.raised),
                None => (palette.text, Color32::TRANSPARENT),
            },
            _ => (palette.dim, Color32::TRANSPARENT),
        };
        let middle = answer.clamp(start, end);
        let thought = TextFormat {
            underline,
            ..format(ink, ground)
        };
        let answered = TextFormat {
            font_id: typeface::body_strong(),
            color: palette.text,
            ..thought.clone()
        };
        for (words, format) in [(&text.output[start..middle], thought), (&text.output[middle..end], answered)] {
            if !words.is_empty() {
                job.append(words, 0.0, format);
            }
        }
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_all_but_line_breaks_and_cut_no_character() {
        let long = "wörd ".repeat(900);
        let text = format!("one\n\ntwo\r\n{long}\nlast");
        let pieces = cut(&text);
        let words: Vec<&str> = pieces.iter().map(|(start, end)| &text[*start..*end]).collect();
        assert_eq!(words[..3], ["one", "", "two"]);
        assert_eq!(words.last(), Some(&"last"));
        assert!(words.iter().all(|words| words.len() <= PIECE));
        assert_eq!(words[3..words.len() - 1].concat(), long);
        assert_eq!(cut(""), []);
        let unbroken = "é".repeat(2_000);
        assert_eq!(cut(&unbroken).iter().map(|(start, end)| end - start).sum::<usize>(), unbroken.len());
    }

    #[test]
    fn runs_are_found_by_their_bytes() {
        let run = |start, end| Run { start, end, section: None };
        let runs = [run(0, 3), run(3, 7), run(7, 9)];
        let of = |start, end| overlapping(&runs, start, end).map(|run| run.start).collect::<Vec<_>>();
        assert_eq!(of(0, 3), [0]);
        assert_eq!(of(2, 8), [0, 3, 7]);
        assert_eq!(of(9, 12), Vec::<usize>::new());
    }
}
