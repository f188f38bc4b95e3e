//! The tour as an article: its captions as text, its figures as pictures, read from top to bottom on any screen and without a program.

use cruxscope_selectors::markup::escape_html as escape;

use crate::SiteError;
use crate::content::Content;
use crate::markdown;
use crate::page::{self, FIGURES, Stamp};

/// The article; nothing where there is no tour.
///
/// # Errors
/// When a template has a gap that is not filled.
pub fn story(stamp: &Stamp, content: &Content) -> Result<Option<String>, SiteError> {
    let tour = &content.studies.tour;
    if tour.is_empty() {
        return Ok(None);
    }
    let title = match content.studies.title.trim() {
        "" => "A tour",
        title => title,
    };
    let mut text = format!("<article class=\"story\">\n<h1>{}</h1>\n", escape(title));
    for (position, stop) in tour.iter().enumerate() {
        let number = position + 1;
        text.push_str(&format!(
            "<section aria-labelledby=\"stop-{number}\">\n<h2 id=\"stop-{number}\">{}</h2>\n<div class=\"caption\">{}</div>\n",
            escape(&stop.title),
            markdown::html(&stop.caption)
        ));
        let figure = content.stops.get(position).copied().flatten().and_then(|at| content.figures.get(at));
        if let Some(figure) = figure {
            let slug = &figure.slug;
            // Its letters keep a size that is read: on a narrow screen it is moved sideways within its frame.
            text.push_str(&format!(
                "<figure class=\"wide\"><div tabindex=\"0\" role=\"group\" aria-label=\"{title}\"><img src=\"{FIGURES}/{slug}.svg\" alt=\"{}\" loading=\"{}\"></div>\
                 <figcaption><span class=\"faint swipe\">Move the figure sideways to see all of it. </span><a href=\"{FIGURES}/{slug}.html\">All its numbers</a></figcaption></figure>\n",
                escape(&figure.description),
                if position == 0 { "eager" } else { "lazy" },
                title = escape(&figure.title),
            ));
        }
        text.push_str(&format!(
            "<p><a href=\"index.html?study={}&amp;stop={number}\">Open this in the interactive view</a></p>\n</section>\n",
            content.studies.address()
        ));
    }
    text.push_str("</article>\n");
    let open = format!("index.html?study={}&amp;stop=1", content.studies.address());
    page::document(stamp, title, "", &open, "Open the interactive view", &text).map(Some)
}

#[cfg(test)]
mod tests {
    use cruxscope_study::TourStop;

    use super::*;
    use crate::studies::PublishedFigure;

    #[test]
    fn an_article_has_a_section_a_stop_with_its_figure_and_its_way_into_the_view() {
        let stamp = Stamp {
            version: "0123abcd".into(),
            wasm_bytes: 1,
        };
        assert_eq!(story(&stamp, &Content::default()).unwrap(), None);
        let mut content = Content::default();
        content.studies.title = "A & B".into();
        let stop = |title: &str, caption: &str| TourStop {
            title: title.into(),
            caption: caption.into(),
            ..TourStop::default()
        };
        content.studies.tour = vec![stop("One <1>", "Said **loud**."), stop("Two", "")];
        content.figures = vec![PublishedFigure {
            slug: "shift-a-b".into(),
            title: "Shift".into(),
            description: "What moved".into(),
            link: vec![],
            svg: String::new(),
            csv: String::new(),
            table: String::new(),
        }];
        content.stops = vec![None, Some(0)];
        let html = story(&stamp, &content).unwrap().unwrap();
        for part in [
            "<h1>A &amp; B</h1>",
            "<h2 id=\"stop-1\">One &lt;1&gt;</h2>",
            "Said <strong>loud</strong>.",
            "<img src=\"figures/shift-a-b.svg\" alt=\"What moved\" loading=\"lazy\">",
            "&amp;stop=2\">Open this",
        ] {
            assert!(html.contains(part), "{part} not in {html}");
        }
        assert_eq!(html.matches("<figure").count(), 1);
    }
}
