//! Numbers as HTML.

/// A share of 1 in percent, with two digits: `3.50`, and `<0.01` (escaped) for what is there but would print as nothing.
pub fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.000_05 {
        return "&lt;0.01".to_owned();
    }
    format!("{:.2}", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_writes_them() {
        assert_eq!(
            [percent(0.035), percent(0.0), percent(1e-9), percent(1.0)],
            ["3.50", "0.00", "&lt;0.01", "100.00"]
        );
    }
}
