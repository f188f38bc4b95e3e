//! GPTQModel: a base configuration and `dynamic`, whose keys are regular expressions matched from the beginning of a module's name;
//! `-:` in front leaves a module as it is. The first key that matches counts, and no two of ours match one name.

use serde_json::{Map, json};

use super::{Integer, Integers, by_format, pattern, pretty};

fn settings(format: Integer) -> serde_json::Value {
    json!({
        "bits": format.bits,
        "group_size": format.group.map_or(-1, |group| group as i64),
        "sym": format.symmetric,
    })
}

pub(super) fn write(integers: &Integers) -> Result<String, String> {
    let formats = by_format(integers);
    if let Some((Some(format), components)) = formats
        .iter()
        .find(|(format, _)| format.is_some_and(|format| !matches!(format.bits, 2 | 3 | 4 | 8)))
    {
        return Err(format!("{} has {} bits, and GPTQModel packs 2, 3, 4 or 8", components[0], format.bits));
    }
    let base = formats.iter().find_map(|(format, _)| *format).ok_or("it leaves every matrix as it is")?;
    let mut dynamic = Map::new();
    for (format, components) in &formats {
        for pattern in pattern(components) {
            match format {
                Some(format) if *format == base => {}
                Some(format) => {
                    dynamic.insert(format!("+:^{pattern}$"), settings(*format));
                }
                None => {
                    dynamic.insert(format!("-:^{pattern}$"), json!({}));
                }
            }
        }
    }
    let mut config = settings(base);
    config["dynamic"] = dynamic.into();
    pretty(&config)
}
