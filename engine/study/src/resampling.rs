//! Importance under resampling, for many instances at once.
//!
//! A draw is a list of how often each instance was drawn; its importance is that of the instances added up so many times. Added one
//! after the other, in the order of the instances, the sums are the same whatever the machine: only which sums are worked on at a time
//! is chosen for speed. Draws stream by, and of a component's values only those are kept that the ends of its interval can be.

use crate::{Behaviour, Bootstrap, ImportanceMap, InstanceContribution, Module, StudyError};

/// Components that are added up side by side.
const TILE: usize = 8;
/// Draws that are added up side by side.
const BLOCK: usize = 4;
/// Tiles whose components are gathered in one walk through the instances: what stands side by side is read at once.
const GROUP: usize = 4;
/// Instances that are added up for all draws before the next ones: so many rows of a tile stay close to the processor.
const STRIP: usize = 512;
/// Most draws that are held at a time.
const CHUNK: usize = 256;
/// Multiplicities that are held at a time.
const HELD: usize = 4 << 20;
/// Multiply-adds below which another thread costs more than it saves.
const WORTH_A_THREAD: usize = 2_000_000;

/// Relative importance in one draw.
pub(crate) struct Draw<'a> {
    behaviours: &'a [Behaviour],
    layers: usize,
    /// Importance and presence by side and behaviour.
    found: Vec<(Vec<f64>, bool)>,
}

impl Draw<'_> {
    /// Relative importance of one behaviour on one side, `[layer, module]`.
    pub(crate) fn relative_of(&self, side: usize, behaviour: Behaviour) -> Vec<f64> {
        self.of(side, behaviour)
            .map_or_else(|| vec![0.0; self.layers * Module::ALL.len()], |(values, _)| values.clone())
    }

    /// Whether any of the drawn instances of a side holds a behaviour.
    pub(crate) fn held(&self, side: usize, behaviour: Behaviour) -> bool {
        self.of(side, behaviour).is_some_and(|(_, held)| *held)
    }

    /// The mean of relative importance over those of the chosen behaviours that the draw holds, `[layer, module]`.
    pub(crate) fn relative_mean(&self, side: usize, chosen: [bool; 4]) -> Vec<f64> {
        let held: Vec<&Vec<f64>> = Behaviour::ALL
            .into_iter()
            .filter(|behaviour| chosen[behaviour.index()])
            .filter_map(|behaviour| self.of(side, behaviour).filter(|(_, held)| *held).map(|(values, _)| values))
            .collect();
        let number = held.len().max(1) as f64;
        let mut mean = vec![0.0; self.layers * Module::ALL.len()];
        for values in held {
            for (sum, value) in mean.iter_mut().zip(values) {
                *sum += value / number;
            }
        }
        mean
    }

    fn of(&self, side: usize, behaviour: Behaviour) -> Option<&(Vec<f64>, bool)> {
        let place = self.behaviours.iter().position(|known| *known == behaviour)?;
        self.found.get(side * self.behaviours.len() + place)
    }
}

/// Draws the instances again and again, on every side the same ones, and hands each draw to `each`: the side's lists of instances have
/// one length. `progress` is told the share that is done.
///
/// # Errors
/// When an instance's array has the wrong length, an importance is not finite, or `each` fails.
pub(crate) fn resample(
    bootstrap: &Bootstrap,
    layers: usize,
    sides: &[Vec<&InstanceContribution>],
    behaviours: &[Behaviour],
    progress: &mut dyn FnMut(f64),
    each: &mut dyn FnMut(&Draw<'_>) -> Result<(), StudyError>,
) -> Result<(), StudyError> {
    let instances = sides.first().map_or(0, Vec::len);
    let components = layers * Module::ALL.len();
    for instance in sides.iter().flatten() {
        if instance.values.len() != Behaviour::ALL.len() * components {
            return Err(StudyError::Shape {
                array: "contributions".into(),
                expected: vec![4, layers, 7],
                found: format!("{} values an instance", instance.values.len()),
            });
        }
    }
    // The divisor is added up like a component, behind the others.
    let tiles = (components + 1).div_ceil(TILE);
    let jobs: Vec<Job<'_>> = (0..sides.len())
        .flat_map(|side| behaviours.iter().map(move |behaviour| (side, *behaviour)))
        .flat_map(|(side, behaviour)| (0..tiles).step_by(GROUP).map(move |tile| (side, behaviour, tile)))
        .map(|(side, behaviour, tile)| Job {
            instances: &sides[side],
            behaviour,
            components,
            first: tile * TILE,
            tiles: GROUP.min(tiles - tile),
        })
        .collect();
    let chunk = (HELD / instances.max(1)).clamp(BLOCK, CHUNK) / BLOCK * BLOCK;
    let mut multiplicities = bootstrap.multiplicities(instances);
    let mut done = 0;
    while done < bootstrap.draws {
        let count = chunk.min(bootstrap.draws - done);
        let times = interleaved(multiplicities.by_ref().take(count), instances, count);
        let sums = add_up(&jobs, &times);
        for draw in 0..count {
            each(&Draw {
                behaviours,
                layers,
                found: sums.chunks(tiles).map(|tiles| importance(tiles, draw, components)).collect::<Result<_, _>>()?,
            })?;
        }
        done += count;
        progress(done as f64 / bootstrap.draws as f64);
    }
    Ok(())
}

/// How often each instance was drawn: `[block of draws][instance][draw]`. Draws beyond the last are of nothing.
fn interleaved(draws: impl Iterator<Item = Vec<f64>>, instances: usize, count: usize) -> Vec<[f64; BLOCK]> {
    let mut times = vec![[0.0; BLOCK]; count.div_ceil(BLOCK) * instances];
    for (draw, multiplicity) in draws.enumerate() {
        let block = &mut times[draw / BLOCK * instances..][..instances];
        for (times, drawn) in block.iter_mut().zip(multiplicity) {
            times[draw % BLOCK] = drawn;
        }
    }
    times
}

/// Some components of one behaviour on one side.
struct Job<'a> {
    instances: &'a [&'a InstanceContribution],
    behaviour: Behaviour,
    components: usize,
    first: usize,
    tiles: usize,
}

impl Job<'_> {
    /// The components' contributions, `[tile][instance][component]`; behind the last component its divisor, then nothing.
    fn gather(&self, rows: &mut [Vec<[f64; TILE]>]) {
        rows.iter_mut().for_each(Vec::clear);
        let start = self.behaviour.index() * self.components;
        for instance in self.instances {
            for (tile, rows) in rows.iter_mut().take(self.tiles).enumerate() {
                let first = self.first + tile * TILE;
                let whole = instance.values[start..start + self.components].get(first..first + TILE);
                rows.push(match whole.and_then(|whole| whole.try_into().ok()) {
                    Some(row) => row,
                    None => self.last(instance, first),
                });
            }
        }
    }

    /// The tile in which the components end.
    fn last(&self, instance: &InstanceContribution, first: usize) -> [f64; TILE] {
        let start = self.behaviour.index() * self.components;
        let mut row = [0.0; TILE];
        for (place, value) in row.iter_mut().enumerate() {
            let component = first + place;
            if component < self.components {
                *value = instance.values[start + component];
            } else if component == self.components {
                *value = instance.weights[self.behaviour.index()];
            }
        }
        row
    }
}

/// The sums of every job's tiles: `[tile][draw]`, the draws filled up to whole blocks.
fn add_up(jobs: &[Job<'_>], times: &[[f64; BLOCK]]) -> Vec<Vec<[f64; TILE]>> {
    let of = |jobs: &[Job<'_>]| -> Vec<Vec<[f64; TILE]>> {
        let mut rows = vec![Vec::new(); GROUP];
        let mut sums = Vec::new();
        for job in jobs {
            job.gather(&mut rows);
            sums.extend(rows.iter().take(job.tiles).map(|rows| add_up_tile(rows, times)));
        }
        sums
    };
    let work = jobs.len() * GROUP * TILE * times.len() * BLOCK;
    let threads = threads().min(work / WORTH_A_THREAD).clamp(1, jobs.len().max(1));
    if threads == 1 {
        return of(jobs);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = jobs
            .chunks(jobs.len().div_ceil(threads))
            .map(|part| (part, std::thread::Builder::new().spawn_scoped(scope, || of(part))))
            .collect();
        let sums = parts
            .into_iter()
            .flat_map(|(part, running)| match running.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(sums)) => sums,
                // Where no thread could be had, the work is done here.
                _ => of(part),
            });
        sums.collect()
    })
}

#[cfg(not(target_arch = "wasm32"))]
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(target_arch = "wasm32")]
fn threads() -> usize {
    1
}

/// The sums of all draws of one tile, strip by strip of the instances.
fn add_up_tile(rows: &[[f64; TILE]], times: &[[f64; BLOCK]]) -> Vec<[f64; TILE]> {
    let blocks = times.len() / rows.len().max(1);
    let mut sums = vec![[0.0; TILE]; blocks * BLOCK];
    for first in (0..rows.len()).step_by(STRIP) {
        let strip = first..rows.len().min(first + STRIP);
        for (times, sums) in times.chunks_exact(rows.len()).zip(sums.as_chunks_mut::<BLOCK>().0) {
            add_up_block(&rows[strip.clone()], &times[strip.clone()], sums);
        }
    }
    sums
}

/// Adds to the sums of one block of draws, `sum[draw][component] += sum over instances of times[instance][draw] * rows[instance][component]`,
/// in the order of the instances.
fn add_up_block(rows: &[[f64; TILE]], times: &[[f64; BLOCK]], sums: &mut [[f64; TILE]; BLOCK]) {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the processor has the instructions that these are compiled for.
        if is_x86_feature_detected!("avx512f") {
            return unsafe { add_up_widest(rows, times, sums) };
        }
        if is_x86_feature_detected!("avx2") {
            return unsafe { add_up_wide(rows, times, sums) };
        }
    }
    add_up_plain(rows, times, sums);
}

/// The same for processors with wider registers. A multiplication and an addition stay two, each rounded.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_up_wide(rows: &[[f64; TILE]], times: &[[f64; BLOCK]], sums: &mut [[f64; TILE]; BLOCK]) {
    add_up_plain(rows, times, sums);
}

/// The same again: a row is one register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn add_up_widest(rows: &[[f64; TILE]], times: &[[f64; BLOCK]], sums: &mut [[f64; TILE]; BLOCK]) {
    add_up_plain(rows, times, sums);
}

#[inline(always)]
fn add_up_plain(rows: &[[f64; TILE]], times: &[[f64; BLOCK]], kept: &mut [[f64; TILE]; BLOCK]) {
    // A copy of one's own stays in registers.
    let mut sums = *kept;
    for (row, times) in rows.iter().zip(times) {
        for draw in 0..BLOCK {
            for component in 0..TILE {
                sums[draw][component] += times[draw] * row[component];
            }
        }
    }
    *kept = sums;
}

/// Relative importance of one draw from its sums, and whether the draw holds the behaviour (METHOD: "Two definitions, one switch").
fn importance(tiles: &[Vec<[f64; TILE]>], draw: usize, components: usize) -> Result<(Vec<f64>, bool), StudyError> {
    let at = |component: usize| tiles[component / TILE][draw][component % TILE];
    let divisor = at(components);
    let mut values = vec![0.0; components];
    if divisor > 0.0 {
        for (component, value) in values.iter_mut().enumerate() {
            *value = at(component).abs() / divisor;
        }
    }
    if let Some(position) = values.iter().position(|value| !value.is_finite()) {
        return Err(StudyError::Value {
            array: "importance".into(),
            position,
            value: values[position],
        });
    }
    Ok((ImportanceMap::normalised(&values), divisor > 0.0))
}

/// The two ends of a percentile interval over a known number of draws, found without holding all of them.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    low: Furthest,
    high: Furthest,
}

impl Ends {
    /// For as many draws as the bootstrap makes.
    pub(crate) fn of(bootstrap: &Bootstrap) -> Self {
        let last = bootstrap.draws.saturating_sub(1);
        let tail = (1.0 - bootstrap.level) / 2.0;
        let place = |share: f64| ((last as f64 * share).round() as usize).min(last);
        Self {
            low: Furthest::new(place(tail) + 1),
            high: Furthest::new(last - place(1.0 - tail) + 1),
        }
    }

    /// Takes the value of one more draw.
    pub(crate) fn push(&mut self, value: f64) {
        self.low.push(value, |a, b| a.total_cmp(&b));
        self.high.push(value, |a, b| b.total_cmp(&a));
    }

    /// The ends, once every draw was taken.
    pub(crate) fn found(&self) -> Option<(f64, f64)> {
        Some((self.low.nearest()?, self.high.nearest()?))
    }
}

/// So many of the values that are furthest out, and which of them is the nearest.
#[derive(Clone, Debug)]
struct Furthest {
    most: usize,
    values: Vec<f64>,
    nearest: usize,
}

impl Furthest {
    fn new(most: usize) -> Self {
        Self {
            most,
            values: Vec::new(),
            nearest: 0,
        }
    }

    fn nearest(&self) -> Option<f64> {
        self.values.get(self.nearest).copied()
    }

    /// `order` puts what is further out first.
    fn push(&mut self, value: f64, order: impl Fn(f64, f64) -> std::cmp::Ordering) {
        if self.values.len() < self.most {
            self.values.push(value);
        } else if self.nearest().is_some_and(|nearest| order(value, nearest).is_lt()) {
            self.values[self.nearest] = value;
        } else {
            return;
        }
        let nearer = |best: usize, place: usize| if order(self.values[place], self.values[best]).is_gt() { place } else { best };
        self.nearest = (1..self.values.len()).fold(0, nearer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Contributions;

    fn contributions(instances: usize, layers: usize) -> Contributions {
        let instance = |seed: usize| InstanceContribution {
            values: (0..4 * layers * 7).map(|i| (((i * 31 + seed * 17) % 101) as f64 - 37.0) / 7.3).collect(),
            weights: [1.0, f64::from(u8::from(!seed.is_multiple_of(3))), 2.5, 0.0],
        };
        Contributions {
            instances: (0..instances).map(instance).collect(),
        }
    }

    #[test]
    fn every_draw_is_bit_for_bit_that_of_the_plain_sum() {
        for (instances, layers, draws) in [(2, 1, 5), (37, 3, 70), (1001, 2, 9)] {
            let all = contributions(instances, layers);
            let side: Vec<&InstanceContribution> = all.instances.iter().collect();
            let bootstrap = Bootstrap { draws, ..Bootstrap::default() };
            let mut plain = bootstrap.multiplicities(instances);
            let mut drawn = 0;
            resample(&bootstrap, layers, &[side.clone(), side], &Behaviour::ALL, &mut |_| {}, &mut |draw| {
                let times = plain.next().unwrap();
                let expected = all.importance_of(layers, all.instances.iter().zip(times)).unwrap();
                for side in 0..2 {
                    for behaviour in Behaviour::ALL {
                        assert_eq!(draw.relative_of(side, behaviour), expected.relative_of(behaviour));
                    }
                    let chosen = [true, true, false, true];
                    let held = Behaviour::ALL.map(|behaviour| chosen[behaviour.index()] && expected.has(behaviour));
                    assert_eq!(draw.relative_mean(side, chosen), expected.relative_mean_over(held));
                }
                drawn += 1;
                Ok(())
            })
            .unwrap();
            assert_eq!(drawn, draws);
        }
    }

    #[test]
    fn ends_are_those_of_the_sorted_draws() {
        for (draws, level) in [(1, 0.95), (2, 0.5), (10, 0.0), (1000, 0.95), (999, 0.9), (40, 1.0)] {
            let bootstrap = Bootstrap { draws, seed: 3, level };
            let mut generator = cruxscope_statistics::SplitMix::new(9);
            let mut values: Vec<f64> = (0..draws).map(|_| (generator.below(50) as f64) - 20.0).collect();
            let mut ends = Ends::of(&bootstrap);
            values.iter().for_each(|value| ends.push(*value));
            values.sort_by(f64::total_cmp);
            let last = (draws - 1) as f64;
            let tail = (1.0 - level) / 2.0;
            let at = |share: f64| values[(last * share).round() as usize];
            assert_eq!(ends.found(), Some((at(tail), at(1.0 - tail))), "{draws} {level}");
        }
    }
}
