//! `moongate sign`: prints a signed request as a curl command, for whoever writes a client.

use std::{fs, io::Read as _, path::PathBuf};

use clap::Args;

use crate::{
    clock,
    codec::sign::{
        Algorithm, Message, Scheme, SigningKey,
        order::{Order, sign},
        text,
    },
};

/// What to sign, and how.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// rfc9421, sigv4, tc3 or hmac-auth.
    #[arg(long, default_value = "rfc9421")]
    scheme: String,
    /// Whose key it is.
    #[arg(long)]
    key_id: String,
    /// A file with the secret, or with the private key in PEM; `-` is standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "secret")]
    key: Option<PathBuf>,
    /// The secret itself, which others may see in the list of processes.
    #[arg(long, env = "MOONGATE_SIGN_SECRET", conflicts_with = "key", hide_env_values = true)]
    secret: Option<String>,
    /// hmac-sha256, ed25519, ecdsa-p256-sha256, rsa-pss-sha512, rsa-v1_5-sha256; with hmac-auth
    /// also hmac-sha1 and hmac-sha512.
    #[arg(long, default_value = "hmac-sha256")]
    algorithm: String,
    /// Method; POST if there is a body.
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// A field of the request, `Name: value`; all are signed but with sigv4 and tc3, where
    /// Host, Content-Type and the scheme's own are.
    #[arg(short = 'H', long = "header", value_name = "LINE")]
    headers: Vec<String>,
    /// The body; `@FILE` reads it.
    #[arg(short = 'd', long)]
    data: Option<String>,
    /// Region, with sigv4.
    #[arg(long, default_value = "local")]
    region: String,
    /// Service, with sigv4 and tc3.
    #[arg(long, default_value = "gateway")]
    service: String,
    /// Tag, with rfc9421.
    #[arg(long)]
    tag: Option<String>,
    /// Seconds for which the signature holds, with rfc9421.
    #[arg(long)]
    lifetime: Option<u32>,
    /// Prints only the fields to add, one a line.
    #[arg(long)]
    fields: bool,
    /// http://host[:port]/path?query
    url: String,
}

/// A URL in the parts that are signed.
struct Url<'a> {
    scheme: &'a str,
    authority: &'a str,
    target: String,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, String> {
        let bad = || format!("{url}: not http://host/path or https://host/path");
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        if !matches!(scheme, "http" | "https") {
            return Err(bad());
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or_else(bad)?;
        if authority.is_empty() || authority.contains('@') {
            return Err(bad());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { scheme, authority, target: format!("{slash}{target}") })
    }
}

/// Signs what `options` say and prints it.
///
/// # Errors
///
/// What cannot be read, or cannot be signed.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let now = i64::try_from(clock::wall().as_secs()).unwrap_or(0);
    let mut nonce = [0; 16];
    aws_random(&mut nonce)?;
    super::process::say(&made(options, now, &text::hex(&nonce))?);
    Ok(())
}

fn aws_random(bytes: &mut [u8]) -> Result<(), String> {
    let mut source =
        fs::File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}"))?;
    source.read_exact(bytes).map_err(|error| format!("/dev/urandom: {error}"))
}

fn key(options: &Options, algorithm: Algorithm) -> Result<SigningKey, String> {
    let bytes = match (&options.key, &options.secret) {
        (_, Some(secret)) => secret.clone().into_bytes(),
        (Some(path), None) if path.as_os_str() == "-" => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| format!("standard input: {error}"))?;
            bytes
        }
        (Some(path), None) => {
            fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?
        }
        (None, None) => return Err("give --key or --secret".to_owned()),
    };
    // A file ends with a line end, a secret does not.
    let bytes = if algorithm.is_shared() { bytes.trim_ascii_end() } else { &bytes };
    SigningKey::new(algorithm, bytes)
}

fn body(options: &Options) -> Result<Option<Vec<u8>>, String> {
    match options.data.as_deref().map(|data| (data.strip_prefix('@'), data)) {
        None => Ok(None),
        Some((Some(path), _)) => {
            fs::read(path).map(Some).map_err(|error| format!("{path}: {error}"))
        }
        Some((None, data)) => Ok(Some(data.as_bytes().to_vec())),
    }
}

/// Names that are signed for `scheme`, when the request has `fields` of its own.
fn covered(scheme: Scheme, fields: &[(String, String)], has_body: bool) -> Vec<String> {
    let (first, digest): (&[&str], _) = match scheme {
        Scheme::Rfc9421 => {
            (&["@method", "@authority", "@path", "@query"], has_body.then_some("content-digest"))
        }
        Scheme::HmacAuth => (&["@request-target", "host", "date"], has_body.then_some("digest")),
        Scheme::SigV4 | Scheme::Tc3 => {
            let kind = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            return kind.then(|| "content-type".to_owned()).into_iter().collect();
        }
    };
    let own = fields.iter().map(|(name, _)| name.to_ascii_lowercase());
    let first = first.iter().copied().chain(digest).map(str::to_owned);
    first.chain(own.filter(|name| !matches!(name.as_str(), "host" | "date"))).collect()
}

/// The text to print.
fn made(options: &Options, now: i64, nonce: &str) -> Result<String, String> {
    let scheme =
        Scheme::of(&options.scheme).ok_or_else(|| format!("unknown scheme: {}", options.scheme))?;
    let algorithm = Algorithm::of(&options.algorithm)
        .ok_or_else(|| format!("unknown algorithm: {}", options.algorithm))?;
    let url = Url::parse(&options.url)?;
    let body = body(options)?;
    let method = options.method.as_deref().unwrap_or(if body.is_some() { "POST" } else { "GET" });
    let mut fields = Vec::new();
    for line in &options.headers {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no field: {line}"))?;
        fields.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let has = |name: &str| fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if (body.is_some() || scheme == Scheme::Tc3) && !has("content-type") {
        fields.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    let names = covered(scheme, &fields, body.is_some());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut all: Vec<(&[u8], &[u8])> = vec![(b"Host", url.authority.as_bytes())];
    all.extend(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let message = Message {
        method: method.as_bytes(),
        scheme: url.scheme,
        authority: url.authority.as_bytes(),
        target: url.target.as_bytes(),
        fields: &all,
        status: None,
        request: None,
    };
    let key = key(options, algorithm)?;
    let order = Order {
        scheme,
        key_id: &options.key_id,
        key: &key,
        now,
        lifetime: options.lifetime.map(i64::from),
        nonce: Some(nonce),
        label: "sig1",
        tag: options.tag.as_deref(),
        covered: &names,
        region: &options.region,
        service: &options.service,
        body: Some(body.as_deref().unwrap_or_default()),
    };
    let added = sign(&message, &order).map_err(|refused| refused.to_string())?;
    Ok(printed(options, method, &fields, &added))
}

fn printed(
    options: &Options,
    method: &str,
    fields: &[(String, String)],
    added: &[(String, String)],
) -> String {
    if options.fields {
        let lines: Vec<_> = added.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        return lines.join("\n");
    }
    let mut command = format!("curl -X {}", quoted(method));
    for (name, value) in fields.iter().chain(added) {
        command.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
    }
    if let Some(data) = &options.data {
        command.push_str(&format!(" \\\n  --data-binary {}", quoted(data)));
    }
    // curl would take dots out of the path, and read braces.
    command.push_str(&format!(" \\\n  --path-as-is --globoff {}", quoted(&options.url)));
    command
}

/// One word of a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn print(args: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from([&["sign"], args].concat()).map_err(|e| e.to_string())?;
        made(&line.options, 1_618_884_475, "0123456789abcdef")
    }

    #[test]
    fn the_command_has_what_was_asked_for() {
        let text = print(&[
            "--key-id",
            "k",
            "--secret",
            "s",
            "-H",
            "X-A: it's",
            "-d",
            "{\"a\":1}",
            "--tag",
            "t",
            "http://h:8080/a/./b?c={d}",
        ])
        .unwrap();
        assert!(text.starts_with("curl -X POST \\\n  -H 'X-A: it'\\''s' \\\n"), "{text}");
        assert!(text.ends_with("--path-as-is --globoff 'http://h:8080/a/./b?c={d}'"), "{text}");
        for part in [
            "-H 'Content-Type: application/json'",
            "--data-binary '{\"a\":1}'",
            "-H 'Content-Digest: sha-256=:AVq9f1zFei3ZS3WQ8ErYCEJzkF7jPsXOvq5iJ2qX+GI=:'",
            "created=1618884475;keyid=\"k\";alg=\"hmac-sha256\";nonce=\"0123456789abcdef\";tag=\"t\"",
            "\"content-digest\" \"x-a\" \"content-type\"",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn the_vector_of_apisix_comes_out() {
        let args = ["--scheme", "hmac-auth", "--fields", "--key-id", "user-key", "--secret"];
        let rest = ["my-secret-key", "http://example.com/index.html?name=james"];
        let text = print(&[&args[..], &rest].concat()).unwrap();
        assert!(text.starts_with("Date: Tue, 20 Apr 2021 02:07:55 GMT\nAuthorization: "), "{text}");
        assert!(text.contains("headers=\"@request-target host date\""), "{text}");
    }

    #[test]
    fn what_cannot_be_signed_is_told() {
        for (args, why) in [
            (&["--key-id", "k", "--secret", "s", "ftp://h/"][..], "not http://host/path"),
            (&["--key-id", "k", "--secret", "s", "--scheme", "x", "http://h/"], "unknown scheme"),
            (&["--key-id", "k", "--secret", "s", "-H", "x", "http://h/"], "no field: x"),
            (&["--key-id", "k", "--key", "/nonexistent", "http://h/"], "/nonexistent: "),
            (
                &["--key-id", "k", "--secret", "s", "--algorithm", "ed25519", "http://h/"],
                "the private key is",
            ),
        ] {
            let error = print(args).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
