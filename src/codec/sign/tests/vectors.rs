//! Published vectors: RFC 9421 appendix B, RFC 9530, AWS, Tencent Cloud, and APISIX's own form.

use super::{
    super::{Algorithm, Bound, Digest, digest, text},
    Key, Lines, Message, Scheme, Select, claim, lines, read, request, secret,
};

const RSA_PSS: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----
";
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----";
const ED25519: &str = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const SHARED: &[u8] =
    b"uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
const BODY_SHA512: &str =
    "WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==";
const DATE: &str = "Tue, 20 Apr 2021 02:07:55 GMT";

fn rsa() -> Key {
    Key::public(Algorithm::RsaPssSha512, RSA_PSS).unwrap()
}

fn p256() -> Key {
    Key::public(Algorithm::EcdsaP256Sha256, P256).unwrap()
}

fn ed25519() -> Key {
    Key::public(Algorithm::Ed25519, ED25519).unwrap()
}

fn shared() -> Key {
    Key::secret(Algorithm::HmacSha256, &text::unbase64(SHARED).unwrap()).unwrap()
}

/// The request of appendix B.2, with one signature.
#[track_caller]
fn check_b2(input: &str, signature: &str, key: &Key, base: &str) {
    let digest = format!("sha-512=:{BODY_SHA512}:");
    let fields = lines(&[
        ("Host", "example.com"),
        ("Date", DATE),
        ("Content-Type", "application/json"),
        ("Content-Digest", &digest),
        ("Content-Length", "18"),
        ("Signature-Input", input),
        ("Signature", signature),
    ]);
    let message = request("POST", "example.com", "/foo?param=Value&Pet=dog", &fields);
    check(&message, key, base);
}

#[track_caller]
fn check(message: &Message<'_>, key: &Key, base: &str) {
    let claim = read(Scheme::Rfc9421, message).unwrap();
    assert_eq!(String::from_utf8_lossy(claim.canonical()), base);
    assert!(claim.verify(key, None), "{base}");
    assert_eq!(claim.timestamp, Some(1_618_884_473));
    let mut wrong = claim;
    wrong.signature[3] ^= 1;
    assert!(!wrong.verify(key, None));
}

#[test]
fn rfc_9421_b_2_1_minimal_with_rsa_pss() {
    check_b2(
        "sig-b21=();created=1618884473;keyid=\"test-key-rsa-pss\";nonce=\"b3k2pp5k7z-50gnwp.yemd\"",
        "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:",
        &rsa(),
        "\"@signature-params\": ();created=1618884473;keyid=\"test-key-rsa-pss\";nonce=\"b3k2pp5k7z-50gnwp.yemd\"",
    );
}

#[test]
fn rfc_9421_b_2_2_selective_with_rsa_pss() {
    check_b2(
        "sig-b22=(\"@authority\" \"content-digest\" \"@query-param\";name=\"Pet\");created=1618884473;keyid=\"test-key-rsa-pss\";tag=\"header-example\"",
        "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
        &rsa(),
        &format!(
            "\"@authority\": example.com\n\"content-digest\": sha-512=:{BODY_SHA512}:\n\"@query-param\";name=\"Pet\": dog\n\"@signature-params\": (\"@authority\" \"content-digest\" \"@query-param\";name=\"Pet\");created=1618884473;keyid=\"test-key-rsa-pss\";tag=\"header-example\""
        ),
    );
}

#[test]
fn rfc_9421_b_2_3_full_with_rsa_pss() {
    let input = "(\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-rsa-pss\"";
    check_b2(
        &format!("sig-b23={input}"),
        "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
        &rsa(),
        &format!(
            "\"date\": {DATE}\n\"@method\": POST\n\"@path\": /foo\n\"@query\": ?param=Value&Pet=dog\n\"@authority\": example.com\n\"content-type\": application/json\n\"content-digest\": sha-512=:{BODY_SHA512}:\n\"content-length\": 18\n\"@signature-params\": {input}"
        ),
    );
}

#[test]
fn rfc_9421_b_2_4_response_with_p256() {
    let input = "(\"@status\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"";
    let digest = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:";
    let label = format!("sig-b24={input}");
    let fields = lines(&[
        ("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", digest),
        ("Content-Length", "23"),
        ("Signature-Input", &label),
        (
            "Signature",
            "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
        ),
    ]);
    let message = Message { status: Some(200), ..request("", "", "", &fields) };
    check(
        &message,
        &p256(),
        &format!(
            "\"@status\": 200\n\"content-type\": application/json\n\"content-digest\": {digest}\n\"content-length\": 23\n\"@signature-params\": {input}"
        ),
    );
}

#[test]
fn rfc_9421_b_2_5_with_a_shared_secret() {
    check_b2(
        "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
        "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
        &shared(),
        &format!(
            "\"date\": {DATE}\n\"@authority\": example.com\n\"content-type\": application/json\n\"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
        ),
    );
}

#[test]
fn rfc_9421_b_2_6_with_ed25519() {
    let input = "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
    check_b2(
        &format!("sig-b26={input}"),
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
        &ed25519(),
        &format!(
            "\"date\": {DATE}\n\"@method\": POST\n\"@path\": /foo\n\"@authority\": example.com\n\"content-type\": application/json\n\"content-length\": 18\n\"@signature-params\": {input}"
        ),
    );
}

#[test]
fn rfc_9421_b_3_behind_a_proxy_that_ends_tls() {
    let input = "(\"@path\" \"@query\" \"@method\" \"@authority\" \"client-cert\");created=1618884473;keyid=\"test-key-ecc-p256\"";
    let cert = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:";
    let label = format!("ttrp={input}");
    let fields = lines(&[
        ("Host", "service.internal.example"),
        ("Client-Cert", cert),
        ("Signature-Input", &label),
        (
            "Signature",
            "ttrp=:xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==:",
        ),
    ]);
    let message = request("POST", "service.internal.example", "/foo?param=Value&Pet=dog", &fields);
    check(
        &message,
        &p256(),
        &format!(
            "\"@path\": /foo\n\"@query\": ?param=Value&Pet=dog\n\"@method\": POST\n\"@authority\": service.internal.example\n\"client-cert\": {cert}\n\"@signature-params\": {input}"
        ),
    );
}

#[test]
fn rfc_9421_b_4_messages_on_their_way() {
    let holds = |method, host, target, extra: &[(&str, &str)]| {
        let mut fields: Lines<'_> = lines(extra);
        fields.extend(lines(&[
            ("Signature-Input", "transform=(\"@method\" \"@path\" \"@authority\" \"accept\");created=1618884473;keyid=\"test-key-ed25519\""),
            ("Signature", "transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:"),
        ]));
        read(Scheme::Rfc9421, &request(method, host, target, &fields))
            .unwrap()
            .verify(&ed25519(), None)
    };
    let target = "/demo?name1=Value1&Name2=value2";
    let two = [("Accept", "application/json"), ("Accept", "*/*")];
    assert!(holds("GET", "example.org", target, &two));
    assert!(holds("GET", "example.org", "/demo?name1=Value1&Name2=value2&param=added", &two));
    assert!(holds("GET", "example.org", target, &[("Accept", "application/json, */*")]));
    assert!(holds("GET", "EXAMPLE.org:443", target, &[("X", "y"), two[0], two[1]]));
    assert!(!holds("POST", "example.org", target, &two));
    assert!(!holds("GET", "example.com", target, &two));
    assert!(!holds("GET", "example.org", target, &[two[1], two[0]]));
}

#[test]
fn rfc_9530_digests() {
    let sum = |text: &[u8]| text::base64(&digest::sha256(text));
    assert_eq!(sum(b"{\"hello\": \"world\"}\n"), "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=");
    assert_eq!(sum(b"{\"hello\": \"world\"}"), "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=");
    assert_eq!(sum(b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    assert_eq!(text::base64(&digest::sha512(b"{\"hello\": \"world\"}")), BODY_SHA512);
}

const AWS_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[track_caller]
fn check_aws(method: &str, target: &str, signature: &str) {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={signature}"
    );
    let fields = lines(&[
        ("Host", "example.amazonaws.com"),
        ("X-Amz-Date", "20150830T123600Z"),
        ("Authorization", &authorization),
    ]);
    let message = request(method, "example.amazonaws.com", target, &fields);
    let claim = read(Scheme::SigV4, &message).unwrap();
    assert_eq!((&*claim.key_id, claim.timestamp), ("AKIDEXAMPLE", Some(1_440_938_160)));
    assert!(claim.needs_body() && claim.verify(&secret(AWS_SECRET), Some(&digest::sha256(b""))));
    assert!(!claim.verify(&secret(AWS_SECRET), Some(&digest::sha256(b"x"))));
    assert!(!claim.verify(&secret(AWS_SECRET), None));
}

#[test]
fn the_test_suite_of_aws() {
    check_aws("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    check_aws("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    let ordered = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
    check_aws("GET", "/?Param2=value2&Param1=value1", ordered);
    check_aws("GET", "/?Param1=value1&Param2=value2", ordered);
}

#[test]
fn the_iam_example_of_aws() {
    let fields = lines(&[
        ("Host", "iam.amazonaws.com"),
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("X-Amz-Date", "20150830T123600Z"),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ]);
    let target = "/?Action=ListUsers&Version=2010-05-08";
    let claim = read(Scheme::SigV4, &request("GET", "iam.amazonaws.com", target, &fields)).unwrap();
    assert!(claim.verify(&secret(AWS_SECRET), Some(&digest::sha256(b""))));
}

#[test]
fn the_s3_example_of_aws() {
    let empty = text::hex(&digest::sha256(b""));
    let fields = lines(&[
        ("Host", "examplebucket.s3.amazonaws.com"),
        ("Range", "bytes=0-9"),
        ("x-amz-content-sha256", &empty),
        ("x-amz-date", "20130524T000000Z"),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
    ]);
    let host = "examplebucket.s3.amazonaws.com";
    let claim = read(Scheme::SigV4, &request("GET", host, "/test.txt", &fields)).unwrap();
    assert!(claim.verify(&secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), None));
    assert_eq!(claim.body, Bound::Digests(vec![Digest::Sha256(digest::sha256(b""))]));
}

#[test]
fn the_query_example_of_aws() {
    // "Authenticating requests: using query parameters" of the S3 documentation.
    let fields = lines(&[("Host", "examplebucket.s3.amazonaws.com")]);
    let target = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let claim =
        read(Scheme::SigV4, &request("GET", "examplebucket.s3.amazonaws.com", target, &fields))
            .unwrap();
    assert!(claim.verify(&secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), None));
    assert_eq!(claim.body, Bound::Waived);
    assert_eq!(claim.expires, Some(1_369_353_600 + 86_400));
}

#[test]
fn tencent_cloud() {
    let body =
        r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
    let fields = lines(&[
        ("Host", "cvm.tencentcloudapi.com"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("X-TC-Action", "DescribeInstances"),
        ("X-TC-Timestamp", "1551113065"),
        (
            "Authorization",
            "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host;x-tc-action, Signature=63f75ef12de4bbcc77c2b414d82d6e386b6588ac8d8af48d9526462e263f1000",
        ),
    ]);
    let claim =
        read(Scheme::Tc3, &request("POST", "cvm.tencentcloudapi.com", "/", &fields)).unwrap();
    let sum = digest::sha256(body.as_bytes());
    assert_eq!(text::hex(&sum), "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064");
    assert!(claim.verify(&secret("TestSecretKey0123456789abcdefABCD"), Some(&sum)));
    assert!(!claim.verify(&secret("TestSecretKey0123456789abcdefABCE"), Some(&sum)));
    assert_eq!(claim.timestamp, Some(1_551_113_065));
}

#[test]
fn apisix() {
    let fields = lines(&[
        ("Host", "example.com"),
        ("Date", DATE),
        (
            "Authorization",
            "Signature keyId=\"user-key\",algorithm=\"hmac-sha256\",headers=\"@request-target date\",signature=\"9IkUKGsv/TPo/xupCThn5/XZVVG9vy3IyANj0pxE3Z0=\"",
        ),
    ]);
    let message = request("GET", "example.com", "/index.html?name=james", &fields);
    let claim = claim(Scheme::HmacAuth, &message, Select::default()).unwrap();
    assert!(claim.verify(&secret("my-secret-key"), None));
    assert_eq!(claim.timestamp, Some(1_618_884_475));
}
