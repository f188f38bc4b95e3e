//! Fits over the layers of a model, one for each kind of module and method, and how much of what they leave is no noise.
//!
//! Values are `[components, formats]`, logarithms as a rule; what is not finite (the logarithm of nothing) says nothing and is left out.

use crate::{Module, SensitivityFacts};

/// Highest power of depth in a fit.
const DEGREE: usize = 2;

/// First minus second.
pub fn differences(first: &[f64], second: &[f64]) -> Vec<f64> {
    first.iter().zip(second).map(|(first, second)| first - second).collect()
}

/// Which cells belong together.
pub struct Layout {
    pub layers: usize,
    /// The number of each format's method.
    pub methods: Vec<usize>,
}

impl Layout {
    pub fn of(facts: &SensitivityFacts) -> Self {
        let mut names: Vec<&str> = Vec::new();
        let mut number = |name| {
            names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        };
        Self {
            layers: facts.layers,
            methods: facts.formats.iter().map(|format| number(format.method())).collect(),
        }
    }

    fn count(&self) -> usize {
        self.methods.iter().max().map_or(0, |last| last + 1)
    }

    /// The layer of −1 at the first to 1 at the last.
    fn depth(&self, layer: usize) -> f64 {
        if self.layers > 1 {
            2.0 * layer as f64 / (self.layers - 1) as f64 - 1.0
        } else {
            0.0
        }
    }

    /// Cells of a kind of module and a method, each with its depth.
    fn cells(&self, module: Module, method: usize) -> impl Iterator<Item = (f64, usize)> + '_ {
        let formats = self.methods.len();
        (0..self.layers).flat_map(move |layer| {
            let component = layer * Module::ALL.len() + module.index();
            let own = (0..formats).filter(move |format| self.methods[*format] == method);
            own.map(move |format| (self.depth(layer), component * formats + format))
        })
    }

    /// Polynomials in depth through the finite values, one for each kind of module and method; zero where there are none.
    pub fn smooth(&self, values: &[f64]) -> Vec<f64> {
        let mut smooth = vec![0.0; values.len()];
        for module in Module::ALL {
            for method in 0..self.count() {
                let points: Vec<(f64, f64)> = (self.cells(module, method))
                    .map(|(depth, cell)| (depth, values[cell]))
                    .filter(|(_, value)| value.is_finite())
                    .collect();
                let fit = fit(&points, DEGREE.min(self.layers.saturating_sub(1)));
                for (depth, cell) in self.cells(module, method) {
                    smooth[cell] = fit.iter().rev().fold(0.0, |sum, coefficient| sum * depth + coefficient);
                }
            }
        }
        smooth
    }

    /// The weight w, within 0 and 1, of `second` in `(1 - w) first + w second`, by least squares: what polynomials in depth leave of
    /// `wanted - first` on what they leave of `second - first`.
    pub fn weight_of_second(&self, wanted: &[f64], first: &[f64], second: &[f64]) -> f64 {
        let beyond = |values: &[f64]| {
            let values = differences(values, first);
            differences(&values, &self.smooth(&values))
        };
        let (wanted, offered) = (beyond(wanted), beyond(second));
        let (mut product, mut square) = (0.0, 0.0);
        for (wanted, offered) in wanted.iter().zip(&offered) {
            if wanted.is_finite() && offered.is_finite() {
                product += wanted * offered;
                square += offered * offered;
            }
        }
        if square > 0.0 { (product / square).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// What is kept of `own` in every cell: parts of components and of cells, each by its reliability.
    pub fn shrunk(&self, own: &Left, first: &Left, second: &Left) -> Vec<f64> {
        let formats = self.methods.len();
        let mut kept = vec![0.0; own.cells.len()];
        for method in 0..self.count() {
            let of_components = |left: &Left| left.components.iter().skip(method).step_by(self.count()).copied().collect::<Vec<f64>>();
            let by_component = reliability(&of_components(own), &of_components(first), &of_components(second));
            let cells: Vec<usize> = (0..own.cells.len()).filter(|cell| self.methods[cell % formats] == method).collect();
            let of_cells = |left: &Left| cells.iter().map(|cell| left.cells[*cell]).collect::<Vec<f64>>();
            let by_cell = reliability(&of_cells(own), &of_cells(first), &of_cells(second));
            for cell in cells {
                let component = own.components[cell / formats * self.count() + method];
                let parts = [by_component * component, by_cell * own.cells[cell]];
                kept[cell] = parts.into_iter().filter(|part| part.is_finite()).sum();
            }
        }
        kept
    }
}

/// What a fit leaves.
pub struct Left {
    /// `[components, methods]`: means over a method's formats.
    components: Vec<f64>,
    /// `[components, formats]`: what is left beside them.
    cells: Vec<f64>,
}

impl Left {
    pub fn of(layout: &Layout, mut left: Vec<f64>) -> Self {
        let mut components = Vec::new();
        for row in left.chunks_exact_mut(layout.methods.len().max(1)) {
            for method in 0..layout.count() {
                let own = || (0..row.len()).filter(|format| layout.methods[*format] == method);
                let finite: Vec<f64> = own().map(|format| row[format]).filter(|value| value.is_finite()).collect();
                let mean = finite.iter().sum::<f64>() / finite.len() as f64;
                let formats: Vec<usize> = own().collect();
                formats.into_iter().for_each(|format| row[format] -= mean);
                components.push(mean);
            }
        }
        Self { components, cells: left }
    }
}

/// The share of the variance of `whole` that is no noise, by two halves that have noise of their own: their covariance over the
/// variance of the whole, within 0 and 1. Values that are not finite are left out.
fn reliability(whole: &[f64], first: &[f64], second: &[f64]) -> f64 {
    let known: Vec<usize> = (0..whole.len())
        .filter(|place| whole[*place].is_finite() && first[*place].is_finite() && second[*place].is_finite())
        .collect();
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = known.iter().map(|place| values[*place]).sum::<f64>() / known.len().max(1) as f64;
        known.iter().map(|place| values[*place] - mean).collect()
    };
    let product = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let whole = centred(whole);
    let (variance, covariance) = (product(&whole, &whole), product(&centred(first), &centred(second)));
    // A method with one format leaves cells that differ by rounding alone.
    let least = 1e-12 * whole.len() as f64;
    if variance > least { (covariance / variance).clamp(0.0, 1.0) } else { 0.0 }
}

/// Least squares by normal equations: coefficients from the constant upwards. All zero without a point.
fn fit(points: &[(f64, f64)], degree: usize) -> Vec<f64> {
    let size = degree + 1;
    if points.is_empty() {
        return vec![0.0; size];
    }
    let mut matrix = vec![vec![0.0; size + 1]; size];
    for (x, y) in points {
        for row in 0..size {
            for column in 0..size {
                matrix[row][column] += x.powi((row + column) as i32);
            }
            matrix[row][size] += x.powi(row as i32) * y;
        }
    }
    // A little stiffness where layers hold too few points for the powers.
    for (power, row) in matrix.iter_mut().enumerate().skip(1) {
        row[power] += 1e-6 * points.len() as f64;
    }
    for pivot in 0..size {
        let best = (pivot..size)
            .max_by(|a, b| matrix[*a][pivot].abs().total_cmp(&matrix[*b][pivot].abs()))
            .unwrap_or(pivot);
        matrix.swap(pivot, best);
        if matrix[pivot][pivot] == 0.0 {
            continue;
        }
        for row in pivot + 1..size {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            for column in pivot..=size {
                matrix[row][column] -= factor * matrix[pivot][column];
            }
        }
    }
    let mut solution = vec![0.0; size];
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|column| matrix[row][column] * solution[column]).sum();
        if matrix[row][row] != 0.0 {
            solution[row] = (matrix[row][size] - known) / matrix[row][row];
        }
    }
    solution
}
