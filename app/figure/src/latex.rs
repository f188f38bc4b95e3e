//! A figure's numbers as a LaTeX table in the manner of booktabs: the rows that matter most, rounded, the stamp in comments.

use super::Figure;
use super::table::Table;

/// Writes it, with so many rows, or as many as the table has in print.
pub fn write(figure: &Figure, rows: Option<usize>) -> String {
    let table = &figure.table;
    let (places, printed) = (table.in_print(), rows.unwrap_or(table.printed));
    let mut text = String::new();
    for line in figure.stamp.lines() {
        text.push_str(&format!("% {line}\n"));
    }
    text.push_str("% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n");
    text.push_str(&format!(
        "  \\caption{{{}.}}\n  \\label{{tab:{}}}\n",
        escape(&caption(table, printed)),
        figure.name
    ));
    let alignment: String = places.iter().map(|place| if table.columns[*place].words { 'l' } else { 'r' }).collect();
    text.push_str(&format!("  \\begin{{tabular}}{{{alignment}}}\n    \\toprule\n"));
    groups(&mut text, table, &places);
    let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
    text.push_str(&line(places.iter().map(|place| escape(&table.columns[*place].head)).collect()));
    text.push_str("    \\midrule\n");
    for row in table.rows.iter().take(printed) {
        text.push_str(&line(
            places
                .iter()
                .map(|place| row.get(*place).map(|cell| escape(&cell.rounded())).unwrap_or_default())
                .collect(),
        ));
    }
    text.push_str("    \\bottomrule\n  \\end{tabular}\n\\end{table}\n");
    text
}

/// What the table shows, and how much of it.
pub fn caption(table: &Table, printed: usize) -> String {
    if printed < table.rows.len() {
        format!("{}; the first {printed} of {}", table.caption, table.rows.len())
    } else {
        table.caption.clone()
    }
}

/// The line of groups over the columns, with a rule under each, where there are groups.
fn groups(text: &mut String, table: &Table, places: &[usize]) {
    let groups = table.groups(places);
    if groups.iter().all(|(group, _)| group.is_none()) {
        return;
    }
    let (mut cells, mut rules, mut next) = (Vec::new(), String::new(), 1);
    for (group, number) in groups {
        match group {
            Some(group) => {
                cells.push(format!("\\multicolumn{{{number}}}{{c}}{{{}}}", escape(group)));
                rules.push_str(&format!(" \\cmidrule(lr){{{next}-{}}}", next + number - 1));
            }
            None => cells.extend(vec![String::new(); number]),
        }
        next += number;
    }
    text.push_str(&format!("    {} \\\\\n   {rules}\n", cells.join(" & ")));
}

/// Text as LaTeX sets it, whatever characters it holds.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '^' => escaped.push_str("\\textasciicircum{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '−' => escaped.push_str("$-$"),
            '×' => escaped.push_str("$\\times$"),
            '≤' => escaped.push_str("$\\leq$"),
            '→' => escaped.push_str("$\\rightarrow$"),
            '…' => escaped.push_str("\\ldots{}"),
            '\u{a0}' => escaped.push('~'),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_selectors::Figures;
    use cruxscope_study::test_data as samples;

    use crate::{FigureOptions, importance};

    #[test]
    fn special_characters_stay_characters() {
        assert_eq!(
            escape("a_b & 3 % of $x^2$ {~} \\ #1"),
            "a\\_b \\& 3 \\% of \\$x\\textasciicircum{}2\\$ \\{\\textasciitilde{}\\} \\textbackslash{} \\#1"
        );
        assert_eq!(escape("−1.04 <0.01 3\u{a0}%\n"), "$-$1.04 \\textless{}0.01 3~\\% ");
    }

    #[test]
    fn the_table_has_rules_groups_and_the_rows_that_matter_most() {
        let mut study = samples::study(6);
        study.manifest.title = "100 % _mine_ \n\\input{/etc/passwd}".into();
        let figure = importance::figure(&study, &Figures::of(&study), &FigureOptions::default());
        let text = write(&figure, Some(5));
        for part in [
            "% study: 100 % _mine_",
            "\\toprule",
            "\\multicolumn{2}{c}{Backtracking}",
            "\\cmidrule(lr)",
            "6\\_gate",
            "\\bottomrule",
            "the first 5 of 42.",
        ] {
            assert!(text.contains(part), "{part} not in {text}");
        }
        assert!(
            text.lines().filter(|line| line.contains("\\input{")).all(|line| line.starts_with('%')),
            "{text}"
        );
        let body = text.split("\\midrule\n").nth(1).unwrap().split("    \\bottomrule").next().unwrap();
        assert_eq!(body.lines().count(), 5);
        let columns = |line: &str| line.matches(" & ").count();
        assert!(body.lines().all(|line| columns(line) == columns(body.lines().next().unwrap())));
    }
}
