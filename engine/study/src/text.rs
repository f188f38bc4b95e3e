//! Numbers formatted for display, the same in the window, on the page and in the terminal.

/// A whole number in groups of three: `3,587`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_three_from_the_right() {
        let numbers = [0, 12, 999, 3_587, 1_000_000, 1_234_567, u64::MAX];
        let written = ["0", "12", "999", "3,587", "1,000,000", "1,234,567", "18,446,744,073,709,551,615"];
        assert_eq!(numbers.map(grouped), written);
    }
}
