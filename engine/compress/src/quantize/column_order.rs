//! The order in which GPTQ takes the columns.

use serde::{Deserialize, Serialize};

use super::bits::GroupSize;

/// The order in which GPTQ takes the columns. Early columns are rounded with all later ones still free to make up for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnOrder {
    /// As they are stored.
    #[default]
    Stored,
    /// By the diagonal of the Hessian, largest first (`act_order`, `desc_act`). Unless groups are static, they are made of
    /// neighbours in this order, and inference needs the group of every column.
    Activation,
    /// Groups by their largest diagonal, and columns by their diagonal inside each group (GPTQModel's `act_group_aware`). Groups
    /// stay whole; a short last group keeps its place and order.
    GroupAware,
}

impl ColumnOrder {
    /// The columns in the order in which they are taken, or `None` for the stored one. Equal diagonals keep their order.
    pub(super) fn of_columns(self, diagonal: &[f64], group_size: GroupSize) -> Option<Vec<usize>> {
        let columns = diagonal.len();
        let descending = |a: &usize, b: &usize| diagonal[*b].total_cmp(&diagonal[*a]);
        match self {
            Self::Stored => None,
            Self::Activation => {
                let mut order: Vec<usize> = (0..columns).collect();
                order.sort_by(descending);
                Some(order)
            }
            Self::GroupAware => {
                let size = group_size.of_row(columns);
                let whole = columns / size;
                let mut groups: Vec<Vec<usize>> = (0..whole).map(|group| (group * size..(group + 1) * size).collect()).collect();
                groups.iter_mut().for_each(|group| group.sort_by(descending));
                // Each group's first column now has its largest diagonal.
                groups.sort_by(|a, b| descending(&a[0], &b[0]));
                Some(groups.into_iter().flatten().chain(whole * size..columns).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let diagonal = [1.0, 5.0, 2.0, 4.0, 3.0, 9.0, 7.0];
        let size = GroupSize::new(3).unwrap();
        assert_eq!(ColumnOrder::Stored.of_columns(&diagonal, size), None);
        assert_eq!(ColumnOrder::Activation.of_columns(&diagonal, size), Some(vec![5, 6, 1, 3, 4, 2, 0]));
        assert_eq!(ColumnOrder::GroupAware.of_columns(&diagonal, size), Some(vec![5, 3, 4, 1, 2, 0, 6]));
        assert_eq!(ColumnOrder::GroupAware.of_columns(&diagonal, GroupSize::Row), Some(vec![5, 6, 1, 3, 4, 2, 0]));
    }
}
