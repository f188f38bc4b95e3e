//! The numbers behind a figure, as a table: whole for other programs, rounded for people.

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What it shows, in a sentence without a full stop.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, each with a cell for every column; what matters most comes first.
    pub rows: Vec<Vec<Cell>>,
    /// How many rows a table for print has unless more are asked for.
    pub printed: usize,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name for programs, such as `relative_importance_backtracking`.
    pub key: String,
    /// What it belongs to, such as a behaviour; columns of one group stand side by side.
    pub group: Option<String>,
    /// Its head for people.
    pub head: String,
    /// Whether it holds words rather than numbers.
    pub words: bool,
    /// Whether it stands in print; programs get every column.
    pub printed: bool,
}

impl Column {
    /// A column of numbers.
    pub fn numbers(key: impl Into<String>, head: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            group: None,
            head: head.into(),
            words: false,
            printed: true,
        }
    }

    /// A column of words.
    pub fn words(key: impl Into<String>, head: impl Into<String>) -> Self {
        Self {
            words: true,
            ..Self::numbers(key, head)
        }
    }

    /// The same column in a group.
    #[must_use]
    pub fn of(self, group: impl Into<String>) -> Self {
        Self {
            group: Some(group.into()),
            ..self
        }
    }

    /// The same column, for programs only.
    #[must_use]
    pub fn unprinted(self) -> Self {
        Self { printed: false, ..self }
    }
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Words(String),
    /// A whole number.
    Whole(usize),
    /// A share of one, which people read in percent.
    Share(f64),
    /// A number with so many digits behind the point for people.
    Number(f64, usize),
    /// Nothing.
    Empty,
}

impl Cell {
    /// A share, where there is one.
    pub fn share(value: Option<f64>) -> Self {
        value.map_or(Self::Empty, Self::Share)
    }

    /// A number, where there is one.
    pub fn number(value: Option<f64>, digits: usize) -> Self {
        value.map_or(Self::Empty, |value| Self::Number(value, digits))
    }

    /// The cell for another program: numbers whole, shares as they are.
    pub fn exact(&self) -> String {
        match self {
            Self::Words(words) => words.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Share(value) | Self::Number(value, _) if value.is_finite() => value.to_string(),
            Self::Share(_) | Self::Number(..) | Self::Empty => String::new(),
        }
    }

    /// The cell for a person: numbers rounded, shares in percent without the sign, the minus written as one.
    pub fn rounded(&self) -> String {
        let (value, digits) = match self {
            Self::Share(share) => (share * 100.0, 2),
            Self::Number(value, digits) => (*value, *digits),
            _ => return self.exact(),
        };
        if !value.is_finite() {
            return String::new();
        }
        let text = format!("{:.digits$}", value.abs());
        let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        if zero && value > 0.0 && matches!(self, Self::Share(_)) {
            return "<0.01".to_owned();
        }
        if value < 0.0 && !zero { format!("−{text}") } else { text }
    }
}

impl Table {
    /// The columns that stand in print, by their places.
    pub fn in_print(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|place| self.columns[*place].printed).collect()
    }

    /// The groups over the columns at `places`: each with the number of columns under it.
    pub fn groups(&self, places: &[usize]) -> Vec<(Option<&str>, usize)> {
        let mut groups: Vec<(Option<&str>, usize)> = Vec::new();
        for place in places {
            let group = self.columns[*place].group.as_deref();
            match groups.last_mut() {
                Some((last, number)) if *last == group => *number += 1,
                _ => groups.push((group, 1)),
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_for_programs_and_rounded_for_people() {
        assert_eq!(Cell::Share(0.034_999_999_999).exact(), "0.034999999999");
        assert_eq!(Cell::Share(0.034_999_999_999).rounded(), "3.50");
        assert_eq!(Cell::Share(1e-9).rounded(), "<0.01");
        assert_eq!(Cell::Share(-1e-9).rounded(), "0.00");
        assert_eq!(Cell::Share(-0.0104).rounded(), "−1.04");
        assert_eq!(Cell::Number(f64::NAN, 2).exact(), "");
        assert_eq!(Cell::Number(0.2599, 2).rounded(), "0.26");
        assert_eq!([Cell::Whole(3).rounded(), Cell::Empty.exact()], ["3".to_owned(), String::new()]);
    }

    #[test]
    fn neighbours_of_one_group_share_a_head() {
        let table = Table {
            caption: String::new(),
            columns: vec![
                Column::words("a", "A"),
                Column::numbers("b", "%").of("G"),
                Column::numbers("c", "c").of("G").unprinted(),
                Column::numbers("d", "Rank").of("G"),
                Column::numbers("e", "%").of("H"),
            ],
            rows: Vec::new(),
            printed: 0,
        };
        let places = table.in_print();
        assert_eq!(places, [0, 1, 3, 4]);
        assert_eq!(table.groups(&places), [(None, 1), (Some("G"), 2), (Some("H"), 1)]);
    }
}
