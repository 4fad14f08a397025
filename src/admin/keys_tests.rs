//! Keys, roles, addresses, and how often somebody may be wrong.

use super::*;
use serde_json::json;

fn keys() -> Keys {
    let list = json!([
        {"name": "a", "key": "one", "role": "admin"},
        {"name": "v", "key": "two", "role": "viewer"},
        {"name": "n", "key": 123, "role": "admin"},
    ]);
    Keys::read(Some(&list)).unwrap()
}

#[test]
fn a_key_allows_what_its_role_says() {
    let keys = keys();
    assert_eq!(keys.check(Some("one"), &Method::PUT), Ok("a"));
    assert_eq!(keys.check(Some("two"), &Method::GET), Ok("v"));
    assert_eq!(keys.check(Some("123"), &Method::DELETE), Ok("n"));
    assert_eq!(keys.check(Some("two"), &Method::PUT), Err(Refusal::Viewer));
    assert_eq!(keys.check(Some("three"), &Method::GET), Err(Refusal::Wrong));
    assert_eq!(keys.check(Some(""), &Method::GET), Err(Refusal::Wrong));
    assert_eq!(keys.check(None, &Method::GET), Err(Refusal::Missing));
}

#[test]
fn a_key_comes_as_argument_field_or_cookie() {
    let fields = |pairs: &[(&'static str, &str)]| {
        let pair = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect::<HeaderMap>()
    };
    let none = Query::read("");
    let found = |query: &str, pairs: &[(&'static str, &str)]| {
        presented(&Query::read(query), &fields(pairs))
    };
    assert_eq!(presented(&none, &HeaderMap::new()), None);
    assert_eq!(found("api_key=q", &[("x-api-key", "h")]).as_deref(), Some("q"));
    assert_eq!(found("", &[("x-api-key", "h"), ("cookie", "x_api_key=c")]).as_deref(), Some("h"));
    assert_eq!(found("", &[("cookie", "a=b; x_api_key=c; d")]).as_deref(), Some("c"));
    assert_eq!(found("", &[("cookie", "xx_api_key=c")]), None);
}

#[test]
fn a_client_that_is_wrong_too_often_waits() {
    let guard = Guard::new();
    let one: IpAddr = "192.0.2.1".parse().unwrap();
    let other: IpAddr = "192.0.2.2".parse().unwrap();
    for _ in 0..WRONG_BURST - 1 {
        guard.wrong(one);
    }
    assert!(!guard.must_wait(one));
    // However slow this machine is: many more than can leak meanwhile.
    for _ in 0..WRONG_BURST {
        guard.wrong(one);
    }
    assert!(guard.must_wait(one));
    assert!(guard.must_wait("::ffff:192.0.2.1".parse().unwrap()), "the same client");
    assert!(!guard.must_wait(other));
}

#[test]
fn a_bucket_leaks_with_time() {
    let now = clock::now();
    let later = |seconds: u64| now + Duration::from_millis(seconds * 1000 + 500);
    assert_eq!(leaked((20, now), later(0)), (20, now));
    assert_eq!(leaked((20, now), later(1)), (19, now + WRONG_EVERY));
    assert_eq!(leaked((20, now), later(19)).0, 1);
    assert_eq!(leaked((20, now), later(20)), (0, later(20)));
    assert_eq!(leaked((20, later(5)), now), (20, later(5)), "time does not go back");
}

#[test]
fn few_addresses_are_remembered_and_the_worst_of_them_last() {
    let guard = Guard::new();
    let bad: IpAddr = "192.0.2.1".parse().unwrap();
    for _ in 0..2 * WRONG_BURST {
        guard.wrong(bad);
    }
    for n in 0..20_000_u32 {
        guard.wrong(IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
    }
    let known = guard.0.lock().unwrap();
    assert!(known.len() <= ADDRESSES_MAX);
    assert!(known.contains_key(&bad));
}

#[test]
fn an_ipv6_network_is_one_client() {
    let at = |text: &str| bucket(text.parse().unwrap());
    assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff::2"));
    assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
}

#[test]
fn networks_hold_their_addresses() {
    let holds =
        |net: &str, address: &str| Network::read(net).unwrap().contains(address.parse().unwrap());
    assert!(holds("0.0.0.0/0", "203.0.113.9"));
    assert!(holds("::/0", "2001:db8::1"));
    assert!(!holds("0.0.0.0/0", "2001:db8::1"));
    assert!(holds("10.1.0.0/15", "10.0.255.255"));
    assert!(!holds("10.1.0.0/16", "10.0.255.255"));
    for bad in ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8/8"] {
        assert_eq!(Network::read(bad), None, "{bad}");
    }
}
