//! The certificates of one cluster: an authority of its own, one certificate a part, a key for
//! service account tokens.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::cluster::kubeconfig::Admin;
use crate::cluster::ports::SERVICE_OF_THE_API_SERVER;

/// The authority of one cluster, and the folder that receives what it signs.
pub struct Pki {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// Who a certificate is for: the user name and group that the API server reads out of it.
pub struct Subject {
    /// The file name, and what it is called here.
    pub file: &'static str,
    /// The user.
    pub user: &'static str,
    /// The user's group.
    pub group: Option<&'static str>,
}

/// The certificate of the API server itself.
pub const API_SERVER: Subject = Subject { file: "apiserver", user: "kube-apiserver", group: None };
/// The certificate of etcd.
pub const ETCD: Subject = Subject { file: "etcd", user: "etcd", group: None };
/// The administrator.
pub const ADMIN: Subject = Subject { file: "admin", user: "kubernetes-admin", group: Some("system:masters") };
/// kube-controller-manager.
pub const CONTROLLER_MANAGER: Subject =
    Subject { file: "controller-manager", user: "system:kube-controller-manager", group: None };
/// kube-scheduler.
pub const SCHEDULER: Subject = Subject { file: "scheduler", user: "system:kube-scheduler", group: None };
/// KWOK, which plays every kubelet and may therefore do what all of them together may.
pub const KWOK: Subject = Subject { file: "kwok", user: "kwok", group: Some("system:masters") };
/// The API server, when it asks a kubelet for logs.
pub const KUBELET_CLIENT: Subject =
    Subject { file: "kubelet-client", user: "kube-apiserver-kubelet-client", group: Some("system:masters") };

impl Pki {
    /// Makes an authority and the key for service account tokens in `folder`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(folder: &Path) -> Result<Pki> {
        std::fs::create_dir_all(folder)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "kai cluster authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let pki = Pki { folder: folder.to_owned(), authority };
        pki.write("ca.crt", &pki.authority.pem())?;
        pki.write("ca.key", &pki.authority.key().serialize_pem())?;
        let tokens = KeyPair::generate()?;
        pki.write("service-account.key", &tokens.serialize_pem())?;
        pki.write("service-account.pub", &tokens.public_key_pem())?;
        Ok(pki)
    }

    /// Signs a certificate for both ends of a connection on this machine, and writes it and its key.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn sign(&self, subject: &Subject) -> Result<(String, String)> {
        let names = [
            "127.0.0.1",
            SERVICE_OF_THE_API_SERVER,
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let mut params = CertificateParams::new(names.map(str::to_owned))?;
        params.distinguished_name.push(DnType::CommonName, subject.user);
        if let Some(group) = subject.group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.authority)?.pem();
        let key = key.serialize_pem();
        self.write(&format!("{}.crt", subject.file), &certificate)?;
        self.write(&format!("{}.key", subject.file), &key)?;
        Ok((certificate, key))
    }

    /// Signs a certificate and answers it as a client of the API server at `server`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn user(&self, subject: &Subject, server: &str) -> Result<Admin> {
        let (certificate, key) = self.sign(subject)?;
        Ok(Admin { server: server.to_owned(), ca: self.authority.pem(), certificate, key })
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        private(&path, text)
    }
}

/// Writes a file that only its owner can read.
///
/// # Errors
/// It cannot be written.
pub fn private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let open = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_closed_to_others_and_a_client_can_be_made_of_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::create(folder.path()).unwrap();
        let admin = pki.user(&ADMIN, "https://127.0.0.1:1").unwrap();
        for file in ["ca.key", "service-account.key", "admin.key"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file} is open to others");
        }
        admin.client().unwrap();
    }
}
