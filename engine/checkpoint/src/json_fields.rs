//! Fields of `config.json`: present, of the right kind, or an error that names them. A null counts as absent.

use serde_json::Value;

/// A field that says something.
pub(crate) fn present<'a>(json: &'a Value, key: &str) -> Option<&'a Value> {
    json.get(key).filter(|value| !value.is_null())
}

/// A whole number, if it is there.
pub(crate) fn optional_size(json: &Value, key: &str) -> Result<Option<usize>, String> {
    let Some(value) = present(json, key) else { return Ok(None) };
    let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
    size.map(Some).ok_or_else(|| format!("{key} is {value}, not a whole number"))
}

/// A whole number that must be there.
pub(crate) fn size(json: &Value, key: &str) -> Result<usize, String> {
    optional_size(json, key)?.ok_or_else(|| format!("{key} is missing"))
}

/// A whole number with its default: a null is a choice of its own here.
pub(crate) fn size_or(json: &Value, key: &str, default: Option<usize>) -> Result<Option<usize>, String> {
    if json.get(key).is_none() { Ok(default) } else { optional_size(json, key) }
}

/// A number, if it is there.
pub(crate) fn number(json: &Value, key: &str) -> Result<Option<f64>, String> {
    let Some(value) = present(json, key) else { return Ok(None) };
    value.as_f64().map(Some).ok_or_else(|| format!("{key} is {value}, not a number"))
}

/// A number with its default: a null is a choice of its own here.
pub(crate) fn number_or(json: &Value, key: &str, default: Option<f64>) -> Result<Option<f64>, String> {
    if json.get(key).is_none() { Ok(default) } else { number(json, key) }
}

/// A list of numbers that must be there.
pub(crate) fn numbers(json: &Value, key: &str) -> Result<Vec<f64>, String> {
    let list = present(json, key)
        .and_then(Value::as_array)
        .ok_or_else(|| format!("{key} is missing, or no list"))?;
    let values: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
    values.ok_or_else(|| format!("{key} holds something that is not a number"))
}

/// A flag with its default.
pub(crate) fn flag_or(json: &Value, key: &str, default: bool) -> Result<bool, String> {
    let Some(value) = present(json, key) else { return Ok(default) };
    value.as_bool().ok_or_else(|| format!("{key} is {value}, not true or false"))
}

/// A flag that is off unless it says otherwise.
pub(crate) fn flag(json: &Value, key: &str) -> Result<bool, String> {
    flag_or(json, key, false)
}
