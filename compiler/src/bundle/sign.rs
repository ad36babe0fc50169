//! Signatures: ed25519 over the bytes of the manifest. Keys as OpenSSL writes them: PKCS #8 and SPKI, in PEM.

use super::BundleError;
use ed25519_dalek::pkcs8::spki::SubjectPublicKeyInfoRef;
use ed25519_dalek::pkcs8::spki::der::pem::{self, PemLabel as _};
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, PrivateKeyInfo};
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
        let pem = pem.trim_ascii_start();
        let key = SigningKey::from_pkcs8_pem(pem);
        key.map(Self).map_err(|_| not_a_key(pem, Half::Private))
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
        let pem = pem.trim_ascii_start();
        let key = VerifyingKey::from_public_key_pem(pem);
        key.map(Self).map_err(|_| not_a_key(pem, Half::Public))
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

/// Which half of a pair is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Private,
    Public,
}

/// What is wrong with a text that is not the key that was asked for, told by what it says that it is.
fn not_a_key(pem: &str, asked: Half) -> BundleError {
    let is_ssh = |label: &str| label == "OPENSSH PRIVATE KEY";
    let why = match (pem::decode_label(pem.as_bytes()), asked) {
        (Ok(PrivateKeyInfo::PEM_LABEL), Half::Public) => {
            "it is a private key, and the public one is asked for: keep it where bundles are signed"
        }
        (Ok(SubjectPublicKeyInfoRef::PEM_LABEL), Half::Private) => {
            "it is a public key, and signing takes the private one"
        }
        (Ok("ENCRYPTED PRIVATE KEY"), _) => {
            "it is encrypted, and nobody is asked for a passphrase: `openssl pkey -in KEY` writes it as it is"
        }
        (Ok(label), _) if is_ssh(label) => "it is in the form of OpenSSH, not in PKCS #8",
        (Ok(PrivateKeyInfo::PEM_LABEL | SubjectPublicKeyInfoRef::PEM_LABEL), _) => {
            "it is damaged, or a key of another algorithm than ed25519"
        }
        (Ok(_), _) => "it is something else in PEM, no key in PKCS #8 or SPKI",
        (Err(_), _) if pem.starts_with("ssh-") => "it is in the form of OpenSSH, not in PEM",
        (Err(_), Half::Private) => "it is no ed25519 private key in PKCS #8 and PEM",
        (Err(_), Half::Public) => "it is no ed25519 public key in SPKI and PEM",
    };
    BundleError::Key(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_told_by_what_it_is() {
        let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let private = |text: &str| Signer::read(text).err().map(|error| error.to_string());
        let public = |text: &str| Verifier::read(text).err().map(|error| error.to_string());
        let cases = [
            (private(&pem("PUBLIC KEY")), "it is a public key"),
            (public(&pem("PRIVATE KEY")), "it is a private key"),
            (private(&pem("ENCRYPTED PRIVATE KEY")), "it is encrypted"),
            (private(&pem("OPENSSH PRIVATE KEY")), "the form of OpenSSH"),
            (public("ssh-ed25519 AAAA me"), "the form of OpenSSH"),
            (private(&pem("PRIVATE KEY")), "another algorithm"),
            (public(&pem("CERTIFICATE")), "something else in PEM"),
            (public("x"), "no ed25519 public key"),
            (private("x"), "no ed25519 private key"),
        ];
        for (told, expected) in cases {
            assert!(
                told.as_ref().is_some_and(|told| told.contains(expected)),
                "{told:?}: {expected}"
            );
        }
    }
}
