//! The bound by which a number decides a claim.

/// Where a claim holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Strictly above.
    Above(f64),
    /// Strictly below.
    Below(f64),
    /// Up to and with.
    AtMost(f64),
    /// From and with.
    AtLeast(f64),
    /// Between minus this and this.
    Within(f64),
}

impl Bound {
    /// Whether the claim holds at a value.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::Above(bound) => value > bound,
            Self::Below(bound) => value < bound,
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
            Self::Within(bound) => value.abs() <= bound,
        }
    }

    /// What a whole interval says: that the claim holds, that it does not, or nothing.
    pub fn decide(self, (low, high): (f64, f64)) -> Option<bool> {
        if self.holds(low) && self.holds(high) {
            return Some(true);
        }
        let is_beyond = match self {
            // A bound that is only touched, as by nothing lost on either side, refutes nothing.
            Self::Above(bound) => high < bound,
            Self::Below(bound) => low > bound,
            Self::AtMost(bound) => low > bound,
            Self::AtLeast(bound) => high < bound,
            Self::Within(bound) => low > bound || high < -bound,
        };
        is_beyond.then_some(false)
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Above(bound) => format!("above {bound}"),
            Self::Below(bound) => format!("below {bound}"),
            Self::AtMost(bound) => format!("at most {bound}"),
            Self::AtLeast(bound) => format!("at least {bound}"),
            Self::Within(bound) => format!("within {bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_decides_only_as_a_whole() {
        assert_eq!(Bound::Above(0.0).decide((0.1, 2.0)), Some(true));
        assert_eq!(Bound::Above(0.0).decide((-2.0, -0.1)), Some(false));
        assert_eq!(Bound::Above(0.0).decide((-0.1, 0.1)), None);
        assert_eq!(Bound::Above(0.0).decide((0.0, 0.1)), None, "a bound that is only touched is not passed");
        assert_eq!(Bound::Above(0.0).decide((0.0, 0.0)), None, "nothing lost says nothing");
        assert_eq!(Bound::Below(0.0).decide((0.1, 0.2)), Some(false));
        assert_eq!(Bound::AtMost(1.0).decide((1.0, 1.0)), Some(true));
        assert_eq!(Bound::AtMost(1.0).decide((1.0, 2.0)), None);
        assert_eq!(Bound::AtLeast(2.0).decide((0.0, 1.0)), Some(false));
        assert_eq!(Bound::Within(5.0).decide((-4.0, 5.0)), Some(true));
        assert_eq!(Bound::Within(5.0).decide((6.0, 9.0)), Some(false));
        assert_eq!(Bound::Within(5.0).decide((-9.0, 9.0)), None);
        assert_eq!(Bound::Within(5.0).decide((-1.0, 9.0)), None);
    }
}
