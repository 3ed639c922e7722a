//! One TLS configuration as rustls takes it, made anew when its files change.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    hash::Hash,
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, Weak},
};

use aeraki_route::config::{
    CertificateValidationContext, CommonTlsContext, DataSource, DownstreamTlsContext, TlsCertificate, TlsVersion,
    UpstreamTlsContext,
};
use arc_swap::ArcSwap;
use rustls::{
    ALL_VERSIONS, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto::CryptoProvider,
    pki_types::CertificateDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use xxhash_rust::xxh3::Xxh3;

use super::{
    TlsError, certificate,
    clock::Clock,
    verify::{NamedClients, NamedServers},
};
use crate::sync::lock;

/// A direction of TLS: how a configuration and what its files hold become what rustls takes.
pub(super) trait Side: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// What rustls takes.
    type Config: Send + Sync + fmt::Debug;

    fn common(&self) -> &CommonTlsContext;

    fn build(&self, parts: Parts, provider: Arc<CryptoProvider>) -> Result<Self::Config, TlsError>;
}

/// What the files of a configuration hold.
#[derive(Debug)]
pub(super) struct Parts {
    certificate: Option<CertifiedKey>,
    roots: Option<Arc<RootCertStore>>,
}

/// A configuration in use.
#[derive(Debug)]
pub(super) struct Context<S: Side> {
    side: S,
    provider: Arc<CryptoProvider>,
    clock: Clock,
    current: ArcSwap<Result<Made<S::Config>, TlsError>>,
    seen: Mutex<Seen>,
    users: Mutex<Vec<Weak<User>>>,
}

/// Who uses a configuration.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct User {
    /// Kind and name, such as `listener "in"`.
    pub(super) object: String,
    /// The path in it of what has the configuration; empty: the object itself has it.
    pub(super) path: String,
}

/// What the files held when they were last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// The hash of it; none where they could not be read.
    texts: Option<u64>,
    /// When it can be used after all.
    refused_until: Option<i64>,
}

#[derive(Debug)]
struct Made<C> {
    config: Arc<C>,
    expires: Option<i64>,
}

/// What came of looking at the files again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reload {
    Unchanged,
    Renewed,
    /// What was in use stays so.
    Refused(TlsError),
}

impl<S: Side> Context<S> {
    pub(super) fn new(side: S, provider: Arc<CryptoProvider>, clock: Clock) -> Self {
        let read = Texts::read(side.common());
        let texts = read.as_ref().ok().map(Texts::hash);
        let made = read.and_then(|texts| make(&side, &texts, &provider, clock.now()));
        let seen = Seen { texts, refused_until: made.as_ref().err().and_then(|error| error.until) };
        let (current, seen, users) = (ArcSwap::from_pointee(made), Mutex::new(seen), Mutex::default());
        Self { side, provider, clock, current, seen, users }
    }

    /// Takes note of a user, until it is dropped.
    pub(super) fn used_by(&self, object: String, path: &str) -> Arc<User> {
        let user = Arc::new(User { object, path: path.to_owned() });
        let mut users = lock(&self.users);
        // only when it is full: each worker and many clients may be users
        if users.len() == users.capacity() {
            users.retain(|user| user.strong_count() > 0);
        }
        users.push(Arc::downgrade(&user));
        user
    }

    /// Lists the users, each once.
    pub(super) fn users(&self) -> BTreeSet<Arc<User>> {
        lock(&self.users).iter().filter_map(Weak::upgrade).collect()
    }

    /// Returns what new handshakes use.
    pub(super) fn config(&self) -> Result<Arc<S::Config>, TlsError> {
        match &**self.current.load() {
            Ok(made) => Ok(Arc::clone(&made.config)),
            Err(error) => Err(error.clone()),
        }
    }

    /// Returns when the first of the certificates expires, in seconds since 1970.
    pub(super) fn expires(&self) -> Option<i64> {
        self.current.load().as_ref().as_ref().ok()?.expires
    }

    /// Lists the files.
    pub(super) fn files(&self) -> Vec<&Path> {
        let CommonTlsContext { tls_certificate, validation_context, .. } = self.side.common();
        let pair = tls_certificate.iter().flat_map(|pair| [&pair.certificate_chain, &pair.private_key]);
        let sources = pair.chain(validation_context.iter().map(|validation| &validation.trusted_ca));
        sources
            .filter_map(|source| if let DataSource::Filename(path) = source { Some(&**path) } else { None })
            .collect()
    }

    /// Reads the files again. What cannot be used is refused once, not every time it is seen.
    pub(super) fn reload(&self) -> Reload {
        let mut seen = lock(&self.seen);
        let read = Texts::read(self.side.common());
        let (texts, now) = (read.as_ref().ok().map(Texts::hash), self.clock.now());
        if seen.texts == texts && seen.refused_until.is_none_or(|until| now < until) {
            return Reload::Unchanged;
        }
        let made = read.and_then(|texts| make(&self.side, &texts, &self.provider, now));
        *seen = Seen { texts, refused_until: made.as_ref().err().and_then(|error| error.until) };
        match made {
            Ok(made) => {
                self.current.store(Arc::new(Ok(made)));
                Reload::Renewed
            }
            Err(error) => {
                if self.current.load().is_err() {
                    self.current.store(Arc::new(Err(error.clone())));
                }
                Reload::Refused(error)
            }
        }
    }
}

fn make<S: Side>(
    side: &S,
    texts: &Texts,
    provider: &Arc<CryptoProvider>,
    now: i64,
) -> Result<Made<S::Config>, TlsError> {
    let common = side.common();
    let mut expires = None;
    let mut note =
        |certificates: &[_]| expires = certificates.iter().filter_map(certificate::expiry).chain(expires).min();
    let pair = common.tls_certificate.as_ref().zip(texts.pair.as_ref()).map(|(sources, (chain, key))| {
        let chain = own_chain(chain, now).map_err(|error| error.read_from(&sources.certificate_chain))?;
        note(&chain);
        certificate::pair(chain, key, KEY, provider).map_err(|error| error.read_from(&sources.private_key))
    });
    let roots = common.validation_context.as_ref().zip(texts.authorities.as_ref()).map(|(validation, authorities)| {
        let named = |error: TlsError| error.read_from(&validation.trusted_ca);
        let authorities = certificate::certificates(authorities, AUTHORITIES).map_err(named)?;
        note(&authorities);
        certificate::roots(&authorities, AUTHORITIES).map(Arc::new).map_err(named)
    });
    let parts = Parts { certificate: pair.transpose()?, roots: roots.transpose()? };
    let config = Arc::new(side.build(parts, Arc::clone(provider))?);
    Ok(Made { config, expires })
}

/// Reads a chain that is to be shown, whose first certificate has to be valid; peers judge the others, and may need
/// none of them.
fn own_chain(chain: &[u8], now: i64) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = certificate::certificates(chain, CHAIN)?;
    chain.first().map_or(Ok(()), |own| certificate::check_validity(own, now, CHAIN))?;
    Ok(chain)
}

impl Side for DownstreamTlsContext {
    type Config = ServerConfig;

    fn common(&self) -> &CommonTlsContext {
        &self.common
    }

    fn build(&self, parts: Parts, provider: Arc<CryptoProvider>) -> Result<ServerConfig, TlsError> {
        let Some(pair) = parts.certificate else { return Err(TlsError::new("common.tlsCertificate", "is required")) };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(self.common.min_version))
            .map_err(|error| TlsError::new("common.minVersion", error.to_string()))?;
        let builder = match (&self.common.validation_context, parts.roots) {
            (Some(validation), Some(roots)) => {
                let required = self.require_client_certificate;
                builder.with_client_cert_verifier(client_verifier(validation, roots, required, provider)?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = alpn(&self.common);
        Ok(config)
    }
}

impl Side for UpstreamTlsContext {
    type Config = ClientConfig;

    fn common(&self) -> &CommonTlsContext {
        &self.common
    }

    fn build(&self, parts: Parts, provider: Arc<CryptoProvider>) -> Result<ClientConfig, TlsError> {
        let (Some(validation), Some(roots)) = (&self.common.validation_context, parts.roots) else {
            return Err(TlsError::new("common.validationContext", "is required"));
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(self.common.min_version))
            .map_err(|error| TlsError::new("common.minVersion", error.to_string()))?;
        let wanted = validation.match_typed_subject_alt_names.clone();
        let builder = if wanted.is_empty() {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|error| TlsError::new(AUTHORITIES, error.to_string()))?)
        } else {
            let algorithms = provider.signature_verification_algorithms;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NamedServers { roots, wanted, algorithms }))
        };
        let mut config = match parts.certificate {
            Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn(&self.common);
        Ok(config)
    }
}

fn client_verifier(
    validation: &CertificateValidationContext,
    roots: Arc<RootCertStore>,
    required: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let inner = builder.build().map_err(|error| TlsError::new(AUTHORITIES, error.to_string()))?;
    let wanted = validation.match_typed_subject_alt_names.clone();
    Ok(if wanted.is_empty() { inner } else { Arc::new(NamedClients { inner, wanted }) })
}

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match lowest {
        TlsVersion::Tls12 => ALL_VERSIONS,
        _ => NEWEST_VERSION,
    }
}

fn alpn(common: &CommonTlsContext) -> Vec<Vec<u8>> {
    common.alpn_protocols.iter().map(|protocol| protocol.clone().into_bytes()).collect()
}

/// What is in the files, or in the configuration itself.
struct Texts {
    /// Chain and key.
    pair: Option<(Vec<u8>, Vec<u8>)>,
    authorities: Option<Vec<u8>>,
}

impl Texts {
    fn read(common: &CommonTlsContext) -> Result<Self, TlsError> {
        let pair = common.tls_certificate.as_ref().map(|TlsCertificate { certificate_chain, private_key, .. }| {
            Ok((read(certificate_chain, CHAIN)?, read(private_key, KEY)?))
        });
        let authorities = common.validation_context.as_ref().map(|context| read(&context.trusted_ca, AUTHORITIES));
        Ok(Self { pair: pair.transpose()?, authorities: authorities.transpose()? })
    }

    fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        let pair = self.pair.iter().flat_map(|(chain, key)| [chain, key]);
        for text in pair.chain(&self.authorities) {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.digest()
    }
}

fn read(source: &DataSource, field: &'static str) -> Result<Vec<u8>, TlsError> {
    match source {
        DataSource::Filename(path) => read_bounded(path)
            .map_err(|error| TlsError::new(field, format!("cannot be read: {error}")).read_from(source)),
        DataSource::InlineString(text) => Ok(text.clone().into_bytes()),
        _ => Err(TlsError::new(field, "is of a kind that this proxy does not know")),
    }
}

/// Reads a file of at most [`LARGEST`] bytes.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

static NEWEST_VERSION: &[&SupportedProtocolVersion] = &[&TLS13];
const CHAIN: &str = "common.tlsCertificate.certificateChain";
const KEY: &str = "common.tlsCertificate.privateKey";
const AUTHORITIES: &str = "common.validationContext.trustedCa";
/// Bytes that a file may have: the bundles of all public authorities have a quarter of it.
const LARGEST: u64 = 1 << 20;
