//! From a relative importance to a position on the colour map, and the numbers under the figure.

use super::format;

/// How values are spread over the colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scale {
    /// In proportion.
    Linear,
    /// By the square root, so that a few outliers do not flatten the rest.
    #[default]
    SquareRoot,
    /// By the logarithm, with a floor.
    Log,
    /// By rank within the panel: every step of the order weighs the same.
    Rank,
}

impl Scale {
    /// All four, in the order of the buttons.
    pub const ALL: [Self; 4] = [Self::Linear, Self::SquareRoot, Self::Log, Self::Rank];

    /// The name in options and links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::SquareRoot => "square-root",
            Self::Log => "log",
            Self::Rank => "rank",
        }
    }

    /// The name on a button.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Linear => "Linear",
            Self::SquareRoot => "Square root",
            Self::Log => "Log",
            Self::Rank => "Rank",
        }
    }

    /// The next one.
    pub const fn next(self) -> Self {
        match self {
            Self::Linear => Self::SquareRoot,
            Self::SquareRoot => Self::Log,
            Self::Log => Self::Rank,
            Self::Rank => Self::Linear,
        }
    }
}

/// How far below the largest value the floor of the logarithmic scale lies.
const DECADES: f64 = 1e-3;

/// Width of a character under the colour bar in points, rather too much than too little.
const CHARACTER: f32 = 7.0;

/// A scale with its two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourScale {
    /// How values are spread.
    pub scale: Scale,
    /// The value of the first colour. Smaller values share it.
    pub low: f64,
    /// The value of the last colour.
    pub high: f64,
    /// Whether some value lies below the first colour's.
    pub clipped_below: bool,
    /// Whether values have signs: then colours run from `-high` over zero to `high`, and `low` is a floor of sizes.
    pub centred: bool,
}

/// A number under the colour bar.
#[derive(Clone, Debug, PartialEq)]
pub struct LegendTick {
    /// Where, from 0 to 1.
    pub position: f32,
    /// What is written there.
    pub text: String,
}

impl ColourScale {
    /// The scale over `values`, which are shares; ranks need no ends.
    pub fn over<'a>(scale: Scale, values: impl IntoIterator<Item = &'a f64>) -> Self {
        let (mut least, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values {
            least = least.min(*value);
            high = high.max(*value);
        }
        let low = if scale == Scale::Log { high * DECADES } else { 0.0 };
        Self {
            scale,
            low,
            high,
            clipped_below: least < low,
            centred: false,
        }
    }

    /// The scale over signed `values`, with zero in its middle and both ends equally far from it.
    pub fn centred_over<'a>(scale: Scale, values: impl IntoIterator<Item = &'a f64>) -> Self {
        let sizes: Vec<f64> = values.into_iter().map(|value| value.abs()).collect();
        Self {
            centred: true,
            ..Self::over(scale, &sizes)
        }
    }

    /// The position of a value on the colour map, from 0 to 1. The shader of the heatmap computes the same.
    pub fn position(&self, value: f64) -> f32 {
        if self.centred {
            let way = if value < 0.0 { -0.5 } else { 0.5 };
            return 0.5 + way * self.spread(value.abs());
        }
        self.spread(value)
    }

    fn spread(&self, value: f64) -> f32 {
        if self.high <= 0.0 {
            return 0.0;
        }
        // Only measures that nobody counts from zero have another low end.
        let from = if self.centred { 0.0 } else { self.low };
        let position = match self.scale {
            Scale::Linear | Scale::Rank => (value - from) / (self.high - from).max(f64::MIN_POSITIVE),
            Scale::SquareRoot => (value.max(0.0) / self.high).sqrt(),
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        position.clamp(0.0, 1.0) as f32
    }

    /// The numbers under a colour bar of so many points: both ends, and round ones between where there is room.
    pub fn ticks(&self, components: usize, width: f32) -> Vec<LegendTick> {
        let tick = |position: f32, text: String| LegendTick { position, text };
        if self.centred {
            return self.centred_ticks();
        }
        if self.scale == Scale::Rank {
            return vec![tick(0.0, format!("rank {components}")), tick(1.0, "rank 1".to_owned())];
        }
        if self.high <= 0.0 {
            return vec![tick(0.0, format::percent_tick(0.0))];
        }
        let floor = if self.clipped_below {
            format!("≤\u{a0}{}", format::percent_tick(self.low))
        } else {
            format::percent_tick(self.low)
        };
        let mut ticks = vec![tick(0.0, floor)];
        // Ends stand within the bar, the others in the middle of their place, and none may touch another.
        let share = |text: &str| text.chars().count() as f32 * CHARACTER / width;
        let last = format::percent_tick(self.high);
        let mut free = share(&ticks[0].text);
        for value in self.round_values() {
            let (position, text) = (self.position(value), format::percent_tick(value));
            let half = share(&text) / 2.0;
            if position - half > free + CHARACTER / width && position + half < 1.0 - share(&last) - CHARACTER / width {
                free = position + half;
                ticks.push(tick(position, text));
            }
        }
        ticks.push(tick(1.0, last));
        ticks
    }

    /// Both ends and zero, which is all that has room on either side of it.
    fn centred_ticks(&self) -> Vec<LegendTick> {
        let tick = |position: f32, text: String| LegendTick { position, text };
        let [down, up] = match self.scale {
            Scale::Rank => ["rank 1, fell".to_owned(), "rank 1, rose".to_owned()],
            _ => [-1.0, 1.0].map(|way| format::signed_tick(way * self.high)),
        };
        vec![tick(0.0, down), tick(0.5, format::percent_tick(0.0)), tick(1.0, up)]
    }

    /// 1, 2 and 5 times powers of ten between the ends.
    fn round_values(&self) -> Vec<f64> {
        let from = if self.low > 0.0 { self.low } else { self.high * 1e-2 };
        let mut values = Vec::new();
        let mut power = 10f64.powf(from.log10().floor());
        while power <= self.high {
            let factors: &[f64] = if self.scale == Scale::Log { &[1.0] } else { &[1.0, 2.0, 5.0] };
            values.extend(factors.iter().map(|factor| factor * power).filter(|value| *value > from && *value < self.high));
            power *= 10.0;
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 4] = [0.0, 0.01, 0.04, 0.16];

    #[test]
    fn ends_lie_at_the_ends_on_every_scale() {
        for scale in Scale::ALL {
            let scale = ColourScale::over(scale, &VALUES);
            assert_eq!(scale.position(scale.low), 0.0, "{scale:?}");
            assert!((scale.position(0.16) - 1.0).abs() < 1e-6, "{scale:?}");
            assert_eq!(scale.position(9.0), 1.0, "{scale:?}");
        }
    }

    #[test]
    fn a_scale_keeps_the_order_and_spreads_as_its_name_says() {
        let root = ColourScale::over(Scale::SquareRoot, &VALUES);
        assert!((root.position(0.04) - 0.5).abs() < 1e-6);
        let linear = ColourScale::over(Scale::Linear, &VALUES);
        assert!((linear.position(0.04) - 0.25).abs() < 1e-6);
        let log = ColourScale::over(Scale::Log, &VALUES);
        assert!((log.position(0.016) - 2.0 / 3.0).abs() < 1e-6);
        assert!(log.clipped_below && !root.clipped_below);
    }

    #[test]
    fn the_legend_names_its_ends_and_a_floor_says_that_it_is_one() {
        let texts = |scale| -> Vec<String> { ColourScale::over(scale, &VALUES).ticks(28, 320.0).into_iter().map(|tick| tick.text).collect() };
        assert_eq!(texts(Scale::Rank), ["rank 28", "rank 1"]);
        let root = texts(Scale::SquareRoot);
        assert_eq!((root[0].as_str(), root[root.len() - 1].as_str()), ("0", "16\u{a0}%"));
        assert!(texts(Scale::Log)[0].starts_with('≤'));
        let nothing = ColourScale::over(Scale::Log, &[0.0]);
        assert_eq!(nothing.position(0.0), 0.0);
        assert_eq!(nothing.ticks(28, 320.0).len(), 1);
    }

    #[test]
    fn a_centred_scale_has_zero_in_its_middle_and_is_the_same_on_both_sides() {
        for scale in Scale::ALL {
            let scale = ColourScale::centred_over(scale, &[-0.04, 0.01, 0.0]);
            assert_eq!(scale.position(0.0), 0.5, "{scale:?}");
            for value in [0.001, 0.01, 0.02, 0.04] {
                assert!((scale.position(value) + scale.position(-value) - 1.0).abs() < 1e-6, "{scale:?}");
            }
            assert_eq!(scale.ticks(28, 320.0).len(), 3);
        }
        let linear = ColourScale::centred_over(Scale::Linear, &[-0.04]);
        assert_eq!((linear.position(-0.04), linear.position(0.04)), (0.0, 1.0));
        assert_eq!(linear.ticks(28, 320.0)[0].text, "−4\u{a0}pp");
    }

    #[test]
    fn numbers_under_the_bar_do_not_touch() {
        for scale in Scale::ALL {
            for high in [0.000_31, 0.0277, 0.0755, 0.284, 1.0] {
                for width in [160.0, 320.0] {
                    let ticks = ColourScale::over(scale, &[0.0, high]).ticks(210, width);
                    let ends = ticks.iter().map(|tick| {
                        let (place, length) = (tick.position * width, tick.text.chars().count() as f32 * 6.0);
                        let before = match tick.position {
                            position if position <= 0.0 => 0.0,
                            position if position >= 1.0 => 1.0,
                            _ => 0.5,
                        };
                        let left = place - length * before;
                        (left, left + length)
                    });
                    let ends: Vec<(f32, f32)> = ends.collect();
                    assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0), "{scale:?} {high} {width}: {ticks:?}");
                }
            }
        }
    }

    #[test]
    fn stepping_through_the_scales_comes_back() {
        assert_eq!(Scale::Linear.next().next().next().next(), Scale::Linear);
    }
}
