//! The numbers of a study as HTML tables: for screen readers, for browsers that cannot draw the figure, for search and print.
//!
//! Nothing is computed here but by the study itself; this file only writes rows. Every text of a study is escaped.

use std::fmt::Write as _;

use cruxscope_selectors::markup::escape_html as escape;
use cruxscope_study::{Behaviour, Bootstrap, Component, Module, Ranks, grouped};

use crate::SiteError;
use crate::html::percent;
use crate::studies::PublishedStudy;

/// How many components the ranking lists.
const RANKED: usize = 20;
/// Steps of the shade behind a number.
const SHADES: f64 = 8.0;

/// A study in short: its title as a heading (`h1` or `h2`), facts, counts per behaviour and the ranking.
///
/// # Errors
/// When the study's contributions do not fit together.
pub fn summary(published: &PublishedStudy, heading: &str) -> Result<String, SiteError> {
    let mut html = format!(
        "<section data-study=\"{}\" aria-labelledby=\"title-{slug}\">\n<{heading} id=\"title-{slug}\">{}</{heading}>\n",
        published.address(),
        escape(published.title()),
        slug = published.slug
    );
    html.push_str(&facts(published));
    html.push_str(&behaviours(published)?);
    html.push_str(&ranking(published));
    html.push_str("</section>\n");
    Ok(html)
}

fn facts(published: &PublishedStudy) -> String {
    let manifest = &published.study.manifest;
    let rows = [
        ("Model", escape(&manifest.model.name)),
        ("Layers", manifest.model.layers.to_string()),
        ("Components", grouped(Component::all(manifest.model.layers).count() as u64)),
        ("Definition", manifest.definition.to_string()),
        ("Instances", grouped(manifest.instances.len() as u64)),
        ("Tokens", grouped(manifest.tokens() as u64)),
        ("Segments used", grouped(manifest.segments_used() as u64)),
        ("Made by", escape(format!("{} {}", manifest.program.name, manifest.program.version).trim())),
    ];
    let mut html = "<dl class=\"facts\">\n".to_owned();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html + "</dl>\n"
}

fn behaviours(published: &PublishedStudy) -> Result<String, SiteError> {
    let study = &published.study;
    let layers = study.importance.layers();
    let mut html = concat!(
        "<div class=\"scroll\"><table>\n<caption>Behaviours, and the component on which each hangs most",
        "<small>The interval holds 95 % of 1,000 resamples of the instances; P(rank 1) is the share of resamples in which the component ranks first.</small></caption>\n",
        "<thead><tr><th scope=\"col\" class=\"words\">Behaviour</th><th scope=\"col\">Instances</th><th scope=\"col\">Segments used</th>",
        "<th scope=\"col\">Dropped</th><th scope=\"col\" class=\"words\">Highest component</th><th scope=\"col\">Relative importance</th>",
        "<th scope=\"col\">95 % interval</th><th scope=\"col\">P(rank 1)</th></tr></thead>\n<tbody>\n"
    )
    .to_owned();
    for behaviour in Behaviour::ALL {
        let counts = study.manifest.segments[behaviour.index()];
        let _ = write!(
            html,
            "<tr><th scope=\"row\" class=\"words\">{}</th><td>{}</td><td>{}</td><td>{}</td>",
            behaviour.title(),
            grouped(counts.instances as u64),
            grouped(counts.used as u64),
            grouped(counts.dropped as u64)
        );
        let relative = study.importance.relative_of(behaviour);
        match Ranks::of(&relative).order().first().filter(|_| study.importance.has(behaviour)) {
            Some(highest) => {
                let _ = write!(html, "<td class=\"words\">{highest}</td><td>{} %</td>", percent(relative[highest.index()]));
                let stability = study
                    .contributions
                    .stability(layers, behaviour, &Bootstrap::default())
                    .map_err(|source| SiteError::Study {
                        path: published.source.clone(),
                        source,
                    })?;
                match stability.as_ref().and_then(|stability| stability.get(highest.index())) {
                    Some(stable) => {
                        let (low, high) = (percent(stable.low), percent(stable.high));
                        let _ = write!(html, "<td>{low} to {high} %</td><td>{:.2}</td>", stable.probability_of_rank_one);
                    }
                    None => html.push_str("<td colspan=\"2\">one instance only</td>"),
                }
            }
            None => html.push_str("<td class=\"words\" colspan=\"4\">no instance holds it</td>"),
        }
        html.push_str("</tr>\n");
    }
    Ok(html + "</tbody></table></div>\n")
}

fn ranking(published: &PublishedStudy) -> String {
    let importance = &published.study.importance;
    let present: Vec<Behaviour> = Behaviour::ALL.into_iter().filter(|behaviour| importance.has(*behaviour)).collect();
    if present.is_empty() {
        return "<p>No instance of this study holds a behaviour that is scored, so there is no importance to show.</p>\n".to_owned();
    }
    let relative: Vec<Vec<f64>> = present.iter().map(|behaviour| importance.relative_of(*behaviour)).collect();
    let ranks: Vec<Ranks> = relative.iter().map(|values| Ranks::of(values)).collect();
    let components = Component::all(importance.layers()).count();
    let mean: Vec<f64> = (0..components)
        .map(|index| relative.iter().map(|values| values[index]).sum::<f64>() / present.len() as f64)
        .collect();
    let mut html = format!(
        "<div class=\"scroll\"><table>\n<caption>The {} components with the highest mean relative importance\
         <small>Relative importance is a component's part of the importance of all {} components, in percent; rank 1 is the highest.</small></caption>\n\
         <thead><tr><th scope=\"col\" rowspan=\"2\">Rank</th><th scope=\"col\" rowspan=\"2\" class=\"words\">Component</th>\
         <th scope=\"col\" rowspan=\"2\">Layer</th><th scope=\"col\" rowspan=\"2\" class=\"words\">Module</th><th scope=\"col\" rowspan=\"2\">Mean</th>",
        RANKED.min(components),
        grouped(components as u64)
    );
    for behaviour in &present {
        let _ = write!(html, "<th scope=\"colgroup\" colspan=\"2\">{}</th>", behaviour.title());
    }
    html.push_str("</tr>\n<tr>");
    html.push_str(&"<th scope=\"col\">%</th><th scope=\"col\">Rank</th>".repeat(present.len()));
    html.push_str("</tr></thead>\n<tbody>\n");
    for (position, component) in Ranks::of(&mean).order().iter().take(RANKED).enumerate() {
        let _ = write!(
            html,
            "<tr><td>{}</td><th scope=\"row\" class=\"words\">{component}</th><td>{}</td><td class=\"words\">{}</td><td>{}</td>",
            position + 1,
            component.layer,
            component.module,
            percent(mean[component.index()])
        );
        for (values, ranks) in relative.iter().zip(&ranks) {
            let _ = write!(
                html,
                "<td>{}</td><td class=\"rank\">{}</td>",
                percent(values[component.index()]),
                ranks.overall(*component)
            );
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody></table></div>\n"
}

/// Every number: one table of layers by modules for each behaviour.
pub fn grids(published: &PublishedStudy) -> String {
    let importance = &published.study.importance;
    let highest = importance.relative().into_iter().fold(0.0, f64::max);
    let mut html = "<div class=\"grids\">\n".to_owned();
    for behaviour in Behaviour::ALL.into_iter().filter(|behaviour| importance.has(*behaviour)) {
        let values = importance.relative_of(behaviour);
        let first = Ranks::of(&values).order().first().copied();
        let _ = write!(
            html,
            "<div class=\"scroll\"><table class=\"grid\">\n<caption>{}<small>Relative importance in percent, by layer and module; n = {} instances</small></caption>\n\
             <thead><tr><th scope=\"col\">Layer</th>",
            behaviour.title(),
            grouped(published.study.manifest.segments[behaviour.index()].instances as u64)
        );
        for module in Module::ALL {
            let _ = write!(html, "<th scope=\"col\">{}</th>", module.short());
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for layer in 0..importance.layers() {
            let _ = write!(html, "<tr><th scope=\"row\">{}</th>", layer + 1);
            for module in Module::ALL {
                let component = Component::new(layer, module);
                let value = values[component.index()];
                let step = shade(value, highest);
                let class = if Some(component) == first { "shade highest" } else { "shade" };
                let _ = write!(html, "<td class=\"{class}\" style=\"--step:{step}\">{}</td>", percent(value));
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody></table></div>\n");
    }
    html + "</div>\n"
}

/// The step of a value's shade, on one square-root scale for all behaviours.
fn shade(value: f64, highest: f64) -> usize {
    if highest > 0.0 {
        ((value / highest).sqrt() * SHADES).round() as usize
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::study;

    fn published(title: &str) -> PublishedStudy {
        PublishedStudy {
            slug: "tiny".into(),
            source: "tiny".into(),
            study: study(title),
        }
    }

    #[test]
    fn whatever_a_study_says_stays_text() {
        let html = summary(&published("<script>alert(1)</script>\" onload="), "h2").unwrap();
        assert!(
            !html.contains("<script") && html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload="),
            "{html}"
        );
        assert!(html.contains("Tiny &amp; &lt;small&gt;"));
    }

    #[test]
    fn the_ranking_agrees_with_the_study() {
        let published = published("A title");
        let html = summary(&published, "h2").unwrap();
        let relative = published.study.importance.relative_of(Behaviour::Backtracking);
        let highest = Ranks::of(&relative).order()[0];
        let row = format!("<td class=\"words\">{highest}</td><td>{} %</td>", percent(relative[highest.index()]));
        assert!(html.contains(&row), "{row} not in {html}");
        assert!(html.contains("no instance holds it"), "a behaviour without instances is said to have none");
        assert!(html.contains("<th scope=\"colgroup\" colspan=\"2\">Adding knowledge</th>") && !html.contains("colspan=\"2\">Example testing"));
        assert_eq!(html.matches("<th scope=\"row\" class=\"words\">").count(), 4 + RANKED.min(21));
    }

    #[test]
    fn every_number_stands_in_the_grids() {
        let html = grids(&published("A title"));
        assert_eq!(html.matches("<caption>").count(), 3);
        assert_eq!(html.matches("<td class=\"shade").count(), 3 * 21);
        assert_eq!(html.matches("shade highest").count(), 3);
        assert_eq!([shade(0.0, 1.0), shade(1.0, 1.0), shade(0.0, 0.0)], [0, 8, 0]);
    }
}
