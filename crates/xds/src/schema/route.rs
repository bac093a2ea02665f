//! Route tables and what their routes do.
use super::message;

message!(ROUTE_CONFIGURATION = "envoy.config.route.v3.RouteConfiguration" {
    used:
        1 name, 2 virtual_hosts, 4 response_headers_to_add, 5 response_headers_to_remove,
        6 request_headers_to_add, 8 request_headers_to_remove, 14 ignore_port_in_host_matching;
    ignored:
        3 internal_only_headers, 7 validate_clusters, 10 most_specific_header_mutations_wins,
        11 max_direct_response_body_size_bytes, 12 cluster_specifier_plugins, 17 metadata;
    refused:
        9 vhds, 13 request_mirror_policies, 15 ignore_path_parameters_in_path_matching,
        16 typed_per_filter_config, 18 vhost_header;
});
message!(VIRTUAL_HOST = "envoy.config.route.v3.VirtualHost" {
    used:
        1 name, 2 domains, 3 routes, 7 request_headers_to_add, 10 response_headers_to_add,
        11 response_headers_to_remove, 13 request_headers_to_remove, 16 retry_policy,
        17 hedge_policy, 22 request_mirror_policies;
    ignored:
        5 virtual_clusters, 14 include_request_attempt_count, 18 per_request_buffer_limit_bytes,
        19 include_attempt_count_in_response, 23 include_is_timeout_retry_header, 24 metadata,
        25 request_body_buffer_limit;
    refused:
        4 require_tls, 6 rate_limits, 8 cors, 15 typed_per_filter_config,
        20 retry_policy_typed_config, 21 matcher;
});
message!(ROUTE = "envoy.config.route.v3.Route" {
    used:
        1 match, 2 route, 3 redirect, 7 direct_response, 9 request_headers_to_add,
        10 response_headers_to_add, 11 response_headers_to_remove, 12 request_headers_to_remove,
        13 typed_per_filter_config, 14 name;
    ignored:
        4 metadata, 5 decorator, 15 tracing, 16 per_request_buffer_limit_bytes, 19 stat_prefix,
        20 request_body_buffer_limit;
    refused: 17 filter_action, 18 non_forwarding_action;
});
message!(strict ROUTE_MATCH = "envoy.config.route.v3.RouteMatch" {
    used:
        1 prefix, 2 path, 4 case_sensitive, 6 headers, 7 query_parameters, 8 grpc,
        9 runtime_fraction, 10 safe_regex, 14 path_separated_prefix;
    refused:
        11 tls_context, 12 connect_matcher, 13 dynamic_metadata, 15 path_match_policy,
        16 filter_state;
});
message!(strict HEADER_MATCHER = "envoy.config.route.v3.HeaderMatcher" {
    used:
        1 name, 4 exact_match, 6 range_match, 7 present_match, 8 invert_match, 9 prefix_match,
        10 suffix_match, 11 safe_regex_match, 12 contains_match, 13 string_match;
    refused: 14 treat_missing_header_as_empty;
});
message!(strict QUERY_MATCHER = "envoy.config.route.v3.QueryParameterMatcher" {
    used: 1 name, 5 string_match, 6 present_match;
});
message!(ROUTE_ACTION = "envoy.config.route.v3.RouteAction" {
    used:
        1 cluster, 3 weighted_clusters, 5 prefix_rewrite, 6 host_rewrite_literal,
        7 auto_host_rewrite, 8 timeout, 9 retry_policy, 15 hash_policy, 24 idle_timeout,
        25 upgrade_configs, 27 hedge_policy, 30 request_mirror_policies, 32 regex_rewrite;
    ignored:
        4 metadata_match, 11 priority, 14 include_vh_rate_limits,
        20 cluster_not_found_response_code, 23 max_grpc_timeout, 28 grpc_timeout_offset,
        31 max_internal_redirects, 36 max_stream_duration, 38 append_x_forwarded_host,
        40 early_data_policy, 42 flush_timeout;
    refused:
        2 cluster_header, 13 rate_limits, 17 cors, 26 internal_redirect_action,
        29 host_rewrite_header, 33 retry_policy_typed_config, 34 internal_redirect_policy,
        35 host_rewrite_path_regex, 37 cluster_specifier_plugin,
        39 inline_cluster_specifier_plugin, 41 path_rewrite_policy, 44 host_rewrite,
        45 path_rewrite;
});
message!(strict WEIGHTED_CLUSTERS = "envoy.config.route.v3.WeightedCluster" {
    used: 1 clusters;
    ignored: 2 runtime_key_prefix, 3 total_weight;
    refused: 4 header_name, 5 use_hash_policy;
});
message!(strict CLUSTER_WEIGHT = "envoy.config.route.v3.WeightedCluster.ClusterWeight" {
    used: 1 name, 2 weight;
    ignored: 3 metadata_match;
    refused:
        4 request_headers_to_add, 5 response_headers_to_add, 6 response_headers_to_remove,
        9 request_headers_to_remove, 10 typed_per_filter_config, 11 host_rewrite_literal,
        12 cluster_header;
});
message!(MIRROR = "envoy.config.route.v3.RouteAction.RequestMirrorPolicy" {
    used: 1 cluster, 3 runtime_fraction;
    ignored: 4 trace_sampled, 6 disable_shadow_host_suffix_append;
    refused: 5 cluster_header, 7 request_headers_mutations, 8 host_rewrite_literal;
});
message!(HASH_POLICY = "envoy.config.route.v3.RouteAction.HashPolicy" {
    used: 1 header, 2 cookie, 3 connection_properties, 5 query_parameter;
    ignored: 4 terminal;
    refused: 6 filter_state;
});
message!(HASH_HEADER = "envoy.config.route.v3.RouteAction.HashPolicy.Header" {
    used: 1 header_name;
    refused: 2 regex_rewrite;
});
message!(HASH_COOKIE = "envoy.config.route.v3.RouteAction.HashPolicy.Cookie" {
    used: 1 name, 2 ttl;
    ignored: 3 path, 4 attributes;
});
message!(HASH_CONNECTION = "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties" {
    used: 1 source_ip;
});
message!(HASH_QUERY = "envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter" {
    used: 1 name;
});
message!(strict ROUTE_UPGRADE = "envoy.config.route.v3.RouteAction.UpgradeConfig" {
    used: 1 upgrade_type, 2 enabled;
    refused: 3 connect_config;
});
message!(RETRY = "envoy.config.route.v3.RetryPolicy" {
    used:
        1 retry_on, 2 num_retries, 3 per_try_timeout, 7 retriable_status_codes, 8 retry_back_off;
    ignored:
        4 retry_priority, 5 retry_host_predicate, 6 host_selection_retry_max_attempts,
        9 retriable_headers, 11 rate_limited_retry_back_off, 12 retry_options_predicates,
        13 per_try_idle_timeout;
    refused: 10 retriable_request_headers;
});
message!(BACKOFF = "envoy.config.route.v3.RetryPolicy.RetryBackOff" {
    used: 1 base_interval, 2 max_interval;
});
message!(HEDGE = "envoy.config.route.v3.HedgePolicy" {
    used: 3 hedge_on_per_try_timeout;
    ignored: 1 initial_requests, 2 additional_request_chance;
});
message!(strict REDIRECT = "envoy.config.route.v3.RedirectAction" {
    used:
        1 host_redirect, 2 path_redirect, 3 response_code, 4 https_redirect, 5 prefix_rewrite,
        6 strip_query, 7 scheme_redirect, 8 port_redirect;
    refused: 9 regex_rewrite;
});
message!(DIRECT_RESPONSE = "envoy.config.route.v3.DirectResponseAction" {
    used: 1 status, 2 body;
    refused: 3 body_format;
});
message!(strict FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault" {
    used: 1 delay, 2 abort;
    ignored:
        6 max_active_faults, 8 delay_percent_runtime, 9 abort_percent_runtime,
        10 delay_duration_runtime, 11 abort_http_status_runtime, 12 max_active_faults_runtime,
        13 response_rate_limit_percent_runtime, 14 abort_grpc_status_runtime,
        15 disable_downstream_cluster_stats, 16 filter_metadata;
    refused: 3 upstream_cluster, 4 headers, 5 downstream_nodes, 7 response_rate_limit;
});
message!(strict FAULT_DELAY = "envoy.extensions.filters.common.fault.v3.FaultDelay" {
    used: 3 fixed_delay, 4 percentage;
    refused: 5 header_delay;
});
message!(strict FAULT_ABORT = "envoy.extensions.filters.http.fault.v3.FaultAbort" {
    used: 2 http_status, 3 percentage;
    refused: 4 header_abort, 5 grpc_status;
});

/// Every message of this page.
pub const ALL: &[&super::Message] = &[
    &ROUTE_CONFIGURATION,
    &VIRTUAL_HOST,
    &ROUTE,
    &ROUTE_MATCH,
    &HEADER_MATCHER,
    &QUERY_MATCHER,
    &ROUTE_ACTION,
    &WEIGHTED_CLUSTERS,
    &CLUSTER_WEIGHT,
    &MIRROR,
    &HASH_POLICY,
    &HASH_HEADER,
    &HASH_COOKIE,
    &HASH_CONNECTION,
    &HASH_QUERY,
    &ROUTE_UPGRADE,
    &RETRY,
    &BACKOFF,
    &HEDGE,
    &REDIRECT,
    &DIRECT_RESPONSE,
    &FAULT,
    &FAULT_DELAY,
    &FAULT_ABORT,
];
