//! Secrets of stores, and what others may know of them.

use std::fmt;

use ed25519_dalek::Signer as _;

use serde::{Deserialize, Serialize};

use super::Hash;

/// The public half of an Ed25519 key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether its secret half has signed these bytes.
    pub(crate) fn verifies(&self, bytes: &[u8], signature: &Signature) -> bool {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.0) else { return false };
        let [r, s] = signature.0;
        key.verify_strict(bytes, &ed25519_dalek::Signature::from_components(r, s)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hash(self.0).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Hash(self.0), f)
    }
}

/// An Ed25519 signature, in two halves (64 bytes in one array have no serde).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature(pub [[u8; 32]; 2]);

/// The secret half of a warehouse's Ed25519 key. It is in the `meta` of its store and of that store's backups, and in no
/// row, log or dump.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretKey(pub [u8; 32]);

impl SecretKey {
    /// The public half.
    #[cfg(test)]
    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(ed25519_dalek::SigningKey::from_bytes(&self.0).verifying_key().to_bytes())
    }

    /// Ready to sign: that takes as long as a signature, so it is kept.
    pub(crate) fn signing(&self) -> Signing {
        Signing(Box::new(ed25519_dalek::SigningKey::from_bytes(&self.0)))
    }
}

/// A secret key that is ready to sign.
pub(crate) struct Signing(Box<ed25519_dalek::SigningKey>);

impl Signing {
    /// The public half.
    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs the bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Signature {
        let signature = self.0.sign(bytes);
        Signature([*signature.r_bytes(), *signature.s_bytes()])
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// The secret of a peer's store. It is in its own store's `meta` and in no row, log or dump.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(pub [u8; 32]);

impl Token {
    /// The store id: what others may know of the token.
    pub fn store_id(&self) -> Hash {
        Hash::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
