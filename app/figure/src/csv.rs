//! A figure's numbers as comma-separated values (RFC 4180): the stamp in lines that begin with `#`, a line of names, then every row.

use super::Figure;

/// Writes it.
pub fn write(figure: &Figure) -> String {
    let table = &figure.table;
    let mut text = String::new();
    for line in figure.stamp.lines() {
        text.push_str(&format!("# {line}\n"));
    }
    let line = |fields: Vec<String>| fields.join(",") + "\n";
    text.push_str(&line(table.columns.iter().map(|column| field(&column.key)).collect()));
    for row in &table.rows {
        text.push_str(&line(row.iter().map(|cell| field(&cell.exact())).collect()));
    }
    text
}

/// A field, in quotation marks where it needs them. What a spreadsheet would take for a formula is marked as text.
fn field(text: &str) -> String {
    let number = text.parse::<f64>().is_ok();
    let text = if !number && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r', '#']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_selectors::Figures;
    use cruxscope_study::test_data as samples;
    use cruxscope_study::{Behaviour, Component};

    use crate::{FigureOptions, importance};

    #[test]
    fn numbers_come_back_as_they_were() {
        let study = samples::study(6);
        let text = write(&importance::figure(&study, &Figures::of(&study), &FigureOptions::default()));
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let names: Vec<&str> = lines[0].split(',').collect();
        let place = |name: &str| names.iter().position(|known| *known == name).unwrap();
        assert_eq!(lines.len(), 1 + 42);
        let relative = study.importance.relative_of(Behaviour::Backtracking);
        for line in &lines[1..] {
            let fields: Vec<&str> = line.split(',').collect();
            let component: Component = fields[place("component")].parse().unwrap();
            let read: f64 = fields[place("relative_importance_backtracking")].parse().unwrap();
            assert_eq!(read, relative[component.index()]);
            assert_eq!(fields[place("relative_importance_adding_knowledge")], "", "nobody shows it");
        }
        assert!(text.starts_with("# study: Sample study\n"), "{text}");
    }

    #[test]
    fn fields_are_quoted_and_never_a_formula() {
        assert_eq!(field("a,b \"c\""), "\"a,b \"\"c\"\"\"");
        assert_eq!(field("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(field("-0.25"), "-0.25");
    }
}
