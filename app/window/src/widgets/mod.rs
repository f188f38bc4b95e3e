//! Small things that views are made of: text that is cut where room ends, icon buttons, segmented choices, bars, tables.
//!
//! They know the theme and nothing of studies.

mod bars;
mod buttons;
pub mod stage;
mod table;
mod term;
mod text;

pub use bars::{bar, interval, mini_bars};
pub use buttons::{button, button_width, icon_button, primary_button, segmented};
pub use table::{Columns, row_ground, table};
pub use term::{explained, term_card};
pub use text::{caption, fact, hairline, paint, paint_cut, section};
