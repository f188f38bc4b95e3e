//! What stands around the figure: the bar on top, the studies on the left, the inspector or the provenance on the right,
//! the line at the bottom, the keys, and what is seen when nothing is open.

pub mod empty;
pub mod export;
pub mod inspector;
pub mod keys;
pub mod provenance;
pub mod sidebar;
pub mod status_bar;
pub mod top_bar;
