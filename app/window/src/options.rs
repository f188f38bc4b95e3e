//! What the window or the page is asked to show when it starts, read from the same keys on a command line and in a link.

use cruxscope_selectors::Scale;
use cruxscope_selectors::compression::Measure;
use cruxscope_selectors::results::Form;
use cruxscope_selectors::variants::VariantSort;
use cruxscope_study::{Behaviour, Component, ShiftView};
use cruxscope_theme::ThemeChoice;

use crate::view_kind::ViewKind;

/// What to show when the window or the page opens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartupOptions {
    /// Studies to open: paths on the desktop, addresses on the web.
    pub studies: Vec<String>,
    /// The view to start with.
    pub view: Option<String>,
    /// The theme.
    pub theme: Option<ThemeChoice>,
    /// The scale of the colours.
    pub scale: Option<Scale>,
    /// Which part of a shift is shown.
    pub shift: Option<ShiftView>,
    /// The behaviour in focus.
    pub behaviour: Option<Behaviour>,
    /// The selected component.
    pub component: Option<Component>,
    /// Whether components are opened into their parts, such as experts.
    pub opened: bool,
    /// The study that a shift is from, A; opened if it is not among the studies.
    pub from: Option<String>,
    /// The study that a shift is to, B; opened if it is not among the studies.
    pub to: Option<String>,
    /// The study that is on; opened if it is not among the studies.
    pub show: Option<String>,
    /// The results that are on: a place, or `published`.
    pub results: Option<String>,
    /// The experiment that is on.
    pub experiment: Option<String>,
    /// The benchmark in focus.
    pub benchmark: Option<String>,
    /// How results are shown.
    pub form: Option<Form>,
    /// The instance whose trace is read.
    pub instance: Option<String>,
    /// The section of it that is selected, from 1.
    pub section: Option<usize>,
    /// What the view of compression shows.
    pub measure: Option<Measure>,
    /// By what variants are ordered.
    pub sort: Option<VariantSort>,
    /// The budget's target in bits a weight.
    pub target: Option<f64>,
    /// Formats that were given by hand under a budget: positions in the menu, or none for a component that is left as it is.
    pub formats: Vec<(Component, Option<usize>)>,
    /// Whether fused matrices get one format under a budget.
    pub fused: bool,
    /// The stop of the tour, from 1.
    pub stop: Option<usize>,
    /// Only the figure, for a frame in another page.
    pub embed: bool,
}

impl StartupOptions {
    /// Every key that there is.
    pub const KEYS: [&str; 24] = [
        "study",
        "view",
        "theme",
        "scale",
        "shift",
        "behaviour",
        "component",
        "opened",
        "from",
        "to",
        "show",
        "results",
        "experiment",
        "benchmark",
        "form",
        "instance",
        "section",
        "measure",
        "sort",
        "target",
        "formats",
        "fused",
        "stop",
        "embed",
    ];

    /// Reads pairs such as (`scale`, `log`); what cannot be read is left out and complained about.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Vec<String>) {
        let mut options = Self::default();
        let mut complaints = Vec::new();
        for (key, value) in pairs {
            if let Err(complaint) = options.read(key, value) {
                complaints.push(complaint);
            }
        }
        (options, complaints)
    }

    /// The pairs that [`Self::from_pairs`] reads back as these options. What nobody asked for is left out.
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let one = |key, value: Option<String>| value.map(|value| (key, value));
        let studies = self.studies.iter().map(|study| ("study", study.clone()));
        let others = [
            one("view", self.view.clone()),
            one("theme", self.theme.map(|theme| theme.name().to_owned())),
            one("scale", self.scale.map(|scale| scale.name().to_owned())),
            one("shift", self.shift.map(|shift| shift.name().to_owned())),
            one("behaviour", self.behaviour.map(|behaviour| behaviour.name().to_owned())),
            one("component", self.component.map(|component| component.to_string())),
            one("opened", self.opened.then(|| "1".to_owned())),
            one("from", self.from.clone()),
            one("to", self.to.clone()),
            one("show", self.show.clone()),
            one("results", self.results.clone()),
            one("experiment", self.experiment.clone()),
            one("benchmark", self.benchmark.clone()),
            one("form", self.form.map(|form| form.name().to_owned())),
            one("instance", self.instance.clone()),
            one("section", self.section.map(|section| section.to_string())),
            one("measure", self.measure.map(|measure| measure.name().to_owned())),
            one("sort", self.sort.map(|sort| sort.name().to_owned())),
            one("target", self.target.map(|target| format!("{target:.4}"))),
            one("formats", Some(written_formats(&self.formats)).filter(|text| !text.is_empty())),
            one("fused", self.fused.then(|| "1".to_owned())),
            one("stop", self.stop.map(|stop| stop.to_string())),
            one("embed", self.embed.then(|| "1".to_owned())),
        ];
        studies.chain(others.into_iter().flatten()).collect()
    }

    fn read(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "study" => self.studies.push(value.to_owned()),
            "view" => {
                choose(key, value, &ViewKind::ALL, |view| view.name())?;
                self.view = Some(value.to_owned());
            }
            "theme" => self.theme = Some(choose(key, value, &ThemeChoice::ALL, |theme| theme.name())?),
            "scale" => self.scale = Some(choose(key, value, &Scale::ALL, |scale| scale.name())?),
            "shift" => self.shift = Some(value.parse()?),
            "behaviour" => self.behaviour = Some(value.parse()?),
            "component" => self.component = Some(value.parse()?),
            "opened" => self.opened = switched(key, value)?,
            "from" => self.from = Some(value.to_owned()),
            "to" => self.to = Some(value.to_owned()),
            "show" => self.show = Some(value.to_owned()),
            "results" => self.results = Some(value.to_owned()),
            "experiment" => self.experiment = Some(value.to_owned()),
            "benchmark" => self.benchmark = Some(value.to_owned()),
            "form" => self.form = Some(choose(key, value, &Form::ALL, |form| form.name())?),
            "instance" => self.instance = Some(value.to_owned()),
            "section" => self.section = Some(counted(key, value)?),
            "measure" => self.measure = Some(choose(key, value, &Measure::ALL, |measure| measure.name())?),
            "sort" => self.sort = Some(choose(key, value, &VariantSort::ALL, |sort| sort.name())?),
            "target" => {
                let target = value.parse().ok().filter(|target: &f64| target.is_finite() && *target > 0.0);
                self.target = Some(target.ok_or_else(|| format!("\"{value}\" is no target; it is a number of bits a weight"))?);
            }
            "formats" => self.formats = read_formats(value)?,
            "fused" => self.fused = switched(key, value)?,
            "stop" => self.stop = Some(counted(key, value)?),
            "embed" => self.embed = switched(key, value)?,
            _ => {
                return Err(format!("\"{key}\" is no option; known are {}", Self::KEYS.join(", ")));
            }
        }
        Ok(())
    }
}

fn counted(key: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("\"{value}\" is no {key}; it is a number from 1 on"))
}

fn switched(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(format!("\"{value}\" is no value of {key}; known are 1 and 0")),
    }
}

/// Formats by their positions in the menu: `3_up:0,4_down:-`.
fn written_formats(formats: &[(Component, Option<usize>)]) -> String {
    let written = |(component, format): &(Component, Option<usize>)| match format {
        Some(format) => format!("{component}:{format}"),
        None => format!("{component}:-"),
    };
    formats.iter().map(written).collect::<Vec<_>>().join(",")
}

fn read_formats(value: &str) -> Result<Vec<(Component, Option<usize>)>, String> {
    let read = |pair: &str| {
        let (component, format) = pair.split_once(':')?;
        let format = if format == "-" { None } else { Some(format.parse().ok()?) };
        Some((component.parse().ok()?, format))
    };
    let pairs = value.split(',').filter(|pair| !pair.is_empty());
    let read = pairs.map(|pair| read(pair).ok_or_else(|| format!("\"{pair}\" names no component with a format, such as 3_up:0")));
    read.collect()
}

fn choose<T: Copy>(key: &str, value: &str, known: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    known.iter().copied().find(|choice| name(*choice) == value).ok_or_else(|| {
        let known: Vec<_> = known.iter().map(|choice| name(*choice)).collect();
        format!("\"{value}\" is no {key}; known are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use cruxscope_study::Module;

    use super::*;

    #[test]
    fn a_link_and_a_command_line_say_the_same() {
        let (options, complaints) = StartupOptions::from_pairs([
            ("study", "a"),
            ("study", "b"),
            ("view", "importance"),
            ("theme", "light"),
            ("scale", "log"),
            ("shift", "net"),
            ("behaviour", "example-testing"),
            ("component", "30_gate"),
            ("opened", "1"),
            ("from", "b"),
            ("to", "c"),
            ("show", "a"),
            ("results", "published"),
            ("experiment", "Table 1"),
            ("benchmark", "FOLIO"),
            ("form", "table"),
            ("instance", "FOLIO/7"),
            ("section", "3"),
            ("measure", "bits"),
            ("sort", "bits"),
            ("target", "4.2500"),
            ("formats", "3_up:0,4_down:-"),
            ("fused", "1"),
            ("stop", "2"),
            ("embed", "1"),
        ]);
        assert_eq!(complaints, Vec::<String>::new());
        assert_eq!(options.studies, ["a", "b"]);
        assert_eq!(options.theme, Some(ThemeChoice::Light));
        assert_eq!(options.scale, Some(Scale::Log));
        assert_eq!(options.shift, Some(ShiftView::Net));
        assert_eq!(options.behaviour, Some(Behaviour::ExampleTesting));
        assert_eq!(options.component, Some(Component::new(29, Module::Gate)));
        assert_eq!([options.from.as_deref(), options.to.as_deref()], [Some("b"), Some("c")]);
        assert!(options.embed);
        let written = options.to_pairs();
        let (again, complaints) = StartupOptions::from_pairs(written.iter().map(|(key, value)| (*key, value.as_str())));
        assert_eq!((again, complaints), (options, Vec::new()));
        assert!(StartupOptions::KEYS.iter().all(|key| written.iter().any(|(written, _)| written == key)));
        assert_eq!(StartupOptions::default().to_pairs(), Vec::new());
    }

    #[test]
    fn what_cannot_be_read_is_said_and_the_rest_is_kept() {
        let (options, complaints) = StartupOptions::from_pairs([("scale", "cubic"), ("colour", "red"), ("component", "0_gate"), ("theme", "dark")]);
        assert_eq!(options.theme, Some(ThemeChoice::Dark));
        assert_eq!(complaints.len(), 3);
        assert!(complaints[0].contains("linear, square-root, log, rank"), "{}", complaints[0]);
    }
}
