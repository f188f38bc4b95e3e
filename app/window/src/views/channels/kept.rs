//! What the view of channels keeps while it is looked at: the map of a module, and the order of a component's channels.
//!
//! A map of many cells is made on the side, so that no frame waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use cruxscope_selectors::channels::{self, Ranked};
use cruxscope_selectors::{BackgroundJob, Job};
use cruxscope_study::{Behaviour, ChannelMaps, Component, Module, StudyError};
use egui::{Id, Ui};

use crate::heatmap::LargeMap;
use crate::views::scene::Scene;

/// Cells of a map that is made at once: it takes a small part of a frame, and no moment without a picture is seen.
const AT_ONCE: usize = 1 << 19;
/// Channels that are listed.
const MOST: usize = 200;

/// What a map is made of.
struct Subject {
    maps: Arc<ChannelMaps>,
    behaviour: Behaviour,
    module: Module,
    layers: usize,
}

/// A map on its way.
struct Growing(Arc<LargeMap>);

impl Default for Growing {
    fn default() -> Self {
        Self(Arc::new(LargeMap::begin(0, 0)))
    }
}

impl BackgroundJob for Growing {
    type Subject = Subject;
    const STEPS: usize = 32;

    fn step(&mut self, subject: &Subject, step: usize) -> Result<(), StudyError> {
        let values = channels::values(&subject.maps, subject.behaviour, subject.module);
        let columns = values.len() / subject.layers.max(1);
        if step == 0 {
            self.0 = Arc::new(LargeMap::begin(subject.layers, columns));
        }
        let row = |step: usize| subject.layers * step / Self::STEPS;
        let map = Arc::make_mut(&mut self.0);
        map.extend(&values[row(step) * columns..row(step + 1) * columns]);
        if step + 1 == Self::STEPS {
            map.finish();
        }
        Ok(())
    }
}

type MapKey = (usize, usize, usize);
type KeptMap = (MapKey, Arc<Subject>, Arc<Mutex<Job<Growing>>>);

/// The map of a module; nothing for as long as it is being made.
pub fn map(ui: &Ui, scene: &Scene<'_>, maps: &Arc<ChannelMaps>, behaviour: Behaviour, module: Module) -> Option<Arc<LargeMap>> {
    let id = Id::unique("channel map");
    let key = (scene.open.id, behaviour.index(), module.index());
    let kept = ui.data(|data| data.get_temp::<KeptMap>(id)).filter(|(known, _, _)| *known == key);
    let (_, subject, job) = kept.unwrap_or_else(|| {
        let subject = Subject {
            maps: Arc::clone(maps),
            behaviour,
            module,
            layers: scene.open.figures.layers(),
        };
        let made: KeptMap = (key, Arc::new(subject), Arc::new(Mutex::new(Job::Waiting)));
        ui.data_mut(|data| data.insert_temp(id, made.clone()));
        made
    });
    let mut job = job.lock().unwrap_or_else(PoisonError::into_inner);
    let cells = channels::values(maps, behaviour, module).len();
    if cells <= AT_ONCE
        && matches!(*job, Job::Waiting)
        && let Ok(made) = Growing::all(&subject)
    {
        *job = Job::Done(made);
    }
    let context = ui.ctx().clone();
    job.advance(&subject, move || context.request_repaint());
    job.result().map(|made| Arc::clone(&made.0))
}

type RankedKey = (usize, usize, usize);

/// The order of a component's channels.
pub fn ranked(ui: &Ui, scene: &Scene<'_>, maps: &ChannelMaps, behaviour: Behaviour, component: Component) -> Arc<Ranked> {
    let id = Id::unique("ranked channels");
    let key = (scene.open.id, behaviour.index(), component.index());
    if let Some((known, ranked)) = ui.data(|data| data.get_temp::<(RankedKey, Arc<Ranked>)>(id))
        && known == key
    {
        return ranked;
    }
    let ranked = Arc::new(Ranked::of(maps, behaviour, component, MOST));
    ui.data_mut(|data| data.insert_temp(id, (key, Arc::clone(&ranked))));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_made_step_by_step_is_the_map_made_at_once() {
        for layers in [1, 7, 67] {
            let width = 401;
            let value = |index: usize| ((index * 7919) % 997) as f32 - 500.0;
            let values: Vec<f32> = (0..layers * width).map(value).collect();
            let maps = ChannelMaps {
                channels: [width; 7],
                values: vec![vec![values.clone(); 7]; 4],
                parts: Vec::new(),
            };
            let subject = Subject {
                maps: Arc::new(maps),
                behaviour: Behaviour::Backtracking,
                module: Module::Gate,
                layers,
            };
            let made = Growing::all(&subject).unwrap().0;
            let whole = LargeMap::new(layers, &values);
            assert_eq!(*made, whole, "{layers} layers");
        }
    }
}
