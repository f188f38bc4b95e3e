//! What a person can ask for: every button, key and command is one of these.

use cruxscope_figure::Format;
use cruxscope_selectors::budget::CellMeasure;
use cruxscope_selectors::compression::Measure;
use cruxscope_selectors::results::Form;
use cruxscope_selectors::variants::{VariantForm, VariantSort};
use cruxscope_selectors::{Scale, SortColumn};
use cruxscope_study::allocation::export::Tool;
use cruxscope_study::{Behaviour, Component, Label, Module, ShiftView};
use cruxscope_theme::ThemeChoice;

use crate::look::ExportSettings;
use crate::view_kind::ViewKind;

/// What a person asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Show a view.
    SetView(ViewKind),
    /// Compare this study as A (0) or B (1).
    Compare(usize, usize),
    /// Show the shift between two studies, A and B, by their numbers.
    OpenPair(usize, usize),
    /// Let A and B change places.
    SwapCompared,
    /// The variant that is looked at, by the number of its study.
    PointVariant(usize),
    /// What stands in a row of variants.
    SetVariantForm(VariantForm),
    /// Order variants by a column, or turn the order round.
    SortVariants(VariantSort),
    /// Choose a recipe of so many bits a weight.
    SetTarget(f64),
    /// Give components formats by hand, by their positions in the menu; none leaves one as it is.
    GiveFormats(Vec<(Component, Option<usize>)>),
    /// Take all formats back that were given by hand.
    TakeFormatsBack,
    /// Give q, k and v of a layer one format, and gate and up one, or do not.
    ToggleFused,
    /// Let the cells of the budget's map say this.
    SetCellMeasure(CellMeasure),
    /// Save the recipe in the words of a tool.
    ExportRecipe(Tool),
    /// Fill the panel of runs in with the recipe.
    CompressByRecipe,
    /// Show this part of the shift.
    SetShift(ShiftView),
    /// Show the next part of the shift.
    NextShift,
    /// Select a component.
    Select(Component),
    /// Move the selection by so many layers and modules.
    Move(isize, isize),
    /// The pointer is over this cell.
    Hover(Behaviour, Component),
    /// Use this scale.
    SetScale(Scale),
    /// Use the next scale.
    NextScale,
    /// Focus on a behaviour, or on the mean.
    SetBehaviour(Option<Behaviour>),
    /// Focus on the next behaviour.
    NextBehaviour,
    /// Let one panel fill the figure.
    Maximise(Behaviour),
    /// Let the panel in focus fill the figure.
    MaximiseFocus,
    /// Open a module into its parts, such as experts.
    OpenModule(Module),
    /// Show the parts of components in place of the ranking, or the ranking again.
    SetOpened(bool),
    /// Give a panel a scale of its own, or take it away.
    ToggleLock(Behaviour),
    /// Order the list by a column, or turn the order round.
    Sort(SortColumn),
    /// Filter the list.
    Filter(String),
    /// Show only rows whose interval excludes zero, or all.
    ToggleCertain,
    /// Show only these components in lists; all where there is none.
    Brush(std::collections::BTreeSet<Component>),
    /// Give the filter the keyboard.
    Search,
    /// Check or uncheck a component for the protection list.
    Check(Component),
    /// Uncheck all.
    Uncheck,
    /// Copy so many where none is checked.
    SetProtected(usize),
    /// Copy the protection list.
    CopyProtectionList,
    /// Show what a set of keys and values names, as a link or a stop of a tour does.
    Look(std::collections::BTreeMap<String, String>),
    /// Copy a text.
    Copy(String),
    /// Use this theme.
    SetTheme(ThemeChoice),
    /// Use the next theme.
    NextTheme,
    /// Open or close the provenance drawer.
    ToggleProvenance,
    /// Open or close the list of keys.
    ToggleKeys,
    /// Open or close the list of what is open, where it has no place of its own.
    ToggleList,
    /// Open or close the dialog of exports.
    ToggleExport,
    /// Set the dialog of exports.
    SetExport(ExportSettings),
    /// Export what is on screen in a format.
    Export(Format),
    /// One step back: close what is open, or leave what was enlarged.
    Back,
    /// Show an open study.
    Activate(usize),
    /// Fetch a study that was left for later, by its number, and show it.
    Fetch(usize),
    /// Close a study.
    Close(usize),
    /// Ask for a study to open.
    OpenDialog,
    /// Take a message away.
    Dismiss(usize),
    /// Show these results, by their number.
    SetResults(usize),
    /// Show this experiment of the results that are on.
    SetExperiment(String),
    /// Focus on a benchmark, or on none.
    SetBenchmark(Option<String>),
    /// Show results in this form.
    SetForm(Form),
    /// Show only this model, or all.
    SetModel(Option<String>),
    /// Lay the other open results beside, or take them away.
    ToggleBeside,
    /// Select a row of results, by its place.
    SelectRow(usize),
    /// Read the trace of this instance.
    SelectInstance(String),
    /// Read the trace of this instance, in the view of traces.
    ReadInstance(String),
    /// Read the trace of an instance of the study at a position, in the view of traces.
    ReadInstanceOf(usize, String),
    /// Show this experiment of these results, by their number.
    ShowExperiment(usize, String),
    /// Show results in the next form.
    NextForm,
    /// Select a section of the trace that is read, and bring it into sight.
    SelectSection(usize),
    /// Select the next or the previous section that is shown.
    StepSection(isize),
    /// Bring a byte of the output that is read into sight.
    RevealByte(usize),
    /// Show or hide where the study's model parts from another in the trace.
    ToggleApart,
    /// Show or hide the sections of a label.
    ToggleLabel(Label),
    /// Show this measure of compression.
    SetMeasure(Measure),
    /// Compare this share of the shortest and the longest outputs, in percent.
    SetShare(u32),
    /// Show a stop of the tour, or leave it.
    SetStop(Option<usize>),
    /// One stop further, or back.
    StepStop(isize),
    /// Add what is seen to the tour.
    AddStop,
    /// Change the heading, the words or the notes of a stop.
    EditStop(usize, String, String, String),
    /// Show or hide the presenter's notes beside the stage.
    ToggleNotes,
    /// Take a stop out of the tour.
    RemoveStop(usize),
    /// Let a stop show what is seen now.
    AimStop(usize),
    /// Write the words of the stop, or stop doing so.
    ToggleEditing,
    /// Save the tour.
    SaveTour,
    /// Fill the screen with the figure, or stop doing so.
    TogglePresenting,
    /// Open or close the list of commands.
    TogglePalette,
    /// Change what is typed into the list of commands.
    TypeCommand(String),
    /// Move the chosen command.
    StepCommand(isize),
    /// Go back to where one was.
    HistoryBack,
    /// Go forward again.
    HistoryForward,
    /// Copy link to this view.
    CopyLink,
    /// Show what a link leads to, which was pasted or typed.
    FollowLink(String),
    /// Open or close how to read the view that is on.
    ToggleReading,
    /// Show a step of the introduction.
    ShowWelcome(usize),
    /// Leave the introduction, for good.
    EndWelcome,
    /// Open or close the panel of runs.
    ToggleRuns,
}
