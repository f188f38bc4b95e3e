//! The views, one module each. A view reads a [`Scene`](scene::Scene) and pushes actions; [`dispatch`] says which view a name means.

mod behaviour_head;
pub mod benchmarks;
mod budget;
mod cells;
pub mod channels;
mod colour_bar;
pub mod compression;
pub mod dispatch;
pub mod importance;
mod inspector;
pub mod ledger;
mod missing;
pub mod problem;
pub mod ranking;
pub mod scene;
pub mod shift;
pub mod test_time;
mod toolbar;
pub mod trace;
pub mod validation;
pub mod variants;
