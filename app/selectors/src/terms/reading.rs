//! For every view how to read it, in sentences. Names of views are those of links.

/// How each view is read: its name in links, and sentences.
const READING: &[(&str, &[&str])] = &[
    (
        "importance",
        &[
            "A map for every behaviour: a column is a layer, a row a module, so that a cell is one weight matrix. The brighter it is, the more the behaviour depends on it.",
            "All maps share one scale, whose numbers stand under them; the dot marks the cell that comes first.",
            "Of a mixture of experts, gate, up and down open into their experts: a row is a layer, a column an expert. Press the triangle beside a module's name.",
            "The list below orders components; the bar with whiskers is the interval over instances. Where intervals overlap much, the order says little.",
        ],
    ),
    (
        "shift",
        &[
            "Two studies, A and B, of models that differ in what was done to them. Orange cells lost relative importance from A to B, purple ones gained it, and grey stayed.",
            "What matters is large shifts whose interval excludes zero. Hold space to see A and B in turn.",
        ],
    ),
    (
        "ranking",
        &[
            "Every component in the order of relative importance, with its interval and the share of resamples in which it comes first.",
            "Check components to copy them as a list for --protect.",
        ],
    ),
    (
        "channels",
        &[
            "One module of every layer opened into its outputs: a row is a layer, a column a channel. A few bright columns mean that few channels carry the importance.",
            "Scroll to move, hold Ctrl and scroll to zoom.",
        ],
    ),
    (
        "trace",
        &[
            "What the model wrote, each marked stretch in the colour of its behaviour. The strip at the side shows where they lie in the whole.",
            "N and P go from section to section.",
            "Where another model has read the same text, the plot over it shows how far the two lie apart token by token; dark bars are tokens at which they would choose differently, the blue line is the first. A click leads there. The curve beside it is the mean over all texts.",
        ],
    ),
    (
        "benchmarks",
        &[
            "A dot is a score with its interval, a colour a method, a fill the bits: the emptier, the fewer. Rows without compression are the baselines.",
            "Compare intervals before dots: two that overlap may be equal.",
        ],
    ),
    (
        "test-time",
        &["For every row the score of the shortest and of the longest outputs. Where the longest score less, more words did not help."],
    ),
    (
        "validation",
        &[
            "A mark is a matrix: to the right how important it is, upwards how much the model suffers when it alone is compressed.",
            "If importance foretold damage, marks would lie along a rising line; the rank correlation over the figure says how nearly they do.",
        ],
    ),
    (
        "compression",
        &["A cell is a matrix, brighter where compression changed it more, or where it has more bits. The list below holds that against importance."],
    ),
    (
        "variants",
        &[
            "A row is a compressed version of one model; its small maps show what shifted for each behaviour, all on one scale with zero in the middle.",
            "At the row's end stand how much moved, size, divergence and score. A row with pale maps and a high score is a good trade. Click it to open the pair.",
        ],
    ),
    (
        "budget",
        &[
            "Left, every matrix in the colour of what its format costs; a click gives it the next format. Right, size against KL: lower and further left is better.",
            "Hollow marks are predicted, filled ones measured, the ring is what the map shows. The grey band is what the same formats cost in random places: the distance to it is what choosing wins.",
            "Above the dashed line predictions are too low: measure with cruxscope trial.",
        ],
    ),
    (
        "ledger",
        &[
            "Each of the paper's claims, in what numbers it holds or fails, and what the studies and results at hand say of it.",
            "A claim holds where the whole interval lies on its side of the bound, and fails where all of it lies on the other. Else it cannot be told, and the command beside it would tell.",
        ],
    ),
];

/// How a view is read, in sentences.
pub fn reading(view: &str) -> &'static [&'static str] {
    READING.iter().find(|(name, _)| *name == view).map_or(&[], |(_, sentences)| sentences)
}
