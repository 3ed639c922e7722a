//! `CommonTlsContext`: certificates, authorities, names, versions.

use std::path::PathBuf;

use aeraki_route::config::{
    CertificateValidationContext, CommonTlsContext, ConfigError, DataSource, SanKind, SanMatcher, SanValue,
    TlsCertificate, TlsVersion,
};

use crate::convert::at::At;
use crate::proto::envoy::config::core::v3::{self as core, data_source::Specifier};
use crate::proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use crate::proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use proto::common_tls_context::ValidationContextType;
use proto::{subject_alt_name_matcher::SanType, tls_parameters::TlsProtocol};

pub(super) fn from_proto(
    common: Option<&proto::CommonTlsContext>,
    at: &At<'_>,
) -> Result<CommonTlsContext, ConfigError> {
    let common = at.require(common)?;
    let proto::CommonTlsContext {
        tls_params,
        tls_certificates,
        tls_certificate_sds_secret_configs,
        tls_certificate_provider_instance,
        custom_tls_certificate_selector,
        tls_certificate_certificate_provider,
        tls_certificate_certificate_provider_instance,
        alpn_protocols,
        custom_handshaker,
        validation_context_type,
    } = common;
    at.refuse_used(&[
        ("tls_certificate_provider_instance", tls_certificate_provider_instance.is_some()),
        ("custom_tls_certificate_selector", custom_tls_certificate_selector.is_some()),
        ("tls_certificate_certificate_provider", tls_certificate_certificate_provider.is_some()),
        ("tls_certificate_certificate_provider_instance", tls_certificate_certificate_provider_instance.is_some()),
        ("custom_handshaker", custom_handshaker.is_some()),
    ])?;
    let sds = tls_certificate_sds_secret_configs.first();
    sds.map_or(Ok(()), |secret| Err(sds_refusal(secret, &at.field("tls_certificate_sds_secret_configs"))))?;
    let mut converted = CommonTlsContext::default();
    converted.tls_certificate = certificate(tls_certificates, at)?;
    converted.validation_context =
        validation_context_type.as_ref().map(|validation| validation_context(validation, at)).transpose()?;
    converted.alpn_protocols.clone_from(alpn_protocols);
    converted.min_version = tls_params
        .as_ref()
        .map_or_else(|| Ok(TlsVersion::default()), |params| lowest_version(params, &at.field("tls_params")))?;
    Ok(converted)
}

fn sds_refusal(secret: &proto::SdsSecretConfig, at: &At<'_>) -> ConfigError {
    let name = &secret.name;
    at.refuse(format!("the secret {name:?} is to come by SDS, which is not supported: name files or write it inline"))
}

fn certificate(list: &[proto::TlsCertificate], at: &At<'_>) -> Result<Option<TlsCertificate>, ConfigError> {
    let certificate = match list {
        [] => return Ok(None),
        [certificate] => certificate,
        more => {
            let reason = format!("must hold one certificate, not {}", more.len());
            return Err(at.field("tls_certificates").refuse(reason));
        }
    };
    let at = &at.item("tls_certificates", 0);
    let proto::TlsCertificate {
        certificate_chain,
        private_key,
        pkcs12,
        private_key_provider,
        password,
        ocsp_staple,
        signed_certificate_timestamp,
        tls_params,
    } = certificate;
    at.refuse_used(&[
        ("pkcs12", pkcs12.is_some()),
        ("private_key_provider", private_key_provider.is_some()),
        ("password", password.is_some()),
        ("ocsp_staple", ocsp_staple.is_some()),
        ("signed_certificate_timestamp", !signed_certificate_timestamp.is_empty()),
        ("tls_params", tls_params.is_some()),
    ])?;
    let chain = data_source(certificate_chain.as_ref(), &at.field("certificate_chain"))?;
    let key = data_source(private_key.as_ref(), &at.field("private_key"))?;
    Ok(Some(TlsCertificate::new(chain, key)))
}

fn validation_context(
    context: &ValidationContextType,
    at: &At<'_>,
) -> Result<CertificateValidationContext, ConfigError> {
    match context {
        ValidationContextType::ValidationContext(context) => validation(context, &at.field("validation_context")),
        ValidationContextType::ValidationContextSdsSecretConfig(secret) => {
            Err(sds_refusal(secret, &at.field("validation_context_sds_secret_config")))
        }
        ValidationContextType::CombinedValidationContext(combined) => {
            let at = &at.field("combined_validation_context");
            match &combined.validation_context_sds_secret_config {
                Some(secret) => Err(sds_refusal(secret, at)),
                None => Err(at.refuse("is not supported: use validation_context")),
            }
        }
        ValidationContextType::ValidationContextCertificateProvider(_)
        | ValidationContextType::ValidationContextCertificateProviderInstance(_) => {
            Err(at.refuse("a certificate provider is not supported: use validation_context"))
        }
    }
}

fn validation(
    context: &proto::CertificateValidationContext,
    at: &At<'_>,
) -> Result<CertificateValidationContext, ConfigError> {
    let proto::CertificateValidationContext {
        trusted_ca,
        ca_certificate_provider_instance,
        system_root_certs,
        verify_certificate_spki,
        verify_certificate_hash,
        match_typed_subject_alt_names,
        match_subject_alt_names,
        require_signed_certificate_timestamp,
        crl,
        allow_expired_certificate,
        trust_chain_verification,
        custom_validator_config,
        only_verify_leaf_cert_crl: _,
        max_verify_depth,
        suppress_client_ca_list: _,
    } = context;
    at.refuse_used(&[
        ("ca_certificate_provider_instance", ca_certificate_provider_instance.is_some()),
        ("system_root_certs", system_root_certs.is_some()),
        ("verify_certificate_spki", !verify_certificate_spki.is_empty()),
        ("verify_certificate_hash", !verify_certificate_hash.is_empty()),
        ("match_subject_alt_names", !match_subject_alt_names.is_empty()),
        ("require_signed_certificate_timestamp", require_signed_certificate_timestamp.unwrap_or_default()),
        ("crl", crl.is_some()),
        ("allow_expired_certificate", *allow_expired_certificate),
        ("trust_chain_verification", *trust_chain_verification != 0),
        ("custom_validator_config", custom_validator_config.is_some()),
        ("max_verify_depth", max_verify_depth.is_some()),
    ])?;
    let mut converted = CertificateValidationContext::new(data_source(trusted_ca.as_ref(), &at.field("trusted_ca"))?);
    for (index, matcher) in match_typed_subject_alt_names.iter().enumerate() {
        converted = converted.with_san(san_matcher(matcher, &at.item("match_typed_subject_alt_names", index))?);
    }
    Ok(converted)
}

fn san_matcher(matcher: &proto::SubjectAltNameMatcher, at: &At<'_>) -> Result<SanMatcher, ConfigError> {
    let kind = match SanType::try_from(matcher.san_type) {
        Ok(SanType::Dns) => SanKind::Dns,
        Ok(SanType::Uri) => SanKind::Uri,
        other => {
            let name = other.map_or_else(|_| matcher.san_type.to_string(), |other| other.as_str_name().to_owned());
            return Err(at.field("san_type").refuse(format!("{name} is not supported: use DNS or URI")));
        }
    };
    let at = &at.field("matcher");
    let StringMatcher { ignore_case, match_pattern } = at.require(matcher.matcher.as_ref())?;
    at.refuse_used(&[("ignore_case", *ignore_case)])?;
    let value = match match_pattern {
        Some(MatchPattern::Exact(text)) => SanValue::Exact(text.clone()),
        Some(MatchPattern::Prefix(text)) => SanValue::Prefix(text.clone()),
        Some(MatchPattern::Suffix(text)) => SanValue::Suffix(text.clone()),
        _ => return Err(at.refuse("must be exact, prefix or suffix")),
    };
    Ok(SanMatcher::new(kind, value))
}

/// Versions before 1.2 may be allowed, but are never spoken; a highest version would keep nobody safe.
fn lowest_version(params: &proto::TlsParameters, at: &At<'_>) -> Result<TlsVersion, ConfigError> {
    let proto::TlsParameters {
        tls_minimum_protocol_version: lowest,
        tls_maximum_protocol_version: highest,
        cipher_suites,
        ecdh_curves,
        signature_algorithms,
        compliance_policies,
    } = params;
    let newest = i32::from(TlsProtocol::TlSv13);
    at.refuse_used(&[
        ("tls_maximum_protocol_version", ![0, newest].contains(highest)),
        ("cipher_suites", !cipher_suites.is_empty()),
        ("ecdh_curves", !ecdh_curves.is_empty()),
        ("signature_algorithms", !signature_algorithms.is_empty()),
        ("compliance_policies", !compliance_policies.is_empty()),
    ])?;
    Ok(if *lowest == newest { TlsVersion::Tls13 } else { TlsVersion::Tls12 })
}

fn data_source(source: Option<&core::DataSource>, at: &At<'_>) -> Result<DataSource, ConfigError> {
    let is_not_text = |_| at.field("inline_bytes").refuse("is not UTF-8, as PEM is");
    match at.require(source)?.specifier.as_ref() {
        Some(Specifier::Filename(path)) => Ok(DataSource::Filename(PathBuf::from(path))),
        Some(Specifier::InlineString(text)) => Ok(DataSource::InlineString(text.clone())),
        Some(Specifier::InlineBytes(bytes)) => {
            let text = String::from_utf8(bytes.to_vec()).map_err(is_not_text)?;
            Ok(DataSource::InlineString(text))
        }
        Some(Specifier::EnvironmentVariable(_)) => Err(at.field("environment_variable").refuse("is not supported")),
        None => Err(at.refuse("is required")),
    }
}
