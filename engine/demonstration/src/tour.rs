//! The tour: what was found, stop by stop, in words made of the numbers.

use cruxscope_study::{Behaviour, COLLECTION_SCHEMA, Collection, Comparison, Component, RESULTS_FILE, Ranks, ShiftView, Study, TourStop};

use crate::recipes::{OWN, model_of};
use crate::selection::{ALONE_BITS, REST_BITS, SIZE};
use crate::tables::{ALONE, COMPRESSED, FEW, LOST, PROTECTED, RECIPES, RecipeRow, Row, Summary, TOGETHER};
use crate::variants::{ROUNDED, Variant};

/// What the words are made of.
pub struct Found<'a> {
    /// All numbers.
    pub summary: &'a Summary,
    /// The studies of base, distilled, and the rounded one.
    pub studies: [&'a Study; 3],
    /// The compressed models.
    pub variants: &'a [Variant],
}

/// The folder of a study in the collection.
pub fn study_place(name: &str) -> String {
    format!("studies/{name}")
}

/// The collection with its tour.
pub fn collection(found: &Found<'_>) -> Collection {
    let mut studies = vec![study_place("distilled"), study_place("base")];
    studies.extend(found.variants.iter().map(|variant| study_place(&variant.name)));
    Collection {
        schema: COLLECTION_SCHEMA,
        title: "The paper in miniature".into(),
        studies,
        results: vec![RESULTS_FILE.into()],
        tour: stops(found),
        ..Collection::default()
    }
}

fn stop(title: &str, caption: String, seen: &[(&str, &str)]) -> TourStop {
    TourStop {
        title: title.into(),
        caption,
        seen: seen.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..TourStop::default()
    }
}

fn percent(row: Option<&Row>) -> String {
    row.map_or("unknown".into(), |row| {
        let share = row.together;
        format!("{:.0} % [{:.0}, {:.0}]", share.percent, share.interval[0], share.interval[1])
    })
}

fn stops(found: &Found<'_>) -> Vec<TourStop> {
    let (summary, [base, distilled, rounded]) = (found.summary, found.studies);
    let row = |name: &str| summary.row(name);
    let (first, first_share) = largest(&distilled.importance.relative_mean());
    let distilled_place = study_place("distilled");
    let rounded_place = study_place(ROUNDED);
    let puzzles = row("distilled").map_or(0, |row| row.together.of);
    let trace = distilled.manifest.instances.first().map_or("", |instance| instance.id.as_str());
    let mut stops = vec![
        stop(
            "A reasoner small enough to see whole",
            format!(
                "{} parameters, trained to reason aloud on four kinds of puzzle. Its own words, each sentence under the behaviour it shows. \
                 {} of its traces are read here.",
                cruxscope_study::grouped(distilled.manifest.model.parameters),
                summary.instances
            ),
            &[("view", "trace"), ("study", &distilled_place), ("instance", trace)],
        ),
        stop(
            "Reasoning aloud pays",
            format!(
                "On {puzzles} puzzles that training never showed, the base model answers {} and the distilled one {}; dots with intervals at 95 %.",
                percent(row("base")),
                percent(row("distilled"))
            ),
            &[
                ("view", "benchmarks"),
                ("results", RESULTS_FILE),
                ("experiment", COMPRESSED),
                ("benchmark", TOGETHER),
            ],
        ),
        stop(
            "Where reasoning is concentrated",
            format!(
                "Relative importance of all {} weight matrices for four behaviours. Over all behaviours **{first}** matters most: {:.1} %, where an even \
                 share would be {:.1} %.",
                distilled.importance.layers() * 7,
                100.0 * first_share,
                100.0 / (distilled.importance.layers() * 7) as f64
            ),
            &[("view", "importance"), ("study", &distilled_place), ("component", &first.to_string())],
        ),
    ];
    if let Some((component, net)) = largest_shift(base, distilled) {
        stops.push(stop(
            "What distillation moved",
            format!(
                "From base to distilled, {component} moves most: {:+.1} points of relative importance.",
                100.0 * net
            ),
            &[
                ("view", "shift"),
                ("from", &study_place("base")),
                ("to", &distilled_place),
                ("shift", "net"),
                ("component", &component.to_string()),
            ],
        ));
    }
    if let Some((component, net)) = largest_shift(distilled, rounded) {
        stops.push(stop(
            "What two bits broke",
            format!(
                "Rounded to nearest at 3 bits, accuracy goes from {} to {}; at {REST_BITS} bits to {}, and {component} moves most: {:+.1} points.",
                percent(row("distilled")),
                percent(row("rtn-3")),
                percent(row(ROUNDED)),
                100.0 * net
            ),
            &[
                ("view", "shift"),
                ("from", &distilled_place),
                ("to", &rounded_place),
                ("shift", "net"),
                ("component", &component.to_string()),
            ],
        ));
    }
    stops.push(stop(
        "Importance against measured damage",
        match summary.importance_against_damage {
            Some(found) => format!(
                "Every matrix alone rounded to {ALONE_BITS} bits. Importance and damage agree with rank correlation {:.2} [{:.2}, {:.2}] over {} matrices.",
                found.rho, found.low, found.high, found.n
            ),
            None => "Every matrix alone was rounded; no rank correlation can be told.".into(),
        },
        &[("view", "validation"), ("study", &distilled_place)],
    ));
    stops.push(stop(
        "The few that matter, rounded alone",
        against_controls(
            summary,
            "alone-",
            &[("alone-most-important", "the most important"), ("alone-least-important", "the least important")],
            &format!("{SIZE} of the matrices rounded to {ALONE_BITS} bits"),
        ),
        &[
            ("view", "benchmarks"),
            ("results", RESULTS_FILE),
            ("experiment", ALONE),
            ("benchmark", TOGETHER),
        ],
    ));
    stops.push(stop(
        "The few that matter, protected",
        against_controls(
            summary,
            "all-but-",
            &[("all-but-most-shifted", "the most shifted"), ("all-but-most-important", "the most important")],
            &format!("All but {SIZE} rounded to {REST_BITS} bits, with these kept"),
        ),
        &[
            ("view", "benchmarks"),
            ("results", RESULTS_FILE),
            ("experiment", PROTECTED),
            ("benchmark", TOGETHER),
        ],
    ));
    stops.push(stop(
        "What each matrix would cost, foretold",
        foretold(summary),
        &[("view", "budget"), ("study", &distilled_place)],
    ));
    for (group, title) in [(RECIPES, "Bits where they count"), (FEW, "What ten per cent win back")] {
        stops.push(stop(
            title,
            recipe_against_rules(summary, group),
            &[
                ("view", "benchmarks"),
                ("results", RESULTS_FILE),
                ("experiment", group),
                ("benchmark", TOGETHER),
            ],
        ));
    }
    stops.push(stop(
        "Knowledge and reasoning",
        knowledge(summary),
        &[
            ("view", "benchmarks"),
            ("results", RESULTS_FILE),
            ("experiment", LOST),
            ("benchmark", "Knowledge minus reasoning"),
        ],
    ));
    stops
}

fn largest(values: &[f64]) -> (Component, f64) {
    let component = Ranks::of(values).order()[0];
    (component, values[component.index()])
}

/// The component that moves most between two studies, and how far.
fn largest_shift(from: &Study, to: &Study) -> Option<(Component, f64)> {
    let comparison = Comparison::between(from, to, &[]).ok()?;
    let component = *comparison.shift_ranks(None, ShiftView::Net).order().first()?;
    Some((component, comparison.net(None, component)))
}

/// Chosen sets beside the spread of random ones.
fn against_controls(summary: &Summary, prefix: &str, chosen: &[(&str, &str)], what: &str) -> String {
    let said: Vec<String> = chosen.iter().map(|(name, words)| format!("{words} {}", percent(summary.row(name)))).collect();
    let controls = format!("{prefix}random-");
    let random: Vec<f64> = summary
        .rows
        .iter()
        .filter(|row| row.name.starts_with(&controls))
        .map(|row| row.together.percent)
        .collect();
    let (low, high) = random
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let controls = match random.len() {
        0 => String::new(),
        count => format!("; {count} random sets of the same size {low:.0} to {high:.0} %"),
    };
    format!(
        "{what}: {}{controls}. The whole model has {}.",
        said.join(", "),
        percent(summary.row("distilled"))
    )
}

fn foretold(summary: &Summary) -> String {
    let Some(found) = &summary.predicted_against_measured else {
        return "No sketch could be held against what was measured.".into();
    };
    let importance = summary.importance_against_damage.map_or_else(String::new, |importance| {
        format!(" (relative importance: {:.2} [{:.2}, {:.2}])", importance.rho, importance.low, importance.high)
    });
    let rank = &found.rank;
    format!(
        "One pass over {} traces foretells the divergence from rounding each matrix alone to {ALONE_BITS} bits, and from any recipe over five \
         widths. Against what rounding each really cost: rank correlation {:.2} [{:.2}, {:.2}] over {} matrices{importance}; the sum is {:.4} nats foretold, \
         {:.4} measured on other puzzles.",
        summary.instances, rank.rho, rank.low, rank.high, rank.n, found.predicted, found.measured
    )
}

/// This program's recipe beside those of other rules and the spread of random ones: accuracy, and divergence foretold and measured.
fn recipe_against_rules(summary: &Summary, group: &str) -> String {
    let rows: Vec<&RecipeRow> = summary.recipes.iter().filter(|row| row.experiment == group).collect();
    let random = |row: &&&RecipeRow| row.rule.starts_with("random");
    let accuracy = |row: &RecipeRow| percent(summary.row(&model_of(group, &row.rule)));
    let nats = |value: Option<f64>| value.map_or_else(|| "unknown".into(), |value| format!("{value:.4}"));
    let said: Vec<String> = (rows.iter().filter(|row| !random(row)))
        .map(|row| format!("{} {} at {} nats", row.rule, accuracy(row), nats(row.measured)))
        .collect();
    let own = rows.iter().find(|row| row.rule == OWN);
    let foretold = own.map_or_else(String::new, |own| {
        format!(
            " {:.2} bits a weight; foretold for allocate's: {} nats.",
            own.bits_per_weight,
            nats(own.predicted)
        )
    });
    let percents: Vec<f64> = (rows.iter().filter(random))
        .filter_map(|row| Some(summary.row(&model_of(group, &row.rule))?.together.percent))
        .collect();
    let (low, high) = (percents.iter()).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let controls = match percents.len() {
        0 => String::new(),
        count => format!("; {count} random permutations of it {low:.0} to {high:.0} %"),
    };
    format!(
        "{}{controls}.{foretold} The whole model has {}.",
        said.join(", "),
        percent(summary.row("distilled"))
    )
}

fn knowledge(summary: &Summary) -> String {
    let lost: Vec<String> = [
        (ROUNDED, "Rounding to 2 bits"),
        ("magnitude-50", "pruning half by size"),
        ("sparsegpt-50", "pruning half by SparseGPT"),
    ]
    .iter()
    .filter_map(|(name, words)| {
        let lost = summary.row(name)?.knowledge_over_reasoning?;
        let [low, high] = lost.interval;
        let verdict = if low > 0.0 {
            "knowledge suffers more"
        } else if high < 0.0 {
            "reasoning suffers more"
        } else {
            "no difference can be told"
        };
        Some(format!(
            "{words} costs {:.0} points of facts and {:.0} of reasoning ({verdict})",
            lost.knowledge, lost.reasoning
        ))
    })
    .collect();
    let behaviours = Behaviour::ALL.len();
    format!(
        "{}. The paper found that pruning takes knowledge first; its {behaviours} behaviours say nothing of facts, so both are asked here.",
        lost.join("; ")
    )
}
