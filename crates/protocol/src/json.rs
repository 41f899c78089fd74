//! JSON text to an object, strictly: one object, no repeated member name at any depth (section 1).
//! `serde_json` alone keeps the last of two members with one name, so two readers could see two different messages.

pub(crate) mod plain;

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON object in the order-free form that `serde_json` uses.
pub type Object = Map<String, Value>;

/// Why a text is no message.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, more than one value, nested deeper than 128 levels, or a repeated member name.
    #[error("not a JSON object: {0}")]
    Invalid(#[from] serde_json::Error),
    /// JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
}

/// Reads one JSON object.
///
/// # Errors
/// Everything that is not exactly one object with distinct member names. Never panics; depth is bounded by `serde_json`.
pub fn parse_object(text: &str) -> Result<Object, JsonError> {
    match serde_json::from_str::<Strict>(text)?.0 {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError::NotAnObject)
        }
    }
}

/// A value whose objects have distinct member names.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = sequence.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if object.contains_key(&name) {
                return Err(de::Error::custom("a repeated member name"));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_whole() {
        let text = r#"{"a":[1,-2,3.5,"x",null,true],"b":{"c":{}}}"#;
        assert_eq!(Value::Object(parse_object(text).unwrap()), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn what_is_not_exactly_one_object_with_distinct_names_is_refused() {
        for text in [
            "",
            "[]",
            "7",
            "null",
            "{} {}",
            "{",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
        ] {
            assert!(parse_object(text).is_err(), "{text}");
        }
        assert!(parse_object(&"{\"a\":".repeat(100_000)).is_err(), "depth is bounded");
    }

    #[test]
    fn a_hundred_thousand_members_are_read_and_the_last_may_not_be_the_first_again() {
        let members: Vec<String> = (0..100_000).map(|number| format!("\"{number}\":0")).collect();
        let members = members.join(",");
        assert_eq!(parse_object(&format!("{{{members}}}")).unwrap().len(), 100_000);
        assert!(parse_object(&format!("{{{members},\"0\":0}}")).is_err());
    }

    #[test]
    fn half_a_character_and_a_bare_control_character_are_refused_and_an_escaped_one_is_read() {
        for text in [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00\ud800"}"#, r#"{"\ud800":0}"#, "{\"a\":\"\0\"}"] {
            assert!(parse_object(text).is_err(), "{text}");
        }
        assert_eq!(parse_object(r#"{"\u0000":"\ud83d\ude00"}"#).unwrap()["\0"], "\u{1f600}");
    }
}
