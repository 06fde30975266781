//! The certificates of a control plane, of an authority of its own.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Signs what a control plane needs, and writes it into a directory.
pub(crate) struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes `ca.crt`.
    pub(crate) fn new(directory: &Path) -> Result<Authority> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = name("kubelab", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        std::fs::write(directory.join("ca.crt"), certificate.pem())?;
        Ok(Authority { directory: directory.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Makes `NAME.crt` and `NAME.key` for a server of these names.
    pub(crate) fn server(&self, file: &str, names: &[&str]) -> Result<()> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(file, CertificateParams::new(names)?, ExtendedKeyUsagePurpose::ServerAuth, name(file, None))
    }

    /// Makes `NAME.crt` and `NAME.key` for a user of a group.
    pub(crate) fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<()> {
        let params = CertificateParams::new(Vec::<String>::new())?;
        self.sign(file, params, ExtendedKeyUsagePurpose::ClientAuth, name(user, group))
    }

    fn sign(
        &self,
        file: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        name: DistinguishedName,
    ) -> Result<()> {
        let key = KeyPair::generate()?;
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer)?;
        std::fs::write(self.directory.join(format!("{file}.crt")), certificate.pem())?;
        std::fs::write(self.directory.join(format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// Makes `sa.key` and `sa.pub`, with which tokens of service accounts are signed.
    pub(crate) fn token_keys(&self) -> Result<()> {
        let key = KeyPair::generate()?;
        std::fs::write(self.directory.join("sa.key"), key.serialize_pem())?;
        std::fs::write(self.directory.join("sa.pub"), key.public_key_pem())?;
        Ok(())
    }
}

fn name(common: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, common);
    name
}
