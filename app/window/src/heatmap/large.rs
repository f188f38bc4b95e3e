//! A matrix of many millions of cells, looked at from afar: where several cells share a place, the one of the largest magnitude is
//! shown, with its sign, so that no outlier ever vanishes.
//!
//! Coarser copies are made once, each a quarter as wide and as high as the one before it; a tile of any coarseness is then read from the
//! finest copy that is still coarse enough.

use super::Matrix;

/// By how much each copy is coarser than the one before it, in both directions.
const STEP: usize = 4;
/// Copies stop being made below so many cells.
const ENOUGH: usize = 1 << 14;

/// The matrix and its coarser copies.
#[derive(Clone, Debug, PartialEq)]
pub struct LargeMap {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq)]
struct Level {
    /// Cells of the matrix in one cell of this copy, in each direction.
    factor: usize,
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

/// Of two values the one that is shown: the larger without its sign; a number before none.
fn stronger(one: f32, other: f32) -> f32 {
    if one.is_nan() || other.abs() > one.abs() { other } else { one }
}

impl LargeMap {
    /// The map of a matrix of so many rows, row by row.
    pub fn new(rows: usize, values: &[f32]) -> Self {
        let mut map = Self::begin(rows, values.len() / rows.max(1));
        map.extend(values);
        map.finish();
        map
    }

    /// A map of such a size that has no rows yet: they come by [`Self::extend`], so that millions of them hold nobody up.
    pub fn begin(rows: usize, columns: usize) -> Self {
        let level = |factor: usize, rows: usize, columns: usize| Level {
            factor,
            rows: 0,
            columns,
            values: Vec::with_capacity(rows * columns),
        };
        let (mut height, mut width, mut factor) = (rows, columns, 1);
        let mut levels = vec![level(1, rows, columns)];
        while height >= STEP && height * width > ENOUGH {
            (height, width, factor) = (height.div_ceil(STEP), width.div_ceil(STEP), factor * STEP);
            levels.push(level(factor, height, width));
        }
        Self { rows, columns, levels }
    }

    /// Takes the next rows, whole ones.
    pub fn extend(&mut self, rows: &[f32]) {
        let first = &mut self.levels[0];
        first.values.extend_from_slice(rows);
        first.rows = first.values.len() / first.columns.max(1);
        self.coarsen(|rows| rows / STEP);
    }

    /// Says that no row follows.
    pub fn finish(&mut self) {
        self.coarsen(|rows| rows.div_ceil(STEP));
    }

    /// Brings every copy up to so many rows, as the rows of the one before it allow.
    fn coarsen(&mut self, allowed: impl Fn(usize) -> usize) {
        for place in 1..self.levels.len() {
            let (finer, coarser) = self.levels.split_at_mut(place);
            coarser[0].follow(&finer[place - 1], allowed(finer[place - 1].rows));
        }
    }

    /// A cell.
    pub fn at(&self, row: usize, column: usize) -> Option<f32> {
        self.levels[0].at(row, column)
    }

    /// The value of the largest magnitude among the cells of a block, and where it stands: row and column.
    pub fn strongest(&self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> Option<(f32, usize, usize)> {
        let mut found: Option<(f32, usize, usize)> = None;
        for row in rows.start..rows.end.min(self.rows) {
            for column in columns.start..columns.end.min(self.columns) {
                let value = self.levels[0].values[row * self.columns + column];
                if !value.is_nan() && found.is_none_or(|(known, _, _)| value.abs() > known.abs()) {
                    found = Some((value, row, column));
                }
            }
        }
        found
    }

    /// The largest magnitude of all.
    pub fn largest(&self) -> f32 {
        let last = &self.levels[self.levels.len() - 1];
        last.values
            .iter()
            .map(|value| value.abs())
            .filter(|value| value.is_finite())
            .fold(0.0, f32::max)
    }

    /// The cells that are read for a whole tile.
    pub fn cost(&self, block: [usize; 2], side: usize) -> usize {
        let factor = self.level(block).factor;
        let [down, across] = block.map(|block| block / factor);
        side * side * down * across
    }

    /// The coarsest copy of which whole cells make up a block.
    fn level(&self, block: [usize; 2]) -> &Level {
        let fits = |level: &&Level| block.iter().all(|block| block % level.factor == 0);
        self.levels.iter().rev().find(fits).unwrap_or(&self.levels[0])
    }

    /// A tile of `side` by `side` places or fewer at the edges, each the strongest of `block` rows by columns, beginning at a place.
    pub fn tile(&self, block: [usize; 2], side: usize, place: [usize; 2]) -> Matrix {
        let level = self.level(block);
        let places = |total: usize, block: usize, from: usize| total.div_ceil(block).saturating_sub(from).min(side);
        let (rows, columns) = (places(self.rows, block[0], place[0]), places(self.columns, block[1], place[1]));
        let [down, across] = block.map(|block| block / level.factor);
        let mut values = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let from = (place[0] + row) * down;
            for column in 0..columns {
                values.push(level.block(from, (place[1] + column) * across, down, across));
            }
        }
        Matrix { columns, rows, values }
    }
}

impl Level {
    fn at(&self, row: usize, column: usize) -> Option<f32> {
        (row < self.rows && column < self.columns).then(|| self.values[row * self.columns + column])
    }

    fn block(&self, row: usize, column: usize, down: usize, across: usize) -> f32 {
        let mut found = f32::NAN;
        let to = (column + across).min(self.columns);
        for row in row..(row + down).min(self.rows) {
            for value in &self.values[row * self.columns + column.min(to)..row * self.columns + to] {
                found = stronger(found, *value);
            }
        }
        found
    }

    /// Gets the rows that are missing up to `rows` out of a finer copy.
    fn follow(&mut self, finer: &Self, rows: usize) {
        for row in self.rows..rows {
            for column in 0..self.columns {
                self.values.push(finer.block(row * STEP, column * STEP, STEP, STEP));
            }
        }
        self.rows = self.rows.max(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: usize, columns: usize) -> LargeMap {
        let values = (0..rows * columns).map(|index| {
            let mixed = (index * 7919 + 104_729) % 9973;
            mixed as f32 / 9973.0 * if mixed % 2 == 0 { 1.0 } else { -1.0 }
        });
        LargeMap::new(rows, &values.collect::<Vec<f32>>())
    }

    #[test]
    fn every_place_of_a_tile_is_the_strongest_of_its_block() {
        let map = map(67, 601);
        assert!(map.levels.len() > 1, "there are coarser copies");
        for block in [[1, 1], [1, 16], [2, 4], [4, 4], [8, 16], [16, 64], [64, 8]] {
            for place in [[0, 0], [1, 2]] {
                let tile = map.tile(block, 8, place);
                for row in 0..tile.rows {
                    for column in 0..tile.columns {
                        let (top, left) = ((place[0] + row) * block[0], (place[1] + column) * block[1]);
                        let (expected, _, _) = map.strongest(top..top + block[0], left..left + block[1]).unwrap();
                        let found = tile.values[row * tile.columns + column];
                        assert_eq!(found.abs(), expected.abs(), "{block:?} at {top}, {left}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_that_come_little_by_little_make_the_same_map() {
        let whole = map(67, 601);
        for number in [1, 3, 4, 30] {
            let mut grown = LargeMap::begin(67, 601);
            whole.levels[0].values.chunks(number * 601).for_each(|rows| grown.extend(rows));
            grown.finish();
            assert_eq!(grown.levels, whole.levels, "{number} rows at a time");
        }
    }

    #[test]
    fn an_outlier_is_seen_from_everywhere_and_what_is_missing_is_not() {
        let mut values = vec![0.001f32; 200 * 300];
        values[150 * 300 + 211] = -9.0;
        values[0] = f32::NAN;
        let map = LargeMap::new(200, &values);
        assert_eq!(map.largest(), 9.0);
        let tile = map.tile([64, 64], 8, [0, 0]);
        assert_eq!((tile.rows, tile.columns), (4, 5));
        assert_eq!(tile.values[2 * 5 + 3], -9.0);
        assert_eq!(tile.values[0], 0.001, "a number before none");
        assert_eq!(map.strongest(128..192, 192..256), Some((-9.0, 150, 211)));
        assert!(LargeMap::new(1, &[f32::NAN]).tile([1, 1], 8, [0, 0]).values[0].is_nan());
    }
}
