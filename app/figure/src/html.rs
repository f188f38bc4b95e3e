//! A figure's numbers as an HTML table, for those who cannot see the figure: every text escaped, heads said to be heads.

use cruxscope_selectors::markup::escape_html as escape;

use super::Figure;
use super::latex::caption;

/// Rows that a page shows; the file of comma-separated values has all.
const MOST: usize = 400;

/// Writes the table.
pub fn write(figure: &Figure) -> String {
    let table = &figure.table;
    let places = table.in_print();
    let shown = table.rows.len().min(MOST);
    let mut html = format!(
        "<div class=\"scroll\"><table>\n<caption>{}<small>{}</small></caption>\n<thead>",
        escape(&caption(table, shown)),
        escape(&figure.description)
    );
    let groups = table.groups(&places);
    let grouped = groups.iter().any(|(group, _)| group.is_some());
    if grouped {
        html.push_str("<tr>");
        for (group, number) in groups {
            match group {
                Some(group) => html.push_str(&format!("<th scope=\"colgroup\" colspan=\"{number}\">{}</th>", escape(group))),
                None => html.push_str(&"<td></td>".repeat(number)),
            }
        }
        html.push_str("</tr>\n");
    }
    let class = |place: usize| if table.columns[place].words { " class=\"words\"" } else { "" };
    html.push_str("<tr>");
    for place in &places {
        html.push_str(&format!("<th scope=\"col\"{}>{}</th>", class(*place), escape(&table.columns[*place].head)));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    // The first column of words names the row.
    let names = places.iter().copied().find(|place| table.columns[*place].words);
    for row in table.rows.iter().take(shown) {
        html.push_str("<tr>");
        for place in &places {
            let text = row.get(*place).map(|cell| escape(&cell.rounded())).unwrap_or_default();
            if Some(*place) == names {
                html.push_str(&format!("<th scope=\"row\"{}>{text}</th>", class(*place)));
            } else {
                html.push_str(&format!("<td{}>{text}</td>", class(*place)));
            }
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody></table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_selectors::Figures;
    use cruxscope_study::test_data as samples;

    use crate::{FigureOptions, importance};

    #[test]
    fn the_table_has_heads_and_no_tag_of_a_study() {
        let mut study = samples::study(6);
        study.manifest.model.name = "<script>alert(1)</script>".into();
        let html = write(&importance::figure(&study, &Figures::of(&study), &FigureOptions::default()));
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
        assert!(html.contains("<th scope=\"colgroup\" colspan=\"2\">Backtracking</th>"));
        assert!(html.contains("<th scope=\"row\" class=\"words\">6_gate</th>"));
        assert_eq!(html.matches("<tr>").count(), 2 + 42);
    }
}
