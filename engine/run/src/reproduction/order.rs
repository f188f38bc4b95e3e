//! Which steps wait for which, and how long several workers take for all.

use std::time::Duration;

use super::steps::{Step, Subject};

/// The steps before one that it waits for: the compression of the model that it reads, and whatever writes the same study.
pub(super) fn before(steps: &[Step], place: usize) -> impl Iterator<Item = usize> + '_ {
    let step = &steps[place];
    (0..place).filter(move |earlier| {
        let earlier = &steps[*earlier];
        let makes_its_model = matches!(earlier, Step::Compress { name, .. } if step.needs(name));
        makes_its_model || (earlier.study().is_some() && earlier.study() == step.study())
    })
}

/// How long so many workers take, each with the first step that can be taken whenever it is free.
pub(super) fn makespan(steps: &[Step], times: &[Duration], workers: usize) -> Duration {
    let mut ends: Vec<Option<Duration>> = vec![None; steps.len()];
    let mut free = vec![Duration::ZERO; workers.max(1)];
    while let Some((worker, now)) = free.iter().copied().enumerate().min_by_key(|(place, time)| (*time, *place)) {
        let is_open = |place: &usize| ends[*place].is_none();
        let is_ready = |place: &usize| before(steps, *place).all(|earlier| ends[earlier].is_some_and(|end| end <= now));
        if let Some(place) = (0..steps.len()).filter(is_open).find(is_ready) {
            let end = now + times[place];
            ends[place] = Some(end);
            free[worker] = end;
            continue;
        }
        // Nothing can be taken: it waits for the next step that ends, or there is nothing left.
        match ends.iter().flatten().filter(|end| **end > now).min() {
            Some(next) if ends.iter().any(Option::is_none) => free[worker] = *next,
            _ => break,
        }
    }
    ends.into_iter().flatten().max().unwrap_or_default()
}

impl Step {
    /// The folder of the study that it writes into.
    fn study(&self) -> Option<&str> {
        match self {
            Self::Interpret { study, .. } => Some(study),
            Self::Compare { name, .. } => Some(name),
            Self::Validate | Self::Sensitivity => Some("original"),
            Self::Compress { .. } | Self::Benchmark { .. } => None,
        }
    }

    /// Its name without spaces, as a command line and a file have it.
    pub fn slug(&self) -> String {
        self.name().replace(' ', "-")
    }
}

impl Subject {
    /// Its name in a command line and in the names of files.
    pub fn name(&self) -> &str {
        match self {
            Self::Original => "original",
            Self::Base => "base",
            Self::Compressed(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use cruxscope_compress::quantize::GroupSize;

    use super::super::steps;
    use super::*;

    #[test]
    fn a_step_waits_for_its_model_and_its_study_alone() {
        let steps = steps::with_benchmarks(steps::all(6, GroupSize::new(32).unwrap(), true).unwrap(), true);
        let place = |name: &str| steps.iter().position(|step| step.name() == name).unwrap();
        let waits = |name: &str| -> Vec<String> { before(&steps, place(name)).map(|at| steps[at].name()).collect() };
        assert_eq!(waits("interpret base"), Vec::<String>::new());
        assert_eq!(waits("compare awq-4"), ["compress awq-4", "interpret awq-4"]);
        assert_eq!(waits("benchmark awq-4"), ["compress awq-4"]);
        assert_eq!(waits("benchmark base"), Vec::<String>::new());
        assert_eq!(waits("sensitivity"), ["interpret original", "validate"]);
    }

    #[test]
    fn several_workers_take_no_longer_than_one_and_no_less_than_the_longest_chain() {
        let steps = steps::all(6, GroupSize::new(32).unwrap(), true).unwrap();
        let times: Vec<Duration> = (0..steps.len()).map(|place| Duration::from_secs(1 + place as u64 % 7)).collect();
        let total: Duration = times.iter().sum();
        assert_eq!(makespan(&steps, &times, 1), total);
        let mut longest = vec![Duration::ZERO; steps.len()];
        for place in 0..steps.len() {
            longest[place] = times[place] + before(&steps, place).map(|earlier| longest[earlier]).max().unwrap_or_default();
        }
        let chain = longest.iter().max().copied().unwrap();
        let mut last = total;
        for workers in [2, 4, 8, 64] {
            let own = makespan(&steps, &times, workers);
            assert!(own <= last && own >= chain.max(total / workers as u32), "{workers}: {own:?}");
            last = own;
        }
        assert_eq!(last, chain);
        assert_eq!(makespan(&[], &[], 3), Duration::ZERO);
    }
}
