//! Every length in points: spacing, radii, bars, cells. Nothing here is a colour or a typeface.

/// Between things that belong together.
pub const SMALL: f32 = 4.0;
/// Between neighbours.
pub const GAP: f32 = 8.0;
/// Between groups, and around panels.
pub const LARGE: f32 = 16.0;
/// Corner radius of cards.
pub const RADIUS: u8 = 8;
/// Corner radius of buttons and rows.
pub const RADIUS_SMALL: u8 = 6;
/// Hairlines.
pub const HAIRLINE: f32 = 1.0;
/// Strokes of drawn icons.
pub const ICON_STROKE: f32 = 1.5;
/// Side of a drawn icon.
pub const ICON: f32 = 16.0;
/// Side of a behaviour's sign.
pub const SIGN: f32 = 18.0;
/// Height of the bar on top.
pub const TOP_BAR: f32 = 44.0;
/// Height of the status bar.
pub const STATUS_BAR: f32 = 28.0;
/// Width of the list of studies.
pub const SIDEBAR: f32 = 216.0;
/// Width of the inspector.
pub const INSPECTOR: f32 = 300.0;
/// Width of the provenance drawer.
pub const DRAWER: f32 = 460.0;
/// Height of buttons.
pub const BUTTON: f32 = 28.0;
/// Height of a panel's head.
pub const PANEL_HEAD: f32 = 34.0;
/// Width of the row labels beside a heatmap.
pub const ROW_LABELS: f32 = 48.0;
/// Height of the layer numbers under a heatmap.
pub const COLUMN_LABELS: f32 = 24.0;
/// Least and greatest height of one panel among four.
pub const PANEL_HEIGHT: [f32; 2] = [178.0, 250.0];
/// Least height of the ranking list.
pub const TABLE_MINIMUM: f32 = 220.0;
/// Height of the ranking list where the page scrolls.
pub const TABLE_SCROLLING: f32 = 420.0;
/// Height of a table's head.
pub const TABLE_HEAD: f32 = 32.0;
/// Height of a row of a table.
pub const TABLE_ROW: f32 = 30.0;
/// Height of a row of plain text.
pub const LINE: f32 = 22.0;
/// Height of the colour bar.
pub const COLOUR_BAR: f32 = 10.0;
/// Width of the colour bar.
pub const COLOUR_BAR_WIDTH: f32 = 320.0;
/// Least and greatest height of the figure of a shift.
pub const SHIFT_HEIGHT: [f32; 2] = [460.0, 680.0];
/// Height of a behaviour's line over its heatmaps in a shift.
pub const SHIFT_ROW_HEAD: f32 = 26.0;
/// Below this width the four panels stand in one column.
pub const ONE_COLUMN: f32 = 700.0;
/// From this width on there is room for the inspector beside the figure.
pub const INSPECTOR_FROM: f32 = 980.0;
/// From this width on there is room for the list of studies too.
pub const SIDEBAR_FROM: f32 = 1180.0;
/// A cell from this many pixels on has a gap to its neighbour.
pub const GAP_FROM_PIXELS: f32 = 6.0;
/// Least size of a cell in which its value is printed.
pub const CELL_TEXT: [f32; 2] = [26.0, 15.0];
/// Width of a cell from which its value has room for another digit.
pub const CELL_TEXT_WIDE: f32 = 34.0;
/// Width of the tooltip of a cell.
pub const TOOLTIP: f32 = 300.0;
/// Radius of the dot of the highest cell.
pub const DOT: f32 = 2.5;
/// The window when it opens.
pub const WINDOW: [f32; 2] = [1440.0, 900.0];
/// The window at its smallest.
pub const WINDOW_MINIMUM: [f32; 2] = [420.0, 420.0];
/// Height of a row of results.
pub const RESULT_ROW: f32 = 25.0;
