//! TLS contexts and secrets.
use super::message;

message!(strict DOWNSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext" {
    used: 1 common_tls_context, 2 require_client_certificate;
    ignored:
        4 session_ticket_keys, 5 session_ticket_keys_sds_secret_config, 6 session_timeout,
        7 disable_stateless_session_resumption, 9 full_scan_certs_on_sni_mismatch,
        10 disable_stateful_session_resumption, 11 prefer_client_ciphers;
    refused: 3 require_sni, 8 ocsp_staple_policy;
});
message!(strict UPSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" {
    used: 1 common_tls_context, 2 sni, 6 auto_host_sni, 7 auto_sni_san_validation;
    ignored: 4 max_session_keys, 5 enforce_rsa_key_usage;
    refused: 3 allow_renegotiation;
});
message!(strict COMMON_TLS = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext" {
    used:
        1 tls_params, 2 tls_certificates, 3 validation_context,
        6 tls_certificate_sds_secret_configs, 7 validation_context_sds_secret_config,
        8 combined_validation_context;
    ignored: 4 alpn_protocols;
    refused:
        9 tls_certificate_certificate_provider, 10 validation_context_certificate_provider,
        11 tls_certificate_certificate_provider_instance,
        12 validation_context_certificate_provider_instance, 13 custom_handshaker,
        14 tls_certificate_provider_instance, 15 key_log, 16 custom_tls_certificate_selector;
});
message!(strict COMBINED_VALIDATION =
"envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext" {
    used: 1 default_validation_context, 2 validation_context_sds_secret_config;
    refused:
        3 validation_context_certificate_provider,
        4 validation_context_certificate_provider_instance;
});
message!(strict TLS_PARAMETERS = "envoy.extensions.transport_sockets.tls.v3.TlsParameters" {
    used: 1 tls_minimum_protocol_version, 2 tls_maximum_protocol_version;
    ignored: 3 cipher_suites, 4 ecdh_curves, 5 signature_algorithms;
    refused: 6 compliance_policies;
});
message!(strict TLS_CERTIFICATE = "envoy.extensions.transport_sockets.tls.v3.TlsCertificate" {
    used: 1 certificate_chain, 2 private_key;
    ignored: 4 ocsp_staple, 5 signed_certificate_timestamp, 7 watched_directory;
    refused: 3 password, 6 private_key_provider, 8 pkcs12;
});
message!(strict VALIDATION =
    "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext" {
    used:
        1 trusted_ca, 9 match_subject_alt_names, 10 trust_chain_verification,
        15 match_typed_subject_alt_names, 17 system_root_certs;
    ignored: 11 watched_directory;
    refused:
        2 verify_certificate_hash, 3 verify_certificate_spki,
        6 require_signed_certificate_timestamp, 7 crl, 8 allow_expired_certificate,
        12 custom_validator_config, 13 ca_certificate_provider_instance,
        14 only_verify_leaf_cert_crl, 16 max_verify_depth;
});
message!(strict SAN_MATCHER = "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher" {
    used: 1 san_type, 2 matcher;
    refused: 3 oid;
});
message!(strict SDS_CONFIG = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig" {
    used: 1 name, 2 sds_config;
});
message!(strict SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret" {
    used: 1 name, 2 tls_certificate, 4 validation_context;
    refused: 3 session_ticket_keys, 5 generic_secret;
});

/// Every message of this page.
pub const ALL: &[&super::Message] = &[
    &DOWNSTREAM_TLS,
    &UPSTREAM_TLS,
    &COMMON_TLS,
    &COMBINED_VALIDATION,
    &TLS_PARAMETERS,
    &TLS_CERTIFICATE,
    &VALIDATION,
    &SAN_MATCHER,
    &SDS_CONFIG,
    &SECRET,
];
