//! Whom TLS trusts, where it isn't the system's authorities: a destination's own bundle of certificates.

use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

/// Authorities in PEM, each of which can be trusted: what is in here replaces the system's.
#[derive(Clone, PartialEq, Eq)]
pub struct CaBundle {
    pem: String,
    /// SHA-256 over the PEM: two equal bundles share connections.
    hash: [u8; 32],
}

/// Why a text is no bundle of authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaBundleInvalid {
    /// No `BEGIN CERTIFICATE`.
    #[error("holds no PEM certificate (-----BEGIN CERTIFICATE-----)")]
    Empty,
    /// A block that can't be decoded.
    #[error("is not PEM from certificate {0} on")]
    Pem(usize),
    /// A certificate that can't be an authority.
    #[error("holds something else than an X.509 certificate as number {0}")]
    Certificate(usize),
}

impl CaBundle {
    /// Takes PEM with one or more certificates. What stands around them is passed over.
    ///
    /// # Errors
    /// When there is none, or one can't be read; certificates count from 1.
    pub fn parse(pem: &str) -> Result<Self, CaBundleInvalid> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
            let number = index + 1;
            let certificate = certificate.map_err(|_| CaBundleInvalid::Pem(number))?;
            let added = roots.add(certificate);
            added.map_err(|_| CaBundleInvalid::Certificate(number))?;
        }
        if roots.is_empty() {
            return Err(CaBundleInvalid::Empty);
        }
        Ok(Self {
            pem: pem.to_owned(),
            hash: Sha256::digest(pem.as_bytes()).into(),
        })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) const fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

impl fmt::Debug for CaBundle {
    /// Its size: a bundle is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({} bytes)", self.pem.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        let made = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        made.cert.pem()
    }

    #[test]
    fn a_bundle_is_certificates_and_nothing_that_would_not_be_trusted() {
        let (one, two) = (certificate(), certificate());
        let bundle = CaBundle::parse(&format!("# ours\n{one}\n{two}")).unwrap();
        assert_eq!(
            bundle,
            CaBundle::parse(&format!("# ours\n{one}\n{two}")).unwrap()
        );
        assert_ne!(bundle, CaBundle::parse(&one).unwrap());
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let no_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (text, why) in [
            (String::new(), CaBundleInvalid::Empty),
            ("hello".to_owned(), CaBundleInvalid::Empty),
            (key, CaBundleInvalid::Empty),
            (
                format!("{one}{no_certificate}"),
                CaBundleInvalid::Certificate(2),
            ),
            (
                format!("{one}-----BEGIN CERTIFICATE-----\n"),
                CaBundleInvalid::Pem(2),
            ),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned(),
                CaBundleInvalid::Pem(1),
            ),
        ] {
            assert_eq!(CaBundle::parse(&text), Err(why), "{text}");
        }
    }
}
