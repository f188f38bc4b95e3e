//! How numbers are written: few digits, a unit, the same everywhere.

use cruxscope_study::RankCorrelation;

/// Joins a number to its unit so that no line breaks between them.
const JOINED: char = '\u{a0}';

/// A share as a percentage: `3.50 %`, and `<0.01 %` where two digits would say zero.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.005 {
        format!("<0.01{JOINED}%")
    } else {
        format!("{percent:.2}{JOINED}%")
    }
}

/// A share as a percentage with just the digits that an axis needs: `0`, `0.5 %`, `7.6 %`, `20 %`.
pub fn percent_tick(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        return "0".to_owned();
    }
    // Two significant digits, without the zeros that say nothing.
    let digits = (1.0 - percent.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{percent:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{JOINED}%")
}

/// A share as a percentage with two digits, its minus written as one: `41 %`, `−8.1 %`.
pub fn signed_percent(share: f64) -> String {
    let minus = if share < 0.0 { "−" } else { "" };
    let percent = share.abs() * 100.0;
    let digits = usize::from(percent < 9.95);
    format!("{minus}{percent:.digits$}{JOINED}%")
}

/// A signed difference of shares for an axis: `−4 pp`, `+2.5 pp`.
pub fn signed_tick(share: f64) -> String {
    format!("{}{}", sign_of(share), percent_tick(share.abs())).replace('%', "pp")
}

/// A difference of two shares in percentage points: `1.04 pp`.
pub fn points(share: f64) -> String {
    percent(share).replace('%', "pp")
}

/// A signed difference of two shares in percentage points: `−1.04 pp`, `+0.20 pp`, `0.00 pp`.
pub fn signed_share(share: f64) -> String {
    let text = points(share.abs());
    if text.starts_with("0.00") {
        text
    } else {
        format!("{}{text}", sign_of(share))
    }
}

/// A difference of two scores: `+14.5 pp` between percentages, `−0.25` between numbers without a unit.
pub fn signed_points(difference: f64, unit: &str) -> String {
    let (digits, points) = if unit == "%" { (1, "\u{a0}pp") } else { (2, "") };
    let text = format!("{:.digits$}", difference.abs());
    let sign = if text.chars().all(|digit| matches!(digit, '0' | '.')) {
        ""
    } else {
        sign_of(difference)
    };
    format!("{sign}{text}{points}")
}

const fn sign_of(share: f64) -> &'static str {
    if share < 0.0 {
        "−"
    } else if share > 0.0 {
        "+"
    } else {
        ""
    }
}

/// A percentage short enough for a cell: `3.5`, `0.07`; in a narrow one `0.1`.
pub fn percent_in_cell(share: f64, narrow: bool) -> String {
    let percent = share * 100.0;
    if narrow || percent >= 1.0 || percent == 0.0 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.2}")
    }
}

/// A share between 0 and 1 with two digits: `0.41`.
pub fn probability(share: f64) -> String {
    format!("{share:.2}")
}

/// A whole number in groups of three: `3,587`.
pub fn count(number: usize) -> String {
    cruxscope_study::grouped(number as u64)
}

/// A number of things: `1 instance`, `4 instances`.
pub fn things(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A number with three significant digits: `0.0123`, `1.23e-7`.
pub fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if (-4..6).contains(&magnitude) {
        let digits = (2 - magnitude).max(0) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.2e}")
    }
}

/// A number on an axis, without the zeros that say nothing: `0.3`, `0.0075`, `1.00e-7`.
pub fn tick(value: f64) -> String {
    let text = significant(value);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A correlation with its interval, minus written as one: `−0.04 (−0.34 to 0.27)`.
pub fn correlation(found: &RankCorrelation) -> String {
    format!("{:.2} ({:.2} to {:.2})", found.rho, found.low, found.high).replace('-', "−")
}

/// A signed number with three significant digits: `−0.0123`, `+4.10`.
pub fn signed(value: f64) -> String {
    format!("{}{}", sign_of(value), significant(value.abs()))
}

/// A large number in short: `134.5 M`, `8.0 B`.
pub fn short_count(number: u64) -> String {
    let value = number as f64;
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{:.1}{JOINED}K", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}{JOINED}M", value / 1e6),
        _ => format!("{:.1}{JOINED}B", value / 1e9),
    }
}

/// A size in bytes: `1.5 MB`.
pub fn bytes(number: u64) -> String {
    let value = number as f64;
    match number {
        0..1_000 => format!("{number}{JOINED}B"),
        1_000..1_000_000 => format!("{:.1}{JOINED}kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}{JOINED}MB", value / 1e6),
        _ => format!("{:.1}{JOINED}GB", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(percent(0.035), "3.50\u{a0}%");
        assert_eq!(percent(0.0), "0.00\u{a0}%");
        assert_eq!(percent(0.000_01), "<0.01\u{a0}%");
        assert_eq!(percent_tick(0.0), "0");
        assert_eq!(percent_tick(0.0755), "7.5\u{a0}%");
        assert_eq!(percent_tick(0.2), "20\u{a0}%");
        assert_eq!(percent_tick(0.005), "0.5\u{a0}%");
        assert_eq!(percent_tick(0.000_075), "0.0075\u{a0}%");
        assert_eq!(signed_percent(-0.081), "−8.1\u{a0}%");
        assert_eq!(signed_percent(0.412), "41\u{a0}%");
        assert_eq!(signed_tick(-0.0755), "−7.5\u{a0}pp");
        assert_eq!(signed_share(-0.0104), "−1.04\u{a0}pp");
        assert_eq!(signed_share(0.002), "+0.20\u{a0}pp");
        assert_eq!(signed_share(0.0), "0.00\u{a0}pp");
        assert_eq!(signed_points(14.5, "%"), "+14.5\u{a0}pp");
        assert_eq!(signed_points(-0.01, "%"), "0.0\u{a0}pp");
        assert_eq!(signed_points(-0.25, ""), "−0.25");
        assert_eq!(percent_in_cell(0.0007, false), "0.07");
        assert_eq!(percent_in_cell(0.0007, true), "0.1");
        assert_eq!(count(3587), "3,587");
        assert_eq!(count(12), "12");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(things(1, "instance", "instances"), "1 instance");
        assert_eq!(significant(0.012_34), "0.0123");
        assert_eq!(significant(1.234e-7), "1.23e-7");
        assert_eq!(significant(123.4), "123");
        assert_eq!(tick(3.0 * 0.1), "0.3");
        assert_eq!(tick(0.0075), "0.0075");
        assert_eq!(tick(20.0), "20");
        let found = RankCorrelation {
            rho: -0.041,
            low: -0.34,
            high: 0.27,
            n: 42,
        };
        assert_eq!(correlation(&found), "−0.04 (−0.34 to 0.27)");
        assert_eq!(short_count(134_515_008), "134.5\u{a0}M");
        assert_eq!(bytes(1_500_000), "1.5\u{a0}MB");
    }
}
