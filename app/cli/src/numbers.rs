//! Numbers on the command line, within bounds that a machine can follow: what lies outside is refused where it is read, in a sentence,
//! rather than found out hours later by memory or arithmetic.

/// Most threads of a process.
pub const MOST_THREADS: u64 = 1024;
/// Most of anything that is counted, where nothing else bounds it.
pub const MOST: u64 = 1_000_000_000;
/// Most tokens of a sequence: beyond the longest context of any model.
pub const MOST_TOKENS: u64 = 100_000_000;

/// A whole number from `least` to `most`.
pub fn whole<T: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        let fits = number.and_then(|number| T::try_from(number).ok());
        fits.ok_or_else(|| format!("it must be a whole number from {least} to {most}"))
    }
}

/// A finite number from `least` to `most`.
pub fn number(least: f64, most: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("it must be a number from {least} to {most}"))
    }
}

/// A share above 0, and `most` at the most.
pub fn share(most: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| *number > 0.0 && *number <= most);
        number.ok_or_else(|| format!("it must be a number above 0, and {most} at the most"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_what_lies_outside_is_told_in_a_sentence() {
        let count = whole::<u8>(1, 300);
        assert_eq!((count("1"), count("255")), (Ok(1), Ok(255)));
        for bad in ["0", "256", "301", "-1", "4e9", "1.0", "", "99999999999999999999"] {
            assert_eq!(count(bad).unwrap_err(), "it must be a whole number from 1 to 300", "{bad}");
        }
        let temperature = number(0.0, 100.0);
        assert_eq!(temperature("0.6"), Ok(0.6));
        for bad in ["-0.1", "nan", "inf", "1e300", "warm"] {
            assert!(temperature(bad).is_err(), "{bad}");
        }
        let nucleus = share(1.0);
        assert_eq!(nucleus("1"), Ok(1.0));
        for bad in ["0", "1.01", "nan"] {
            assert!(nucleus(bad).is_err(), "{bad}");
        }
    }

    /// Every flag that takes a number says what is wrong with one that no machine could follow.
    #[test]
    fn no_numeric_flag_takes_what_no_machine_can_follow() {
        use clap::CommandFactory as _;
        fn walk(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            for argument in command.get_arguments() {
                let Some(flag) = argument.get_long() else { continue };
                let takes = |text: &str| {
                    let alone = clap::Arg::new("it").long("it").action(argument.get_action().clone());
                    let alone = alone.value_parser(argument.get_value_parser().clone());
                    let command = clap::Command::new("alone").no_binary_name(true).arg(alone);
                    command.try_get_matches_from([format!("--it={text}")]).is_ok()
                };
                // Flags that take a number and no words.
                let is_number = takes("1") && !takes("a word") && argument.get_action().takes_values();
                if is_number && !SEEDS.contains(&flag) && (takes("99999999999999") || takes("1e300") || takes("nan")) {
                    found.push(format!("{path} --{flag}"));
                }
            }
            for command in command.get_subcommands() {
                walk(command, &format!("{path} {}", command.get_name()), found);
            }
        }
        /// Any number is a seed; a group of columns has a check of its own, which knows the matrices.
        const SEEDS: [&str; 3] = ["seed", "draw-windows", "group-size"];
        let mut found = Vec::new();
        let mut command = crate::command::Arguments::command();
        command.build();
        walk(&command, "cruxscope", &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }
}
