//! Values that are kept for long and read seldom.

use std::{borrow::Cow, fmt, sync::Arc};

use lz4_flex::block::{compress_with_dict, decompress_with_dict};
use serde_json::Value;

/// A value as its JSON text, compressed: a twentieth of what the tree of it takes. Of 100,000
/// routes most are never looked at as a whole. A clone shares it.
#[derive(Clone)]
pub struct Packed {
    /// LZ4, with [`DICTIONARY`] before it; or the text itself where that is shorter.
    bytes: Arc<[u8]>,
    /// Bytes of the text.
    len: u32,
}

/// What objects have in common, the most frequent last.
const DICTIONARY: &[u8] = concat!(
    r#""$remote_addr","key_type":"var","rejected_code":503,"show_limit_quota_header":true,"poli"#,
    r#"cy":"local","count":100,"time_window":60,"allow_degradation":false,"_meta":{"disable":fa"#,
    r#"lse},"limit-count":{"key-auth":{"header":"apikey","query":"apikey","hide_credentials":fa"#,
    r#"lse},"prometheus":{"prefer_name":false},"desc":"","labels":{"vars":[["arg_","=="],"check"#,
    r#"s":{"active":{"type":"http","http_path":"/","healthy":{"interval":1,"successes":2},"unhe"#,
    r#"althy":{"interval":1,"http_failures":5}},"passive":{"tls":{"client_cert":"-----BEGIN CER"#,
    r#"TIFICATE-----\\nMII","client_key":"-----BEGIN PRIVATE KEY-----\\nMII","retries":1,"timeo"#,
    r#"ut":{"connect":60,"send":60,"read":60},"enable_websocket":true,"filter_func":"function(v"#,
    r#"ars) return true end","remote_addrs":["10.0.0.0/8"],"username":"","group_id":"","plugin_"#,
    r#"config_id":"1","service_id":"1","upstream_id":"1","hosts":["www.example.com","methods":["#,
    r#""GET","POST","PUT","DELETE","PATCH","HEAD","OPTIONS"],"name":"","host":"","uris":["/api/"#,
    r#"v1/","uri":"/*","plugins":{},"upstream":{"type":"roundrobin","nodes":[{"host":"127.0.0.1"#,
    r#"","port":80,"weight":1,"priority":0},{"host":"10.0.0.1","port":8080,"weight":1,"priority"#,
    r#"":0}],"hash_on":"vars","scheme":"http","pass_host":"pass"},"create_time":17,"update_time"#,
    r#"":17,"priority":0,"status":1,"id":""#,
)
.as_bytes();

impl Packed {
    /// Packs `value`.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let text = value.to_string();
        // No document is as long.
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let packed = compress_with_dict(text.as_bytes(), DICTIONARY);
        let bytes =
            if packed.len() < text.len() { packed.into() } else { text.into_bytes().into() };
        Self { bytes, len }
    }

    /// The value; made anew by each call.
    #[must_use]
    pub fn value(&self) -> Value {
        // The text was made of a value, and no value is as deep as the bound of documents; it
        // reads as it was written.
        serde_json::from_slice(&self.text()).unwrap_or_default()
    }

    /// The JSON text.
    fn text(&self) -> Cow<'_, [u8]> {
        let len = self.len as usize;
        if self.bytes.len() >= len {
            return Cow::Borrowed(&self.bytes);
        }
        // It was compressed above.
        Cow::Owned(decompress_with_dict(&self.bytes, len, DICTIONARY).unwrap_or_default())
    }

    /// Whether this is `value`, whatever the order of its keys.
    #[must_use]
    pub fn is(&self, value: &Value) -> bool {
        self.value() == *value
    }

    /// Whether both are one in memory.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes || self.value() == other.value()
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
        assert_eq!(format!("{:?}", Packed::of(&one)), r#"{"b":1,"a":2}"#);
        assert_eq!(Packed::of(&one), Packed::of(&two));
        assert_ne!(Packed::of(&one), Packed::of(&json!({"a": 2})));
    }

    #[test]
    fn a_usual_route_takes_a_third_of_its_text() {
        let route = json!({
            "uri": "/orders/*", "plugins": {"echo": {"body": "x"}}, "upstream": {
                "type": "roundrobin", "hash_on": "vars", "scheme": "http", "pass_host": "pass",
                "nodes": [{"host": "10.1.2.3", "port": 8080, "weight": 1, "priority": 0}]},
            "create_time": 1795000000, "update_time": 1795000000, "priority": 0, "status": 1,
            "id": "orders"});
        let packed = Packed::of(&route);
        assert!(packed.bytes.len() * 3 < packed.len as usize, "{}", packed.bytes.len());
        assert!(packed.same(&packed.clone()) && !packed.same(&Packed::of(&route)));
    }
}
