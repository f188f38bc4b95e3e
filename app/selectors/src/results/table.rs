//! The scores of an experiment in rows and columns: a group a model, a row a compression, a column a benchmark's metric.

use std::collections::BTreeSet;

use cruxscope_study::{Results, Score};

use super::baselines;
use super::methods::{Fill, Method, MethodKind};
use super::rows::{Cell, Column, Group, Row, label};
use crate::format;

/// An experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultsTable {
    /// The columns.
    pub columns: Vec<Column>,
    /// The groups.
    pub groups: Vec<Group>,
}

impl ResultsTable {
    /// The experiment of the first of the results, with what the others say of the same columns beneath it.
    pub fn of(results: &[&Results], experiment: &str, model: Option<&str>) -> Self {
        let Some(first) = results.first() else { return Self::default() };
        let of_first: Vec<(usize, &Score)> = numbered(first)
            .filter(|(_, score)| score.experiment == experiment && model.is_none_or(|model| score.model == model))
            .collect();
        let mut columns = columns(of_first.iter().map(|(_, score)| *score));
        let mut groups = groups(&columns, &of_first, 0, "");
        baselines::borrow(&mut groups, &columns, numbered(first));
        for (source, other) in results.iter().enumerate().skip(1) {
            let fits = |score: &Score| columns.iter().any(|column| column.holds(score));
            let scores: Vec<(usize, &Score)> = numbered(other).filter(|(_, score)| fits(score)).collect();
            groups.extend(self::groups(&columns, &scores, source, &other.title));
        }
        for group in &mut groups {
            baselines::mark(group);
        }
        let all = |column: usize| groups.iter().flat_map(|group| &group.rows).filter_map(move |row| row.cells[column].as_ref());
        for index in 0..columns.len() {
            let least = all(index).map(|cell| cell.interval.map_or(cell.value, |[low, _]| low)).fold(0.0, f64::min);
            let most = all(index).map(|cell| cell.interval.map_or(cell.value, |[_, high]| high)).fold(0.0, f64::max);
            columns[index].range = axis(&columns[index].unit, least, most);
        }
        Self { columns, groups }
    }

    /// Every row with its group, in the order in which they are shown.
    pub fn rows(&self) -> impl Iterator<Item = (&Group, &Row)> {
        self.groups.iter().flat_map(|group| group.rows.iter().map(move |row| (group, row)))
    }

    /// The kinds of methods that occur, in the order of the legend.
    pub fn kinds(&self) -> Vec<MethodKind> {
        let found: BTreeSet<MethodKind> = self.rows().map(|(_, row)| row.method.kind).collect();
        found.into_iter().collect()
    }

    /// The fills of marks and what they mean, where they are not all alike.
    pub fn fills(&self) -> Vec<(Fill, &'static str)> {
        let has = |pruned: bool, fill: Fill| {
            let of_kind = |row: &Row| (row.method.kind == MethodKind::Pruning) == pruned && row.method.kind != MethodKind::None;
            self.rows().any(|(_, row)| row.method.fill == fill && of_kind(row))
        };
        let text = |fill| match (has(false, fill), has(true, fill), fill) {
            (false, false, _) => None,
            (true, false, Fill::Full) => Some("4 bits and more"),
            (true, false, Fill::Half) => Some("3 bits"),
            (true, false, Fill::Hollow) => Some("under 3 bits"),
            (false, true, Fill::Full) => Some("under 40 % pruned"),
            (false, true, Fill::Half) => Some("40 to 60 % pruned"),
            (false, true, Fill::Hollow) => Some("over 60 % pruned"),
            (true, true, Fill::Full) => Some("4 bits and more, or under 40 % pruned"),
            (true, true, Fill::Half) => Some("3 bits, or 40 to 60 % pruned"),
            (true, true, Fill::Hollow) => Some("under 3 bits, or over 60 % pruned"),
        };
        Fill::ALL.into_iter().filter_map(|fill| Some((fill, text(fill)?))).collect()
    }
}

fn numbered(results: &Results) -> impl Iterator<Item = (usize, &Score)> {
    results.scores.iter().enumerate()
}

/// The columns of some scores, in the order of their first places.
fn columns<'a>(scores: impl Iterator<Item = &'a Score> + Clone) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for score in scores.clone() {
        if !columns.iter().any(|column| column.holds(score)) {
            columns.push(Column {
                benchmark: score.benchmark.clone(),
                metric: score.metric.clone(),
                unit: score.unit.clone(),
                title: String::new(),
                range: [0.0, 1.0],
                chance: score.chance,
            });
        }
    }
    // A mean of benchmarks follows what it is a mean of.
    columns.sort_by_key(|column| column.benchmark.starts_with("Average"));
    for index in 0..columns.len() {
        let column = &columns[index];
        let questions: BTreeSet<Option<usize>> = scores.clone().filter(|score| column.holds(score)).map(|score| score.questions).collect();
        let several = columns.iter().filter(|other| other.benchmark == column.benchmark).count() > 1;
        let name = match column.metric.as_str() {
            "accuracy" if !several => column.benchmark.clone(),
            metric => format!("{} {metric}", column.benchmark),
        };
        let n = match questions.iter().collect::<Vec<_>>()[..] {
            [Some(n)] => format!(", n = {}", format::count(*n)),
            _ => String::new(),
        };
        columns[index].title = format!("{name}{n}");
    }
    columns
}

fn groups(columns: &[Column], scores: &[(usize, &Score)], source: usize, origin: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (number, score) in scores {
        let Some(column) = columns.iter().position(|column| column.holds(score)) else {
            continue;
        };
        let place = groups.iter().position(|group| group.model == score.model).unwrap_or_else(|| {
            groups.push(Group {
                model: score.model.clone(),
                origin: origin.to_owned(),
                rows: Vec::new(),
                reference: vec![None; columns.len()],
                compressed: vec![None; columns.len()],
            });
            groups.len() - 1
        });
        let group = &mut groups[place];
        let label = without(label(&score.compression), &score.setting);
        let known = |row: &Row| row.label == label && row.setting == score.setting && row.cells[column].is_none();
        let at = group.rows.iter().position(known).unwrap_or_else(|| {
            group.rows.push(Row {
                label: label.clone(),
                setting: score.setting.clone(),
                method: Method::of(&score.compression),
                compression: score.compression.clone(),
                borrowed: false,
                source,
                cells: vec![None; columns.len()],
            });
            group.rows.len() - 1
        });
        group.rows[at].cells[column] = Some(Cell {
            score: *number,
            value: score.value,
            interval: score.interval,
            gain: None,
        });
    }
    groups
}

/// A label without what its row's setting says again: `RTN, 4 bits, last MLPs` beside `last MLPs`.
fn without(label: String, setting: &str) -> String {
    match label.strip_suffix(setting).and_then(|rest| rest.strip_suffix(", ")) {
        Some(rest) if !setting.is_empty() && !rest.is_empty() => rest.to_owned(),
        _ => label,
    }
}

/// The ends of an axis: shares run from 0 to 100 %, but for small ones, which run to the next round number.
fn axis(unit: &str, least: f64, most: f64) -> [f64; 2] {
    let ceiling = |value: f64| {
        let magnitude = 10f64.powf(value.max(1e-9).log10().floor());
        [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
            .into_iter()
            .map(|step| step * magnitude)
            .find(|step| *step >= value * (1.0 - 1e-9))
            .unwrap_or(value)
    };
    let low = if least < 0.0 { -ceiling(-least) } else { 0.0 };
    if unit == "%" && most > 40.0 {
        return [low, 100.0];
    }
    [low, if most > 0.0 { ceiling(most) } else { 1.0 }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(experiment: &str, model: &str, compression: &str, benchmark: &str, value: f64) -> Score {
        Score {
            experiment: experiment.into(),
            model: model.into(),
            compression: compression.into(),
            benchmark: benchmark.into(),
            metric: "accuracy".into(),
            unit: "%".into(),
            value,
            interval: Some([value - 5.0, value + 5.0]),
            questions: Some(30),
            ..Score::default()
        }
    }

    fn results(title: &str, scores: Vec<Score>) -> Results {
        Results {
            schema: 1,
            title: title.into(),
            scores,
            ..Results::default()
        }
    }

    #[test]
    fn a_row_says_its_setting_once() {
        let own = |label: &str, setting: &str| without(label.to_owned(), setting);
        assert_eq!(own("RTN, 4 bits, last MLPs", "last MLPs"), "RTN, 4 bits");
        assert_eq!(own("RTN, 2 bits, random 1", "only random, draw 1"), "RTN, 2 bits, random 1");
        assert_eq!(
            (own("AWQ, 3 bits", ""), own("last MLPs", "last MLPs")),
            ("AWQ, 3 bits".to_owned(), "last MLPs".to_owned())
        );
    }

    #[test]
    fn scores_stand_in_rows_and_columns() {
        let own = results(
            "own",
            vec![
                score("one", "m", "", "A", 60.0),
                score("one", "m", "", "B", 12.0),
                score("one", "m", "3-bit RTN", "A", 40.0),
                score("one", "n", "", "A", 50.0),
                score("two", "m", "", "A", 1.0),
            ],
        );
        let table = ResultsTable::of(&[&own], "one", None);
        let titles: Vec<&str> = table.columns.iter().map(|column| column.title.as_str()).collect();
        assert_eq!(titles, ["A, n = 30", "B, n = 30"]);
        assert_eq!([table.columns[0].range, table.columns[1].range], [[0.0, 100.0], [0.0, 20.0]]);
        assert_eq!(table.groups.len(), 2);
        assert_eq!(table.groups[0].reference, [Some(60.0), Some(12.0)]);
        assert_eq!(table.groups[0].rows[1].label, "3-bit RTN");
        assert_eq!(table.groups[0].rows[1].cells[1], None);
        assert_eq!(table.kinds(), [MethodKind::None, MethodKind::Nearest]);
        assert_eq!(ResultsTable::of(&[&own], "one", Some("n")).groups.len(), 1);
    }

    #[test]
    fn other_results_are_laid_beneath() {
        let own = results("own", vec![score("one", "m", "", "A", 60.0)]);
        let other = results("other", vec![score("x", "m", "4-bit AWQ", "A", 55.0), score("x", "m", "4-bit AWQ", "C", 55.0)]);
        let table = ResultsTable::of(&[&own, &other], "one", None);
        assert_eq!(table.groups.len(), 2);
        assert_eq!((table.groups[1].origin.as_str(), table.groups[1].rows[0].source), ("other", 1));
        assert_eq!(table.groups[1].rows[0].label, "4-bit AWQ");
    }

    #[test]
    fn axes_begin_at_zero_and_end_at_round_numbers() {
        assert_eq!(axis("%", 0.0, 99.0), [0.0, 100.0]);
        assert_eq!(axis("%", 0.0, 27.5), [0.0, 30.0]);
        assert_eq!(axis("", 0.0, 10.9), [0.0, 15.0]);
        assert_eq!(axis("", -0.4, 0.9), [-0.4, 1.0]);
        assert_eq!(axis("%", 0.0, 0.0), [0.0, 1.0]);
    }
}
