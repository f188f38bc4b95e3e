//! The ledger: each claim with what is said of it, in the words and digits that people read.

use cruxscope_study::{Ledger, LedgerClaim, LedgerEntry, LedgerVerdict};

/// A claim with its entries.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRow<'a> {
    /// The claim.
    pub claim: &'a LedgerClaim,
    /// What is said of it; what was given first, then the published numbers.
    pub entries: Vec<&'a LedgerEntry>,
}

/// Every claim, in the order of the publication.
pub fn rows(ledger: &Ledger) -> Vec<ClaimRow<'_>> {
    let of = |claim| ClaimRow {
        claim,
        entries: ledger.of(&claim.id).collect(),
    };
    ledger.claims.iter().map(of).collect()
}

/// How many entries say each thing: `holds 4, fails 2, cannot be told 31`.
pub fn counted(ledger: &Ledger) -> String {
    ledger.counts().map(|(verdict, count)| format!("{} {count}", verdict.words())).join(", ")
}

/// A number with its interval, in as many digits as help; a dash where there is none.
pub fn number(entry: &LedgerEntry) -> String {
    let Some(value) = entry.number else { return "-".into() };
    let is_whole = value.fract() == 0.0 && entry.interval.is_none_or(|ends| ends.iter().all(|end| end.fract() == 0.0));
    let digits = if value.abs() >= 100.0 || is_whole { 0 } else { 2 };
    let ends = entry
        .interval
        .map_or_else(String::new, |[low, high]| format!(" [{low:.digits$}, {high:.digits$}]"));
    format!("{value:.digits$}{ends}")
}

/// Whose data, and by which definition: `Original (paper)`.
pub fn subject(entry: &LedgerEntry) -> String {
    match entry.definition {
        Some(definition) => format!("{} ({definition})", entry.subject),
        None => entry.subject.clone(),
    }
}

/// What the number is, and what decides: `rank of … = 2 [1, 4], at most 3; 48 traces`.
pub fn finding(entry: &LedgerEntry) -> String {
    if entry.number.is_none() {
        return format!("{}, {}", entry.statistic, entry.bound);
    }
    let units = entry.n.map_or_else(String::new, |n| format!("; {n} {}", entry.units));
    format!("{} = {}, {}{units}", entry.statistic, number(entry), entry.bound)
}

/// The one line over the view.
pub fn headline(ledger: &Ledger) -> String {
    let [holds, fails, untold] = LedgerVerdict::ALL.map(|verdict| {
        let told = |row: &ClaimRow<'_>| row.entries.iter().any(|entry| entry.verdict == verdict);
        rows(ledger).iter().filter(|row| told(row)).count()
    });
    format!(
        "Of {} claims {holds} hold in some of the data, {fails} fail in some, {untold} cannot be told from some",
        ledger.claims.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: Option<f64>, interval: Option<[f64; 2]>) -> LedgerEntry {
        LedgerEntry {
            claim: "a".into(),
            subject: "Model".into(),
            definition: Some(cruxscope_study::Definition::Paper),
            verdict: LedgerVerdict::Holds,
            statistic: "rank".into(),
            number,
            interval,
            bound: "at most 3".into(),
            n: Some(48),
            units: "traces".into(),
            why: String::new(),
            command: String::new(),
            seen: Default::default(),
        }
    }

    #[test]
    fn numbers_have_the_digits_that_help() {
        assert_eq!(number(&entry(Some(2.0), Some([1.0, 4.0]))), "2 [1, 4]");
        assert_eq!(number(&entry(Some(0.5), Some([0.25, 1.0]))), "0.50 [0.25, 1.00]");
        assert_eq!(number(&entry(None, None)), "-");
        assert_eq!(finding(&entry(Some(2.0), None)), "rank = 2, at most 3; 48 traces");
        assert_eq!(subject(&entry(None, None)), "Model (paper)");
    }

    #[test]
    fn claims_are_counted_by_what_is_said_of_them() {
        let claim = |id: &str| LedgerClaim {
            id: id.into(),
            ..LedgerClaim::default()
        };
        let ledger = Ledger {
            claims: vec![claim("a"), claim("b")],
            entries: vec![entry(Some(1.0), None), entry(Some(2.0), None)],
            ..Ledger::default()
        };
        assert_eq!(rows(&ledger)[0].entries.len(), 2);
        assert_eq!(counted(&ledger), "holds 2, fails 0, cannot be told 0");
        assert!(headline(&ledger).starts_with("Of 2 claims 1 hold"));
    }
}
