//! An authority of a test's own, and what it certified for a server on this machine and for a client.

use std::io;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, Error, IsCa, KeyPair,
};

use super::LaunchError;

/// Names under which a server on this machine is reached.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Writes `ca.pem`, and `server.pem`, `server.key`, `client.pem` and `client.key` that it certified.
pub(super) fn write(folder: &Path) -> Result<(), LaunchError> {
    let written = || {
        for (name, text) in made().map_err(io::Error::other)? {
            std::fs::write(folder.join(name), text)?;
        }
        Ok(())
    };
    written().map_err(LaunchError::io(format!("make certificates in {}", folder.display())))
}

fn made() -> Result<[(&'static str, String); 5], Error> {
    let mut authority = named("authority", &[])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let (server, client) = (KeyPair::generate()?, KeyPair::generate()?);
    Ok([
        ("server.pem", named("server", &NAMES)?.signed_by(&server, &authority)?.pem()),
        ("server.key", server.serialize_pem()),
        ("client.pem", named("client", &[])?.signed_by(&client, &authority)?.pem()),
        ("client.key", client.serialize_pem()),
        ("ca.pem", authority.pem()),
    ])
}

/// OpenSSL takes a certificate for its own issuer if both have one name.
fn named(name: &str, hosts: &[&str]) -> Result<CertificateParams, Error> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("logmill's test {name}"));
    Ok(params)
}
