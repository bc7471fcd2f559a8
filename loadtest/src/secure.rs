//! TLS as a client that wants to know what a server's cipher costs: one version, one cipher and
//! one group, so that every server computes the same.

mod certificate;
mod tickets;

pub(crate) use certificate::Certificate;
pub(crate) use tickets::Tickets;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::fault;

/// Bytes of one read: a cipher's record has 16 KiB, and one read for each would cost more than it.
const READ_BYTES: usize = 64 * 1_024;
/// The name that is asked for; servers here have one certificate.
const NAME: &str = "localhost";

/// A connection over TLS.
pub(crate) type Stream = TlsStream<BufReader<TcpStream>>;

/// What a client speaks: TLS 1.3 with AES-128-GCM and X25519, and `protocol` on top.
pub(crate) fn client_config(protocol: &[u8], tickets: &Arc<Tickets>) -> io::Result<ClientConfig> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    });
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| fault(format!("no TLS 1.3: {error}")))?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::store(Arc::<Tickets>::clone(tickets));
    Ok(config)
}

/// Connects and shakes hands.
pub(crate) async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let socket = BufReader::with_capacity(READ_BYTES, socket);
    let name = ServerName::try_from(NAME).map_err(|error| fault(error.to_string()))?;
    let stream = TlsConnector::from(Arc::clone(config))
        .connect(name, socket)
        .await?;
    let agreed = stream.get_ref().1.alpn_protocol();
    if agreed != config.alpn_protocols.first().map(Vec::as_slice) {
        return Err(fault(format!("the server agreed to {agreed:?} over TLS")));
    }
    Ok(stream)
}

/// Takes every certificate: the servers are on this machine and have made their own.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        Err(rustls::Error::General(
            "TLS 1.2 is not asked for".to_owned(),
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
