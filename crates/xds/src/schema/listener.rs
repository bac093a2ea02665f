//! Listeners, connection managers and their filters.
use super::message;

message!(LISTENER = "envoy.config.listener.v3.Listener" {
    used:
        1 name, 2 address, 3 filter_chains, 4 use_original_dst, 9 listener_filters,
        10 transparent, 25 default_filter_chain, 26 bind_to_port;
    ignored:
        5 per_connection_buffer_limit_bytes, 6 metadata, 8 drain_type, 11 freebind,
        12 tcp_fast_open_queue_length, 13 socket_options, 15 listener_filters_timeout,
        16 traffic_direction, 17 continue_on_listener_filters_timeout,
        20 connection_balance_config, 21 reuse_port, 22 access_log, 24 tcp_backlog_size,
        28 stat_prefix, 29 enable_reuse_port, 30 enable_mptcp, 31 ignore_global_conn_limit,
        34 max_connections_to_accept_per_socket_event, 35 bypass_overload_manager;
    refused:
        7 deprecated_v1, 18 udp_listener_config, 19 api_listener, 27 internal_listener,
        32 filter_chain_matcher, 33 additional_addresses, 36 fcds_config;
});
message!(strict FILTER_CHAIN = "envoy.config.listener.v3.FilterChain" {
    used: 1 filter_chain_match, 3 filters, 4 use_proxy_proto, 6 transport_socket;
    ignored: 5 metadata, 7 name, 9 transport_socket_connect_timeout;
});
message!(strict FILTER_CHAIN_MATCH = "envoy.config.listener.v3.FilterChainMatch" {
    used: 9 transport_protocol, 10 application_protocols, 11 server_names;
    refused:
        3 prefix_ranges, 4 address_suffix, 5 suffix_len, 6 source_prefix_ranges, 7 source_ports,
        8 destination_port, 12 source_type, 13 direct_source_prefix_ranges;
});
message!(strict FILTER = "envoy.config.listener.v3.Filter" {
    used: 1 name, 4 typed_config;
    refused: 5 config_discovery;
});
message!(strict LISTENER_FILTER = "envoy.config.listener.v3.ListenerFilter" {
    used: 1 name, 3 typed_config;
    refused: 4 filter_disabled, 5 config_discovery;
});
message!(PROXY_PROTOCOL = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol" {
    ignored: 1 rules, 3 pass_through_tlvs, 5 stat_prefix, 6 tlv_location;
    refused: 2 allow_requests_without_proxy_protocol, 4 disallowed_versions;
});
message!(HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" {
    used:
        1 codec_type, 3 rds, 4 route_config, 5 http_filters, 8 http_protocol_options,
        9 http2_protocol_options, 19 xff_num_trusted_hops, 23 upgrade_configs,
        24 stream_idle_timeout, 28 request_timeout, 29 max_request_headers_kb,
        35 common_http_protocol_options, 41 request_headers_timeout,
        45 path_with_escaped_slashes_action;
    ignored:
        2 stat_prefix, 6 add_user_agent, 7 tracing, 10 server_name, 12 drain_timeout,
        13 access_log, 14 use_remote_address, 15 generate_request_id,
        16 forward_client_cert_details, 17 set_current_client_cert_details,
        18 proxy_100_continue, 20 represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        21 skip_xff_append, 22 via, 25 internal_address_config, 26 delayed_close_timeout,
        30 normalize_path, 32 preserve_external_request_id, 33 merge_slashes,
        34 server_header_transformation, 36 request_id_extension,
        37 always_set_request_id_in_response, 38 local_reply_config,
        39 strip_matching_host_port, 40 stream_error_on_invalid_http_message,
        42 strip_any_host_port, 47 strip_trailing_host_dot, 48 scheme_header_transformation,
        49 proxy_status_config, 51 append_x_forwarded_port, 54 access_log_flush_interval,
        55 flush_access_log_on_new_request, 56 access_log_options, 57 append_local_overload,
        58 http1_safe_max_connection_duration, 59 stream_flush_timeout;
    refused:
        31 scoped_routes, 43 path_normalization_options, 44 http3_protocol_options,
        46 original_ip_detection_extensions, 50 typed_header_validation_config,
        52 early_header_mutation_extensions, 53 add_proxy_protocol_connection_state,
        60 forward_client_cert_matcher;
});
message!(strict UPGRADE =
"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig" {
    used: 1 upgrade_type, 3 enabled;
    refused: 2 filters;
});
message!(strict RDS = "envoy.extensions.filters.network.http_connection_manager.v3.Rds" {
    used: 1 config_source, 2 route_config_name;
});
message!(strict HTTP_FILTER =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter" {
    used: 1 name, 4 typed_config, 6 is_optional, 7 disabled;
    refused: 5 config_discovery;
});
message!(strict TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" {
    used: 2 cluster, 10 weighted_clusters;
    ignored:
        1 stat_prefix, 3 downstream_idle_timeout, 4 upstream_idle_timeout, 5 access_log,
        7 max_connect_attempts, 8 idle_timeout, 13 max_downstream_connection_duration,
        15 access_log_flush_interval, 16 flush_access_log_on_connected, 17 access_log_options,
        18 backoff_options, 20 max_downstream_connection_duration_jitter_percentage;
    refused:
        9 metadata_match, 11 hash_policy, 12 tunneling_config, 14 on_demand,
        19 proxy_protocol_tlvs, 21 upstream_connect_mode, 22 max_early_data_bytes;
});
message!(strict TCP_WEIGHTED =
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster" {
    used: 1 clusters;
});
message!(strict TCP_WEIGHT =
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight" {
    used: 1 name, 2 weight;
    refused: 3 metadata_match;
});

/// Every message of this page.
pub const ALL: &[&super::Message] = &[
    &LISTENER,
    &FILTER_CHAIN,
    &FILTER_CHAIN_MATCH,
    &FILTER,
    &LISTENER_FILTER,
    &PROXY_PROTOCOL,
    &HCM,
    &UPGRADE,
    &RDS,
    &HTTP_FILTER,
    &TCP_PROXY,
    &TCP_WEIGHTED,
    &TCP_WEIGHT,
];
