//! Signatures: ed25519 over the bytes of the manifest. Keys as OpenSSL writes them: PKCS #8 and SPKI, in PEM.

use super::BundleError;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// A key that signs.
#[derive(Debug)]
pub struct Signer(SigningKey);

/// A key that checks signatures.
#[derive(Debug)]
pub struct Verifier(VerifyingKey);

impl Signer {
    /// Reads a private key: what `openssl genpkey -algorithm ed25519` writes.
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(pem: &str) -> Result<Self, BundleError> {
        let key = SigningKey::from_pkcs8_pem(pem.trim_ascii_start());
        key.map(Self)
            .map_err(|_| BundleError::Key("it is no ed25519 private key in PKCS #8 and PEM".into()))
    }

    /// Signs a manifest.
    #[must_use]
    pub fn sign(&self, manifest: &[u8]) -> [u8; 64] {
        self.0.sign(manifest).to_bytes()
    }
}

impl Verifier {
    /// Reads a public key: what `openssl pkey -pubout` writes.
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(pem: &str) -> Result<Self, BundleError> {
        let key = VerifyingKey::from_public_key_pem(pem.trim_ascii_start());
        key.map(Self)
            .map_err(|_| BundleError::Key("it is no ed25519 public key in SPKI and PEM".into()))
    }

    /// Checks the signature of a manifest.
    ///
    /// # Errors
    /// Where there is none, or it is that of another key or of another manifest.
    pub fn check(&self, manifest: &[u8], signature: Option<&[u8]>) -> Result<(), BundleError> {
        let signature = signature.ok_or(BundleError::Unsigned)?;
        let signature = Signature::from_slice(signature).map_err(|_| BundleError::WrongKey)?;
        let checked = self.0.verify_strict(manifest, &signature);
        checked.map_err(|_| BundleError::WrongKey)
    }
}
