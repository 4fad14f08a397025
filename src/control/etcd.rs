//! What `config.yaml` says of etcd, as options of the store.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    store::etcd::Options,
    upstream::tls::{self, TlsClient, TlsOptions, Trust},
};

/// Reads `deployment.etcd` and the authorities of `apisix.ssl.ssl_trusted_certificate` out of the
/// whole configuration. Files are relative to `prefix`.
///
/// # Errors
///
/// Everything that is wrong, each with its path; none names a password.
pub(super) fn options(config: &Value, prefix: &Path) -> Result<Options, Vec<String>> {
    let mut options = Options::read(config.pointer("/deployment/etcd").unwrap_or(&Value::Null))?;
    if options.endpoints.iter().any(|endpoint| endpoint.tls) {
        let trusted = config.pointer("/apisix/ssl/ssl_trusted_certificate").and_then(Value::as_str);
        let client = client(&options, trusted, prefix).map_err(|why| vec![why])?;
        options.tls = Some(client.connector().clone());
    }
    Ok(options)
}

fn client(options: &Options, trusted: Option<&str>, prefix: &Path) -> Result<TlsClient, String> {
    let read = |key: &str, path: &str| {
        let path = prefix.join(path);
        fs::read_to_string(&path).map_err(|error| format!("{key} {}: {error}", path.display()))
    };
    let files = &options.tls_files;
    let own = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            Some((read("deployment.etcd.tls.cert", cert)?, read("deployment.etcd.tls.key", key)?))
        }
        _ => None,
    };
    let own = own.as_ref().map(|(chain, key)| (chain.as_str(), key.as_str()));
    let build = |trust| {
        let options = TlsOptions { trust, client: own, alpn: &[b"h2"] };
        TlsClient::new(&options).map_err(|error| format!("deployment.etcd.tls: {error}"))
    };
    match trusted {
        _ if !files.verify => build(Trust::Anyone),
        Some(path) if path != "system" => {
            let pem = read("apisix.ssl.ssl_trusted_certificate", path)?;
            build(Trust::Roots(&pem))
        }
        // A bundle with a line that we cannot read is no reason to trust nobody.
        _ => match tls::system_roots() {
            Some(pem) => build(Trust::Roots(&pem)).or_else(|_| build(Trust::PublicRoots)),
            None => build(Trust::PublicRoots),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(etcd: &Value, trusted: &str) -> Result<Options, Vec<String>> {
        let ssl = json!({"ssl_trusted_certificate": trusted});
        options(&json!({"deployment": {"etcd": etcd}, "apisix": {"ssl": ssl}}), Path::new("/none"))
    }

    #[test]
    fn tls_is_made_ready_only_where_it_is_used() {
        let plain = read(&json!({"host": ["http://a:1"], "tls": {"cert": "c", "key": "k"}}), "x");
        assert!(plain.unwrap().tls.is_none());
        assert!(read(&json!({"host": ["https://a:1"]}), "system").unwrap().tls.is_some());
        let any = json!({"host": ["https://a:1"], "tls": {"verify": false}});
        assert!(read(&any, "none.pem").unwrap().tls.is_some());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_key() {
        let host = json!({"host": ["https://a:1"]});
        let why = read(&host, "ca.pem").unwrap_err();
        assert!(why[0].starts_with("apisix.ssl.ssl_trusted_certificate /none/ca.pem: "), "{why:?}");
        let own = json!({"host": ["https://a:1"], "tls": {"cert": "c.pem", "key": "k.pem"}});
        let why = read(&own, "system").unwrap_err();
        assert!(why[0].starts_with("deployment.etcd.tls.cert /none/c.pem: "), "{why:?}");
        let why = options(&json!({}), Path::new("/")).unwrap_err();
        assert_eq!(why, ["deployment.etcd: must be an object"]);
    }
}
