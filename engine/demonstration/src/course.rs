//! A demonstration from beginning to end.

use std::time::{Duration, Instant};

use cruxscope_miniature::{Corpus, embedded};
use cruxscope_model::device;
use cruxscope_run::machine::format_duration;
use cruxscope_run::{Event, Observer, RunError};
use cruxscope_study::{OutputLock, Sensitivity, Study, Trial, Validation};

use crate::examination::questions;
use crate::jobs::{ASKING, COMPRESSING, INTERPRETING, Jobs, Order, SKETCHING, TRYING, VALIDATING};
use crate::settings::{Demonstration, SUMMARY_FILE};
use crate::side_by_side::{Desk, Message, side_by_side};
use crate::tables::{ALONE, Asked, COMPRESSED, FEW, PROTECTED, RECIPES, Summary};
use crate::variants::impossible;
use crate::variants::{ROUNDED, Variant, main_variants};
use crate::{files, material, recipes, selection, tables};

impl Demonstration {
    /// Runs everything, or what is missing.
    ///
    /// # Errors
    /// When the device is missing, a step fails, the observer says stop, or the disk refuses. What is finished stays.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<Summary, RunError> {
        let device = device::find(&self.device)?;
        let _lock = OutputLock::take_in(&self.out, Duration::ZERO)?;
        self.claim()?;
        let earlier = std::fs::read(self.out.join(SUMMARY_FILE)).ok();
        for corpus in [Corpus::Base, Corpus::Distilled] {
            let folder = self.model(corpus.name());
            files::create(&folder)?;
            for (name, bytes) in embedded(corpus) {
                files::write(&folder.join(name), bytes)?;
            }
        }
        let questions = questions(self.seed, self.puzzles);
        let variants = main_variants().map_err(impossible)?;
        let selected = 2 * (2 + self.controls);
        // Two groups of recipes: this program's, each rule's, a uniform one, random ones.
        let tried = 2 * (2 + recipes::RULES.len() + self.controls);
        let mut course = Course {
            jobs: Jobs {
                demonstration: self,
                // An accelerator is shared by nobody.
                threads: if self.device == "cpu" { rayon::current_num_threads() } else { 1 },
                device,
                questions: &questions,
            },
            began: Instant::now(),
            done: 0.0,
            all: 2.0 * (ASKING + INTERPRETING)
                + variants.len() as f64 * (COMPRESSING + ASKING + INTERPRETING)
                + (selected + tried) as f64 * (COMPRESSING + ASKING)
                + VALIDATING
                + SKETCHING
                + TRYING,
            words: String::new(),
        };
        let summary = course.run(&variants, observer)?;
        if earlier.is_some() && std::fs::read(self.out.join(SUMMARY_FILE)).ok() == earlier {
            observer.event(Event::Note {
                text: "an earlier run finished this demonstration; nothing has changed".into(),
            });
        }
        Ok(summary)
    }
}

/// A demonstration on its way.
struct Course<'a> {
    jobs: Jobs<'a>,
    began: Instant,
    done: f64,
    all: f64,
    /// What was turned to last.
    words: String,
}

/// What the last jobs give.
enum Made {
    Model(Box<Asked>, Option<Box<Study>>),
    Sketch(Box<Sensitivity>),
    Validation(Validation),
    Trial(Trial),
}

impl Course<'_> {
    fn run(&mut self, variants: &[Variant], observer: &mut dyn Observer) -> Result<Summary, RunError> {
        let pair = [(Corpus::Base, "Base"), (Corpus::Distilled, "Distilled")];
        let mut asked = self.each(pair.len(), observer, |jobs, job, desk| {
            let (corpus, model) = pair[job];
            Ok(Asked {
                experiment: COMPRESSED,
                name: corpus.name().into(),
                model,
                compression: String::new(),
                setting: String::new(),
                examination: jobs.ask(corpus.name(), model, corpus, desk)?,
            })
        })?;
        let demonstration = self.jobs.demonstration;
        let material = material::write(
            &demonstration.out.join("data"),
            self.jobs.questions,
            &asked[1].examination,
            demonstration.instances,
        )?;
        let studies = self.each(pair.len(), observer, |jobs, job, desk| {
            let (corpus, model) = pair[job];
            jobs.interpret(corpus.name(), model, &material, desk)
        })?;
        let [base, distilled] = [&studies[0], &studies[1]];

        let orders: Vec<Order> = variants
            .iter()
            .map(|variant| Order {
                variant,
                experiment: COMPRESSED,
            })
            .collect();
        // The longest job first, so that nobody waits for it alone in the end.
        let made = self.each(orders.len() + 1, observer, |jobs, job, desk| match job.checked_sub(1) {
            None => Ok(Made::Sketch(Box::new(jobs.sketch(&material, desk)?))),
            Some(order) => {
                let (asked, study) = jobs.fill(&orders[order], &material, desk)?;
                Ok(Made::Model(Box::new(asked), study.map(Box::new)))
            }
        })?;
        let (mut rounded, mut sketch) = (None, None);
        for made in made {
            match made {
                Made::Model(one, study) => {
                    if one.name == ROUNDED {
                        rounded = study;
                    }
                    asked.push(*one);
                }
                Made::Sketch(found) => sketch = Some(*found),
                Made::Validation(_) | Made::Trial(_) => {}
            }
        }
        let sketch = sketch.ok_or_else(|| RunError::Recipe {
            why: "no sketch of the distilled model was made".into(),
        })?;
        let rounded = rounded.ok_or_else(|| RunError::Recipe {
            why: "no model was rounded as the selective experiments need it".into(),
        })?;

        let (seed, controls) = (demonstration.seed, demonstration.controls);
        let alone = selection::alone(distilled, seed, controls).map_err(impossible)?;
        let protected = selection::protected(distilled, &rounded, seed, controls)?;
        let entries = recipes::entries(&sketch, distilled, controls, seed)?;
        let (mut of_size, mut few) = (Vec::new(), Vec::new());
        for entry in &entries {
            let group = if entry.group == FEW { &mut few } else { &mut of_size };
            group.extend(recipes::variant(&sketch, entry)?);
        }
        let sets = [(ALONE, &alone), (PROTECTED, &protected), (RECIPES, &of_size), (FEW, &few)];
        let orders: Vec<Order> = (sets.iter())
            .flat_map(|(experiment, set)| set.iter().map(|variant| Order { variant, experiment }))
            .collect();
        let made = self.each(orders.len() + 2, observer, |jobs, job, desk| match job {
            0 => Ok(Made::Validation(jobs.validate(&material, desk)?)),
            1 => Ok(Made::Trial(jobs.measure(&entries, &material, desk)?)),
            order => Ok(Made::Model(Box::new(jobs.fill(&orders[order - 2], &material, desk)?.0), None)),
        })?;
        let (mut correlation, mut agreement, mut recipes) = (None, None, Vec::new());
        for made in made {
            match made {
                Made::Model(one, _) => asked.push(*one),
                Made::Validation(validation) => {
                    correlation = validation.correlation(&distilled.importance, None);
                    agreement = recipes::against_measured(&sketch, &validation);
                }
                Made::Trial(trial) => recipes = tables::recipe_rows(&trial),
                Made::Sketch(_) => {}
            }
        }
        let summary = Summary {
            program: concat!("cruxscope ", env!("CARGO_PKG_VERSION")).into(),
            seed,
            rows: tables::rows(self.jobs.questions, &asked),
            importance_against_damage: correlation,
            predicted_against_measured: agreement,
            recipes,
            annotator: material.agreement,
            instances: distilled.manifest.instances.len(),
        };
        self.jobs.finish(&asked, &summary, [base, distilled, &rounded], variants)?;
        Ok(summary)
    }

    /// Jobs side by side, with the whole course's progress told.
    fn each<T: Send>(
        &mut self,
        jobs: usize,
        observer: &mut dyn Observer,
        work: impl Fn(&Jobs<'_>, usize, &Desk<'_>) -> Result<T, RunError> + Sync,
    ) -> Result<Vec<T>, RunError> {
        let (shared, began, all) = (&self.jobs, self.began, self.all);
        let (done, words) = (&mut self.done, &mut self.words);
        let mut tell = |observer: &mut dyn Observer, message: Message| {
            match message {
                Message::Began(now) => *words = now,
                Message::Done(weight) => *done += weight,
            }
            let share = (*done / all).min(1.0);
            let left = (share > 0.05).then(|| Duration::from_secs_f64(began.elapsed().as_secs_f64() * (1.0 - share) / share));
            let left = left.map_or_else(String::new, |left| format!(", about {} left", format_duration(left)));
            observer.event(Event::Preparing {
                what: format!("{words}{left}"),
                share,
            });
        };
        side_by_side(jobs, shared.threads, observer, &mut tell, |job, desk| work(shared, job, desk))
    }
}
