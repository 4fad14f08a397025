//! TLS towards nodes: who is trusted, and which certificate we show.
//!
//! As with nginx's `proxy_ssl_verify off`, a node's certificate is not checked unless the
//! configuration asks for it. One [`TlsClient`] is built per distinct configuration, never
//! per connection: it also remembers sessions to resume.

use std::{
    error, fmt, fs,
    net::IpAddr,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
};

/// Where systems keep the authorities they trust, the first that is there.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whose certificates are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust<'a> {
    /// Everybody's, expired and self-signed ones included.
    #[default]
    Anyone,
    /// Those signed by a public authority, for the right name.
    PublicRoots,
    /// Those signed by one of these authorities (PEM), for the right name.
    Roots(&'a str),
}

/// The authorities that this system trusts, PEM, if it says so.
#[must_use]
pub fn system_roots() -> Option<String> {
    SYSTEM_ROOTS.iter().find_map(|path| fs::read_to_string(path).ok())
}

/// How to talk TLS to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TlsOptions<'a> {
    /// Whose certificates are good.
    pub trust: Trust<'a>,
    /// Our own certificate chain and its private key, both PEM: `tls.client_cert` and
    /// `tls.client_key`.
    pub client: Option<(&'a str, &'a str)>,
    /// Protocols to offer, best first, such as `h2`. Empty: no ALPN.
    pub alpn: &'a [&'a [u8]],
}

/// A configuration that TLS cannot be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTls {
    what: &'static str,
    why: String,
}

impl fmt::Display for BadTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl error::Error for BadTls {}

fn bad(what: &'static str) -> impl Fn(&dyn fmt::Display) -> BadTls {
    move |why| BadTls { what, why: why.to_string() }
}

/// TLS towards nodes, ready to use; cheap to clone.
#[derive(Clone)]
pub struct TlsClient {
    connector: TlsConnector,
    id: u64,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("id", &self.id).finish_non_exhaustive()
    }
}

impl TlsClient {
    /// Builds the client for `options`.
    ///
    /// # Errors
    /// A PEM text has no certificate or no key, or key and certificate do not match.
    pub fn new(options: &TlsOptions<'_>) -> Result<Self, BadTls> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = verifier(options.trust, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("TLS versions")(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match options.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates("client_cert", chain)?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|error| bad("client_key")(&error))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| bad("client_cert and client_key")(&error))?
            }
        };
        config.alpn_protocols = options.alpn.iter().map(|name| name.to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) })
    }

    /// The client that trusts the authorities of `roots`, or those of the system without it;
    /// `client` as in [`TlsOptions::client`].
    ///
    /// # Errors
    /// `roots` cannot be read, or what [`TlsClient::new`] refuses.
    pub fn trusting(roots: Option<&Path>, client: Option<(&str, &str)>) -> Result<Self, BadTls> {
        let build = |trust| Self::new(&TlsOptions { trust, client, alpn: &[] });
        if let Some(path) = roots {
            let read = fs::read_to_string(path);
            let pem = read.map_err(|error| BadTls {
                what: "ssl_trusted_certificate",
                why: format!("{}: {error}", path.display()),
            })?;
            return build(Trust::Roots(&pem));
        }
        // A bundle with a line that we cannot read is no reason to trust nobody.
        match system_roots() {
            Some(pem) => build(Trust::Roots(&pem)).or_else(|_| build(Trust::PublicRoots)),
            None => build(Trust::PublicRoots),
        }
    }

    /// The client without any option, built once per process.
    ///
    /// # Errors
    /// The crypto provider is unusable.
    pub fn default_client() -> Result<&'static Self, BadTls> {
        static DEFAULT: OnceLock<Result<TlsClient, BadTls>> = OnceLock::new();
        DEFAULT.get_or_init(|| Self::new(&TlsOptions::default())).as_ref().map_err(Clone::clone)
    }

    /// Tells clients apart: connections made by different ones are not interchangeable.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What shakes hands.
    pub(crate) fn connector(&self) -> &TlsConnector {
        &self.connector
    }
}

/// The name to ask for and to check. What is no DNS name goes without SNI, as with nginx.
pub(crate) fn server_name(name: &str, addr: IpAddr) -> ServerName<'static> {
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    ServerName::try_from(name.to_owned()).unwrap_or_else(|_| ServerName::from(addr))
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|error| bad(what)(&error))?;
    if found.is_empty() {
        return Err(bad(what)(&"no certificate in the PEM text"));
    }
    Ok(found)
}

fn verifier(
    trust: Trust<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, BadTls> {
    static PUBLIC: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = match trust {
        Trust::Anyone => {
            let schemes = provider.signature_verification_algorithms.supported_schemes();
            return Ok(Arc::new(TrustAnyone { schemes }));
        }
        Trust::PublicRoots => Arc::clone(PUBLIC.get_or_init(|| {
            let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
            Arc::new(RootCertStore { roots })
        })),
        Trust::Roots(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("trusted certificates", pem)? {
                roots.add(certificate).map_err(|error| bad("trusted certificates")(&error))?;
            }
            Arc::new(roots)
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| bad("trusted certificates")(&error))?;
    Ok(verifier)
}

/// Takes every certificate. Signatures are not checked either: a stranger's valid
/// signature proves no more than his certificate.
#[derive(Debug)]
struct TrustAnyone {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
