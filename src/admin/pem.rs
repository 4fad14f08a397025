//! Whether texts are certificates and private keys.

use tokio_rustls::rustls::{
    CertificateError, Error,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::ParsedCertificate,
};

use crate::config::keyring::Keyring;

const BAD_CERTIFICATE: &str = "failed to parse cert: PEM_read_bio_X509_AUX() failed";
const BAD_KEY: &str = "failed to parse key: PEM_read_bio_PrivateKey() failed";

/// Whether this is a reference to a secret or to the environment, to be looked up when needed.
pub(super) fn is_reference(text: &str) -> bool {
    let begins = |prefix: &str| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    text.starts_with("$secret://") || begins("$env://")
}

/// Checks a certificate and its key, which may be encrypted with `ring`. As in APISIX, whether they
/// belong together is not asked.
///
/// # Errors
///
/// The sentence for the operator; it quotes nothing.
pub(super) fn check(cert: &str, key: Option<&str>, ring: &Keyring) -> Result<(), String> {
    let der = CertificateDer::from_pem_slice(cert.as_bytes()).map_err(|_| BAD_CERTIFICATE)?;
    match ParsedCertificate::try_from(&der) {
        Ok(_) => {}
        // Version 1 can still be served; webpki only does not trust it.
        Err(Error::InvalidCertificate(CertificateError::Other(error)))
            if error.0.to_string() == "UnsupportedCertVersion" => {}
        Err(_) => return Err(BAD_CERTIFICATE.into()),
    }
    let Some(key) = key else { return Ok(()) };
    let key = ring.open_key(key).map_err(|_| "failed to decrypt previous encrypted key")?;
    let der = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| BAD_KEY)?;
    default_provider().key_provider.load_private_key(der).map_err(|_| BAD_KEY)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_recognised() {
        for text in ["$secret://vault/1/a/b", "$env://KEY", "$ENV://KEY"] {
            assert!(is_reference(text), "{text}");
        }
        for text in ["", "$SECRET://x", "$env:/x", "x$env://y", "\u{e4}\u{e4}\u{e4}\u{e4}"] {
            assert!(!is_reference(text), "{text}");
        }
    }

    #[test]
    fn certificates_and_keys_are_parsed() {
        let ring = Keyring::read(&json!({"keyring": "edd1c9f0985e76a2"})).unwrap();
        let cert = include_str!("../../t/fixtures/admin/cert.pem");
        let key = include_str!("../../t/fixtures/admin/key.pem");
        assert_eq!(check(cert, Some(key), &ring), Ok(()));
        assert_eq!(check(cert, Some(&ring.seal(key)), &ring), Ok(()));
        assert_eq!(check(cert, None, &ring), Ok(()));
        let old = include_str!("../../t/fixtures/admin/v1.pem");
        assert_eq!(check(old, None, &ring), Ok(()));
        for bad in ["", "x", key, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"]
        {
            assert_eq!(check(bad, None, &ring), Err(BAD_CERTIFICATE.into()));
        }
        let sealed = "failed to decrypt previous encrypted key".to_owned();
        assert_eq!(check(cert, Some("x"), &ring), Err(sealed));
        for bad in ["---", cert, "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(check(cert, Some(bad), &ring), Err(BAD_KEY.into()));
        }
    }
}
