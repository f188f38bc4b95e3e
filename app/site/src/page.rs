//! The documents of the page: `index.html` around the canvas, a page of tables for each study, a page for each figure.
//!
//! The texts come from the `page` folder beside this one; here their gaps are filled. Paths are relative, so that the page
//! works under any address.

use cruxscope_selectors::markup::escape_html as escape;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::SiteError;
use crate::content::Content;
use crate::studies::{PublishedFigure, PublishedStudy, Studies};
use crate::{markdown, tables};

/// The name of the page.
pub const STORY: &str = "story.html";

/// Style and script, as they are.
pub const ASSETS: [(&str, &str); 2] = [("page.css", include_str!("../page/page.css")), ("page.js", include_str!("../page/page.js"))];
/// The folder of figures within a page.
pub const FIGURES: &str = "figures";
/// The picture that stands for a link to the page.
pub const PREVIEW: &str = "preview.png";

const INDEX: &str = include_str!("../page/index.html");
const TABLE: &str = include_str!("../page/table.html");
const MARK: &str = include_str!("../page/mark.svg");

/// What a document says beyond the studies.
pub struct Stamp {
    /// Changes whenever the program does, so that no browser mixes an old script with a new program.
    pub version: String,
    /// Size of the program, uncompressed, for the progress bar.
    pub wasm_bytes: u64,
}

/// The page itself, with the numbers of all its studies in short.
///
/// # Errors
/// When the template has a gap that is not filled, or a study's numbers do not fit together.
pub fn index(stamp: &Stamp, content: &Content) -> Result<String, SiteError> {
    let studies = content.studies.studies.as_slice();
    let named = content.studies.title.trim();
    let (title, subtitle) = match studies {
        [only] if named.is_empty() => (format!("{} · Cruxscope", only.title()), only.title().to_owned()),
        _ if !named.is_empty() => (format!("{named} · Cruxscope"), named.to_owned()),
        _ => ("Cruxscope".to_owned(), "Which weights matter most for a model's reasoning".to_owned()),
    };
    let mut numbers = String::new();
    for published in studies {
        numbers.push_str(&tables::summary(published, "h2")?);
        numbers.push_str(&format!(
            "<p><a href=\"{}/table.html\">All numbers of this study</a></p>\n",
            published.address()
        ));
    }
    if !content.studies.tour.is_empty() {
        numbers.insert_str(0, &format!("<p><a href=\"{STORY}\">Read the tour as an article</a></p>\n"));
    }
    if !content.figures.is_empty() {
        numbers.push_str(&format!("<h2>Figures with their numbers</h2>\n{}", list_of_figures(&content.figures)));
    }
    if studies.is_empty() && content.figures.is_empty() {
        numbers.push_str("<p class=\"dim\">This page comes without a study; the address can name one, as in ?study=studies/mine.</p>\n");
    }
    let table = match studies {
        _ if has_tables_index(content) => Some("tables.html".to_owned()),
        [only] => Some(format!("{}/table.html", only.address())),
        _ => None,
    };
    let story = !content.studies.tour.is_empty();
    let link = |class: &str| {
        table
            .as_ref()
            .map(|table| format!("<a class=\"{class}\" href=\"{table}\">Numbers as a table</a>"))
            .into_iter()
            .chain(story.then(|| format!("<a class=\"{class}\" href=\"{STORY}\">Read it as an article</a>")))
            .collect::<String>()
    };
    let label = match studies {
        [only] => format!("Interactive view of {}", only.title()),
        _ => "Interactive view".to_owned(),
    };
    let label = match &table {
        Some(_) => format!("{label}; the same numbers stand in tables, behind the link before it"),
        None => label,
    };
    fill(
        INDEX,
        &[
            ("title", &escape(&title)),
            ("description", &escape(&description(&content.studies))),
            ("social", &social(content, &title)),
            ("program_version", env!("CARGO_PKG_VERSION")),
            ("icon", &icon()),
            ("version", &stamp.version),
            ("mark", MARK.trim()),
            ("subtitle", &escape(&subtitle)),
            ("skip_link", &link("skip")),
            ("table_link", &link("faint")),
            ("canvas_label", &escape(&label)),
            ("default_study", &content.studies.address()),
            ("wasm_bytes", &stamp.wasm_bytes.to_string()),
            ("still", &still(content)),
            ("numbers", &numbers),
        ],
    )
}

/// What is seen while the program loads: the first stop of the tour that has a figure, or the first figure; nothing on a page without any.
/// The figure stands in the document itself, before everything that is fetched.
fn still(content: &Content) -> String {
    let tour = content.studies.tour.iter().zip(&content.stops);
    let stop = tour.filter_map(|(stop, figure)| Some((stop, content.figures.get((*figure)?)?))).next();
    let (title, caption, figure) = match (stop, content.figures.first()) {
        (Some((stop, figure)), _) => (&stop.title, markdown::html(&stop.caption), figure),
        (None, Some(figure)) => (&figure.title, String::new(), figure),
        (None, None) => return String::new(),
    };
    format!(
        "<section id=\"still\" aria-labelledby=\"still-title\">\n<h1 id=\"still-title\">{}</h1>\n\
         <figure role=\"img\" aria-label=\"{}\">{}</figure>\n<div class=\"caption\">{caption}</div>\n</section>\n",
        escape(title),
        escape(&figure.description),
        inline(&figure.svg)
    )
}

/// An SVG file as an element of a document: without its declaration.
fn inline(svg: &str) -> &str {
    svg.find("<svg").map_or("", |start| &svg[start..])
}

/// All numbers of one study.
///
/// # Errors
/// As [`index`].
pub fn table(stamp: &Stamp, published: &PublishedStudy) -> Result<String, SiteError> {
    let content = format!("{}{}", tables::summary(published, "h1")?, tables::grids(published));
    let open = format!("../../index.html?study={}", published.address());
    document(stamp, published.title(), "../../", &open, "Open the interactive view", &content)
}

/// One figure with its numbers.
///
/// # Errors
/// As [`index`].
pub fn figure(stamp: &Stamp, figure: &PublishedFigure) -> Result<String, SiteError> {
    let slug = &figure.slug;
    let content = format!(
        "<h1>{}</h1>\n<figure class=\"panel\"><img src=\"{slug}.svg\" alt=\"{}\"></figure>\n\
         <p><a href=\"{slug}.svg\" download>The figure as SVG</a> · <a href=\"{slug}.csv\" download>All its numbers as CSV</a></p>\n{}",
        escape(&figure.title),
        escape(&figure.description),
        figure.table
    );
    let open = format!("../index.html?{}", query(&figure.link));
    document(stamp, &figure.title, "../", &open, "Open the interactive view", &content)
}

/// Whether the page has a list of its tables: where there is more than one study's.
pub fn has_tables_index(content: &Content) -> bool {
    content.studies.studies.len() > 1 || !content.figures.is_empty()
}

/// The list of all pages of tables and figures.
///
/// # Errors
/// As [`index`].
pub fn tables_index(stamp: &Stamp, content: &Content) -> Result<String, SiteError> {
    let mut text = "<h1>Numbers as tables</h1>\n".to_owned();
    if !content.studies.studies.is_empty() {
        text.push_str("<h2>Studies</h2>\n<ul>\n");
    }
    for published in &content.studies.studies {
        text.push_str(&format!(
            "<li><a href=\"{}/table.html\">{}</a></li>\n",
            published.address(),
            escape(published.title())
        ));
    }
    if !content.studies.studies.is_empty() {
        text.push_str("</ul>\n");
    }
    if !content.figures.is_empty() {
        text.push_str(&format!("<h2>Figures</h2>\n{}", list_of_figures(&content.figures)));
    }
    document(stamp, "Numbers as tables", "", "index.html", "Open the interactive view", &text)
}

fn list_of_figures(figures: &[PublishedFigure]) -> String {
    let items: String = figures
        .iter()
        .map(|figure| format!("<li><a href=\"{FIGURES}/{}.html\">{}</a></li>\n", figure.slug, escape(&figure.title)))
        .collect();
    format!("<ul>\n{items}</ul>\n")
}

/// What readers of links look for: a title, a sentence and a picture.
fn social(content: &Content, title: &str) -> String {
    let mut tags = vec![
        ("og:type", "website".to_owned()),
        ("og:title", title.to_owned()),
        ("og:description", description(&content.studies)),
    ];
    if let Some(preview) = &content.preview {
        let base = preview
            .address
            .as_deref()
            .map(|address| format!("{}/", address.trim_end_matches('/')))
            .unwrap_or_default();
        if !base.is_empty() {
            tags.push(("og:url", base.clone()));
        }
        tags.push(("og:image", format!("{base}{PREVIEW}")));
        tags.push(("og:image:width", preview.size[0].to_string()));
        tags.push(("og:image:height", preview.size[1].to_string()));
        tags.push(("og:image:alt", preview.description.clone()));
    }
    let mut html: String = tags
        .iter()
        .map(|(name, value)| format!("<meta property=\"{name}\" content=\"{}\">\n", escape(value)))
        .collect();
    if content.preview.is_some() {
        html.push_str("<meta name=\"twitter:card\" content=\"summary_large_image\">\n");
    }
    html
}

/// What RFC 3986 leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Keys and values as they stand behind the question mark of an address.
fn query(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{}={}", utf8_percent_encode(key, UNRESERVED), utf8_percent_encode(value, UNRESERVED)))
        .collect();
    pairs.join("&amp;")
}

pub fn document(stamp: &Stamp, title: &str, root: &str, open: &str, open_label: &str, content: &str) -> Result<String, SiteError> {
    fill(
        TABLE,
        &[
            ("title", &escape(title)),
            ("program_version", env!("CARGO_PKG_VERSION")),
            ("icon", &icon()),
            ("root", root),
            ("version", &stamp.version),
            ("mark", MARK.trim()),
            ("open", open),
            ("open_label", open_label),
            ("content", content),
        ],
    )
}

fn description(studies: &Studies) -> String {
    match studies.studies.as_slice() {
        [only] => format!(
            "Which weight matrices of {} backtracking, uncertainty estimation, example testing and adding knowledge hang on.",
            only.study.manifest.model.name
        ),
        _ => "Which weight matrices a language model's reasoning behaviours hang on, layer by layer.".to_owned(),
    }
}

/// The mark as the address of an icon.
fn icon() -> String {
    let mark = MARK.trim().replace("currentColor", "#3f8fe0");
    mark.chars()
        .map(|character| match character {
            '<' => "%3C".to_owned(),
            '>' => "%3E".to_owned(),
            '#' => "%23".to_owned(),
            '"' => "'".to_owned(),
            '\n' => " ".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

/// Fills the gaps `{{name}}` of a template. What is filled in is not looked at again, so a study cannot name a gap.
fn fill(template: &str, values: &[(&str, &str)]) -> Result<String, SiteError> {
    let broken = |why: String| SiteError::Template { why };
    let mut pieces = template.split("{{");
    let mut document = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").ok_or_else(|| broken("a gap does not end".to_owned()))?;
        let Some((_, value)) = values.iter().find(|(known, _)| *known == name) else {
            return Err(broken(format!("nothing fills the gap for {name}")));
        };
        document.push_str(value);
        document.push_str(rest);
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use cruxscope_study::TourStop;

    use super::*;
    use crate::testing::study;

    fn stamp() -> Stamp {
        Stamp {
            version: "0123abcd".into(),
            wasm_bytes: 8_441_664,
        }
    }

    fn published(title: &str, slug: &str) -> PublishedStudy {
        PublishedStudy {
            slug: slug.into(),
            source: slug.into(),
            study: study(title),
        }
    }

    fn content(studies: Vec<PublishedStudy>) -> Content {
        let mut content = Content::default();
        content.studies.studies = studies;
        content
    }

    #[test]
    fn the_page_names_its_study_and_the_size_of_its_program() {
        let html = index(&stamp(), &content(vec![published("{{title}} <b>", "tiny")])).unwrap();
        for part in [
            "data-default-study=\"studies/tiny\"",
            "max=\"8441664\"",
            "page.js?v=0123abcd",
            "<title>{{title}} &lt;b&gt; · Cruxscope</title>",
            "href=\"studies/tiny/table.html\">Numbers as a table</a>",
        ] {
            assert!(html.contains(part), "{part} not in {html}");
        }
        assert!(!html.contains("<b>"));
    }

    #[test]
    fn a_page_without_a_study_and_one_with_two_are_whole() {
        let bare = index(&stamp(), &Content::default()).unwrap();
        assert!(bare.contains("data-default-study=\"\"") && !bare.contains("Numbers as a table"));
        let studies = content(vec![published("One", "one"), published("Two", "two")]);
        assert!(index(&stamp(), &studies).unwrap().contains("href=\"tables.html\""));
        assert!(tables_index(&stamp(), &studies).unwrap().contains("studies/two/table.html"));
    }

    #[test]
    fn the_first_stop_with_a_figure_is_seen_while_the_program_loads() {
        let mut content = content(vec![published("One", "one")]);
        assert!(!index(&stamp(), &content).unwrap().contains("id=\"still\""));
        let figure = |slug: &str| PublishedFigure {
            slug: slug.into(),
            title: format!("Title of {slug}"),
            description: "What it < shows".into(),
            link: vec![],
            svg: format!("<?xml version=\"1.0\"?>\n<svg id=\"{slug}\"></svg>"),
            csv: String::new(),
            table: String::new(),
        };
        content.figures = vec![figure("first"), figure("second")];
        assert!(
            index(&stamp(), &content)
                .unwrap()
                .contains("<h1 id=\"still-title\">Title of first</h1>\n<figure role=\"img\" aria-label=\"What it &lt; shows\"><svg id=\"first\">")
        );
        let stop = |title: &str| TourStop {
            title: title.into(),
            caption: "Said **loud**.".into(),
            ..TourStop::default()
        };
        content.studies.tour = vec![stop("Cover"), stop("Two & two")];
        content.stops = vec![None, Some(1)];
        let html = index(&stamp(), &content).unwrap();
        assert!(html.contains("Two &amp; two</h1>") && html.contains("<svg id=\"second\">") && html.contains("Said <strong>loud</strong>."));
        assert!(!html.contains("<?xml") && html.matches("id=\"still\"").count() == 1);
    }

    #[test]
    fn tables_lead_back_to_the_view() {
        let html = table(&stamp(), &published("One", "one")).unwrap();
        assert!(html.contains("../../index.html?study=studies/one") && html.contains("../../page.css?v=0123abcd"));
        assert!(html.contains("class=\"grid\""));
    }

    #[test]
    fn gaps_are_all_filled_or_complained_about() {
        assert_eq!(fill("a {{x}} b", &[("x", "{{y}}")]).unwrap(), "a {{y}} b");
        assert!(fill("{{x}}", &[]).is_err() && fill("{{x", &[("x", "")]).is_err());
    }
}
