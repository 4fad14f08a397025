//! Keys and algorithms: checking a signature over a text, and making one.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
        UnparsedPublicKey, VerificationAlgorithm,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::text;

/// How a text is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-1; for `hmac-auth` only.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512; for `hmac-auth` only.
    HmacSha512,
    /// EdDSA with Curve25519.
    Ed25519,
    /// ECDSA with P-256 and SHA-256; the signature is r and s, 32 bytes each.
    EcdsaP256Sha256,
    /// RSASSA-PSS with SHA-512; the salt has 64 bytes.
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaV15Sha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::HmacSha1,
        Self::HmacSha256,
        Self::HmacSha512,
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::RsaPssSha512,
        Self::RsaV15Sha256,
    ];

    /// Its name, as in the registry of RFC 9421.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaV15Sha256 => "rsa-v1_5-sha256",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether both sides know the same secret.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self, Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha512)
    }

    fn verification(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::Ed25519 => Some(&signature::ED25519),
            Self::EcdsaP256Sha256 => Some(&signature::ECDSA_P256_SHA256_FIXED),
            Self::RsaPssSha512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
            Self::RsaV15Sha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha512 => None,
        }
    }
}

/// A shared secret.
#[derive(Clone)]
pub struct Secret {
    bytes: Box<[u8]>,
    begun: Begun,
}

/// What every HMAC of a secret begins with: hashing the secret itself.
#[derive(Clone)]
enum Begun {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Secret {
    /// A secret of any length, or `None` if the algorithm wants none.
    #[must_use]
    pub(super) fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let begun = match algorithm {
            Algorithm::HmacSha1 => Begun::Sha1(KeyInit::new_from_slice(bytes).ok()?),
            Algorithm::HmacSha256 => Begun::Sha256(KeyInit::new_from_slice(bytes).ok()?),
            Algorithm::HmacSha512 => Begun::Sha512(KeyInit::new_from_slice(bytes).ok()?),
            _ => return None,
        };
        Some(Self { bytes: bytes.into(), begun })
    }

    /// The secret.
    #[must_use]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it is used for.
    #[must_use]
    pub(super) fn algorithm(&self) -> Algorithm {
        match self.begun {
            Begun::Sha1(_) => Algorithm::HmacSha1,
            Begun::Sha256(_) => Algorithm::HmacSha256,
            Begun::Sha512(_) => Algorithm::HmacSha512,
        }
    }

    /// Whether `signature` is one of `text`. Takes as long for a wrong one.
    #[must_use]
    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        match &self.begun {
            Begun::Sha1(mac) => is_mac(mac.clone(), text, signature),
            Begun::Sha256(mac) => is_mac(mac.clone(), text, signature),
            Begun::Sha512(mac) => is_mac(mac.clone(), text, signature),
        }
    }

    /// The HMAC of `text`.
    fn sign(&self, text: &[u8]) -> Vec<u8> {
        match &self.begun {
            Begun::Sha1(mac) => made(mac.clone(), text),
            Begun::Sha256(mac) => made(mac.clone(), text),
            Begun::Sha512(mac) => made(mac.clone(), text),
        }
    }
}

fn made(mut mac: impl Mac, text: &[u8]) -> Vec<u8> {
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn is_mac(mut mac: impl Mac, text: &[u8], signature: &[u8]) -> bool {
    mac.update(text);
    mac.verify_slice(signature).is_ok()
}

/// What checks signatures.
#[derive(Clone)]
pub enum Key {
    /// A shared secret.
    Secret(Box<Secret>),
    /// A public key.
    Public {
        /// What it is used for; none of the HMACs.
        algorithm: Algorithm,
        /// `SubjectPublicKeyInfo`, DER; or what the algorithm has instead.
        der: Box<[u8]>,
    },
}

/// Shows no secret.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.algorithm().name())
    }
}

impl Key {
    /// A shared secret, or `None` if the algorithm wants none.
    #[must_use]
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        Secret::new(algorithm, secret).map(Box::new).map(Self::Secret)
    }

    /// A public key in PEM or, in base64, in DER.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn public(algorithm: Algorithm, text: &str) -> Result<Self, String> {
        let Some(verification) = algorithm.verification() else {
            return Err(format!("{} has no public key", algorithm.name()));
        };
        let der = pem(text).ok_or("the public key is neither PEM nor base64")?;
        let parsed = signature::ParsedPublicKey::new(verification, &der);
        if parsed.is_err() {
            return Err(format!("the public key is not one for {}", algorithm.name()));
        }
        Ok(Self::Public { algorithm, der: der.into() })
    }

    /// What it is used for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(secret) => secret.algorithm(),
            Self::Public { algorithm, .. } => *algorithm,
        }
    }

    /// Whether `signature` is one of `text`. Takes as long for a wrong one.
    #[must_use]
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(secret) => secret.verify(text, signature),
            Self::Public { algorithm, der } => algorithm.verification().is_some_and(|algorithm| {
                UnparsedPublicKey::new(algorithm, der).verify(text, signature).is_ok()
            }),
        }
    }
}

/// HMAC-SHA256.
#[must_use]
pub fn hmac_sha256(secret: &[u8], text: &[u8]) -> [u8; 32] {
    let begun = <Hmac<Sha256> as KeyInit>::new_from_slice(secret);
    // A key may have any length: the error never comes.
    begun.map_or([0; 32], |mac| mac.chain_update(text).finalize().into_bytes().into())
}

/// The DER inside of a PEM text, or of plain base64.
fn pem(text: &str) -> Option<Vec<u8>> {
    let body: String = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("-----") && !line.contains(':'))
        .collect();
    text::unbase64(body.as_bytes()).filter(|der| !der.is_empty())
}

/// What makes signatures.
pub enum SigningKey {
    /// A shared secret, for the HMACs.
    Secret(Box<Secret>),
    /// Ed25519.
    Ed25519(Box<Ed25519KeyPair>),
    /// P-256.
    EcdsaP256(Box<EcdsaKeyPair>),
    /// RSA, with its padding.
    Rsa(Algorithm, Box<RsaKeyPair>),
}

/// Shows no secret.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.algorithm().name())
    }
}

impl SigningKey {
    /// A private key in PEM (PKCS #8, or the older forms of RSA and EC), or a shared secret.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(algorithm: Algorithm, text: &[u8]) -> Result<Self, String> {
        if let Some(secret) = Secret::new(algorithm, text) {
            return Ok(Self::Secret(Box::new(secret)));
        }
        let bad = || format!("the private key is not one for {}", algorithm.name());
        let text = std::str::from_utf8(text).map_err(|_| bad())?;
        let der = pem(text).ok_or("the private key is neither PEM nor base64")?;
        match algorithm {
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                .map(|pair| Self::Ed25519(Box::new(pair)))
                .map_err(|_| bad()),
            Algorithm::EcdsaP256Sha256 => {
                let kind = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                EcdsaKeyPair::from_pkcs8(kind, &der)
                    .or_else(|_| EcdsaKeyPair::from_private_key_der(kind, &der))
                    .map(|pair| Self::EcdsaP256(Box::new(pair)))
                    .map_err(|_| bad())
            }
            _ => RsaKeyPair::from_pkcs8(&der)
                .or_else(|_| RsaKeyPair::from_der(&der))
                .map(|pair| Self::Rsa(algorithm, Box::new(pair)))
                .map_err(|_| bad()),
        }
    }

    /// What it is used for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(secret) => secret.algorithm(),
            Self::Rsa(algorithm, _) => *algorithm,
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::EcdsaP256(_) => Algorithm::EcdsaP256Sha256,
        }
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn verifier(&self) -> Key {
        let public = |der: &[u8]| Key::Public { algorithm: self.algorithm(), der: der.into() };
        match self {
            Self::Secret(secret) => Key::Secret(secret.clone()),
            Self::Ed25519(pair) => public(pair.public_key().as_ref()),
            Self::EcdsaP256(pair) => public(pair.public_key().as_ref()),
            Self::Rsa(_, pair) => public(pair.public_key().as_ref()),
        }
    }

    /// A signature of `text`.
    ///
    /// # Errors
    ///
    /// When the system has no random bytes.
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let no_random = |_| "no random bytes".to_owned();
        match self {
            Self::Secret(secret) => Ok(secret.sign(text)),
            Self::Ed25519(pair) => Ok(pair.sign(text).as_ref().to_vec()),
            Self::EcdsaP256(pair) => pair
                .sign(&random, text)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(no_random),
            Self::Rsa(algorithm, pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    Algorithm::RsaPssSha512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut made = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, text, &mut made).map_err(no_random)?;
                Ok(made)
            }
        }
    }
}
