//! A plan carried out, and its progress told.

use std::time::{Duration, Instant};

use cruxscope_benchmark::generator::Generator;
use cruxscope_benchmark::samples::{Opened, SampleLog};
use cruxscope_benchmark::sampling::{SamplingEvent, SamplingPlan, SamplingReport};

use crate::{Event, Observer, RunError};

/// Carries out a plan and tells an observer.
pub fn collect(
    plan: &SamplingPlan,
    generator: &dyn Generator,
    log: &SampleLog,
    opened: &Opened,
    parallel: usize,
    observer: &mut dyn Observer,
) -> Result<SamplingReport, RunError> {
    let of = plan.wanted.len();
    let kept = of - plan.missing(opened).count();
    if kept > 0 {
        observer.event(Event::Resumed { instances: kept });
    }
    let begun = Instant::now();
    let mut tokens = 0;
    // Both the question whether to stop and the events go to one observer, in turn.
    let observer = std::cell::RefCell::new(observer);
    let mut tell = |event: SamplingEvent<'_>| {
        let mut observer = observer.borrow_mut();
        match event {
            SamplingEvent::Made { sample, done } => {
                // Some servers do not count while they stream; four bytes a token is near enough for a rate.
                tokens += sample.new_tokens.unwrap_or(sample.output.len() as u64 / 4);
                let elapsed = begun.elapsed();
                let left = elapsed.mul_f64((of - done) as f64 / (done - kept).max(1) as f64);
                observer.event(Event::Began {
                    id: format!("{done} of {of} samples, the last {}", sample.id),
                    count: 1,
                });
                observer.event(Event::Advanced {
                    share: done as f64 / of as f64,
                    tokens_per_second: tokens as f64 / elapsed.max(Duration::from_millis(1)).as_secs_f64(),
                    left: Some(left),
                });
            }
            SamplingEvent::Failed(failure) => observer.event(Event::Note {
                text: format!("{}, pass {}: {}: {}", failure.id, failure.pass, failure.kind.words(), failure.message),
            }),
        }
    };
    let stop = || observer.borrow().stop();
    let report = plan.collect(generator, log, opened, parallel, &stop, &mut tell)?;
    Ok(report)
}
