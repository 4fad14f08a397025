//! Signatures that somebody made to get past us.

use super::{super::Reason, Lines, Scheme, lines, read, request};

#[track_caller]
fn check(scheme: Scheme, fields: &[(&str, &str)], reason: Reason) {
    let mut all: Lines<'_> = lines(&[("Host", "h")]);
    all.extend(lines(fields));
    let refused = read(scheme, &request("GET", "h", "/a?b=c", &all)).unwrap_err();
    assert_eq!(refused.reason, reason, "{refused}");
}

fn signed(input: &str) -> [(&str, &str); 2] {
    [("Signature-Input", input), ("Signature", "a=:AAAA:")]
}

#[test]
fn parts_of_rfc_9421_that_mean_two_things() {
    use Reason::{Ambiguous, Malformed, Missing, Unsupported};
    for (input, reason) in [
        ("a=();created=1;keyid=\"k\", a=();created=2;keyid=\"k\"", Malformed),
        ("a=();created=1;created=2;keyid=\"k\"", Malformed),
        ("a=(\"host\" \"host\");keyid=\"k\"", Malformed),
        ("a=(\"Host\");keyid=\"k\"", Malformed),
        ("a=(host);keyid=\"k\"", Malformed),
        ("a=(\"host\";foo);keyid=\"k\"", Unsupported),
        ("a=(\"host\";tr);keyid=\"k\"", Unsupported),
        ("a=(\"host\";req);keyid=\"k\"", Malformed),
        ("a=(\"@status\");keyid=\"k\"", Malformed),
        ("a=(\"@unknown\");keyid=\"k\"", Unsupported),
        ("a=(\"@query-param\");keyid=\"k\"", Malformed),
        ("a=(\"@query-param\";name=\"x\");keyid=\"k\"", Missing),
        ("a=(\"@signature-params\");keyid=\"k\"", Unsupported),
        ("a=(\"x-none\");keyid=\"k\"", Missing),
        ("a=(\"host\" \"host\";sf;bs);keyid=\"k\"", Malformed),
        ("a=();keyid=\"k\";created=1.5", Malformed),
        ("a=();keyid=\"k\";alg=\"none\"", Unsupported),
        ("a=();keyid=\"k\";alg=\"hmac-sha1\"", Unsupported),
        ("a=();keyid=k", Malformed),
        ("a=();created=1", Missing),
        ("a=1", Malformed),
        ("a=();keyid=\"k\", b=();keyid=\"k\"", Ambiguous),
        ("b=();keyid=\"k\"", Missing),
        ("", Missing),
        ("a=(;keyid=\"k\"", Malformed),
    ] {
        check(Scheme::Rfc9421, &signed(input), reason);
    }
    let digest = [("Content-Digest", "md5=:AAAA:")];
    let fields = [&signed("a=(\"content-digest\");keyid=\"k\"")[..], &digest].concat();
    check(Scheme::Rfc9421, &fields, Malformed);
    let digest = [("Content-Digest", "sha-256=:AAAA:")];
    let fields = [&signed("a=(\"content-digest\");keyid=\"k\"")[..], &digest].concat();
    check(Scheme::Rfc9421, &fields, Malformed);
}

const CREDENTIAL: &str = "Credential=k/20231114/r/s/aws4_request";
const SIGNATURE: &str =
    "Signature=0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn parts_of_aws_that_mean_two_things() {
    use Reason::{Ambiguous, Malformed, Missing, Unsupported};
    let date = ("X-Amz-Date", "20231114T221320Z");
    let names = "SignedHeaders=host;x-amz-date";
    for (parts, reason) in [
        (format!("AWS4-HMAC-SHA256 {CREDENTIAL}, {names}, {names}, {SIGNATURE}"), Malformed),
        (format!("AWS4-HMAC-SHA256 {CREDENTIAL}, {names}, {SIGNATURE}, X=y"), Malformed),
        (format!("AWS4-HMAC-SHA256 {CREDENTIAL}, {names}"), Malformed),
        (format!("AWS4-HMAC-SHA256 {CREDENTIAL}, {names}, Signature=00"), Malformed),
        (
            format!("AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=x-amz-date, {SIGNATURE}"),
            Malformed,
        ),
        (
            format!("AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=x-amz-date;host, {SIGNATURE}"),
            Malformed,
        ),
        (format!("AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=host;host, {SIGNATURE}"), Malformed),
        (format!("AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=Host, {SIGNATURE}"), Malformed),
        (format!("AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=host, {SIGNATURE}"), Malformed),
        (
            format!(
                "AWS4-HMAC-SHA256 Credential=k/20231113/r/s/aws4_request, {names}, {SIGNATURE}"
            ),
            Malformed,
        ),
        (
            format!("AWS4-HMAC-SHA256 Credential=k/20231114/r/s/other, {names}, {SIGNATURE}"),
            Malformed,
        ),
        (format!("AWS4-HMAC-SHA512 {CREDENTIAL}, {names}, {SIGNATURE}"), Unsupported),
        ("Basic abc".to_owned(), Missing),
    ] {
        check(Scheme::SigV4, &[date, ("Authorization", &parts)], reason);
    }
    let good = format!("AWS4-HMAC-SHA256 {CREDENTIAL}, {names}, {SIGNATURE}");
    let good = ("Authorization", &*good);
    check(Scheme::SigV4, &[good], Missing);
    check(Scheme::SigV4, &[good, ("X-Amz-Date", "20231332T221320Z")], Malformed);
    check(Scheme::SigV4, &[date, date, good], Ambiguous);
    check(Scheme::SigV4, &[date, good, ("X-Amz-Extra", "1")], Malformed);
}

#[test]
fn parts_of_the_others_that_mean_two_things() {
    use Reason::{Ambiguous, Malformed, Missing, Unsupported};
    let credential = "Credential=k/2023-11-14/s/tc3_request";
    let names = "SignedHeaders=content-type;host";
    let stamp = ("X-TC-Timestamp", "1700000000");
    let kind = ("Content-Type", "a/b");
    let good = format!("TC3-HMAC-SHA256 {credential}, {names}, {SIGNATURE}");
    check(Scheme::Tc3, &[kind, ("Authorization", &good)], Missing);
    check(Scheme::Tc3, &[stamp, ("Authorization", &good)], Missing);
    check(Scheme::Tc3, &[kind, stamp, stamp, ("Authorization", &good)], Ambiguous);
    check(
        Scheme::Tc3,
        &[kind, ("X-TC-Timestamp", "1700086400"), ("Authorization", &good)],
        Malformed,
    );
    let less = format!("TC3-HMAC-SHA256 {credential}, SignedHeaders=host, {SIGNATURE}");
    check(Scheme::Tc3, &[kind, stamp, ("Authorization", &less)], Malformed);

    for (text, reason) in [
        ("Signature keyId=\"k\",keyId=\"k\",algorithm=\"hmac-sha1\",signature=\"AA==\"", Ambiguous),
        ("Signature keyId=\"k\",algorithm=\"none\",signature=\"AA==\"", Unsupported),
        ("Signature keyId=\"k\",algorithm=\"ed25519\",signature=\"AA==\"", Unsupported),
        ("Signature keyId=\"k\",signature=\"AA==\"", Malformed),
        ("Signature keyId=\"k\",algorithm=\"hmac-sha1\",signature=\"!\"", Malformed),
        ("Signature keyId=k", Malformed),
        ("Basic abc", Missing),
    ] {
        check(Scheme::HmacAuth, &[("Authorization", text)], reason);
    }
}

#[test]
fn nothing_ends_a_line_early() {
    let cut: Lines<'_> = lines(&[("Host", "h"), ("X", "a\nb: c")]);
    assert!(read(Scheme::HmacAuth, &request("GET", "h", "/", &cut)).is_err());
    let good: Lines<'_> = lines(&[("Host", "h")]);
    for (method, target) in
        [("G T", "/"), ("GET\n", "/"), ("GET", "/ "), ("GET", "/#a"), ("GET", "")]
    {
        let refused = read(Scheme::HmacAuth, &request(method, "h", target, &good)).unwrap_err();
        assert_eq!(refused.reason, Reason::Malformed, "{method} {target}");
    }
}
