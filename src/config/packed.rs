//! Values that are kept for long and read seldom.

use std::{fmt, sync::Arc};

use serde_json::Value;

/// A value as its JSON text: a tenth of what the tree of it takes. Of 100,000 routes most are
/// never looked at as a whole. A clone shares the text.
#[derive(Clone)]
pub struct Packed(Arc<str>);

impl Packed {
    /// Packs `value`.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// The value; made anew by each call.
    #[must_use]
    pub fn value(&self) -> Value {
        // The text was made of a value, and no value is as deep as the bound of documents; it
        // reads as it was written.
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether this is `value`, whatever the order of its keys.
    #[must_use]
    pub fn is(&self, value: &Value) -> bool {
        self.value() == *value
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.value() == other.value()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn comes_out_as_it_went_in(value in values()) {
            let packed = Packed::of(&value);
            prop_assert_eq!(packed.value(), value.clone());
            prop_assert!(packed.is(&value));
        }
    }

    #[test]
    fn the_order_of_keys_is_kept_and_does_not_matter() {
        let (one, two) = (json!({"b": 1, "a": 2}), json!({"a": 2, "b": 1}));
        assert_eq!(Packed::of(&one).text(), r#"{"b":1,"a":2}"#);
        assert_eq!(Packed::of(&one), Packed::of(&two));
        assert_ne!(Packed::of(&one), Packed::of(&json!({"a": 2})));
    }
}
