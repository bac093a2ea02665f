//! Clusters, endpoints and how clusters are kept well.
use super::message;

message!(CLUSTER = "envoy.config.cluster.v3.Cluster" {
    used:
        1 name, 2 type, 3 eds_cluster_config, 4 connect_timeout, 6 lb_policy, 8 health_checks,
        10 circuit_breakers, 13 http_protocol_options, 14 http2_protocol_options,
        16 dns_refresh_rate, 19 outlier_detection, 23 ring_hash_lb_config, 24 transport_socket,
        27 common_lb_config, 29 common_http_protocol_options, 30 upstream_connection_options,
        33 load_assignment, 34 original_dst_lb_config, 36 typed_extension_protocol_options,
        37 least_request_lb_config, 41 load_balancing_policy, 43 transport_socket_matches,
        46 upstream_http_protocol_options, 52 maglev_lb_config, 56 round_robin_lb_config;
    ignored:
        5 per_connection_buffer_limit_bytes, 9 max_requests_per_connection,
        17 dns_lookup_family, 18 dns_resolvers, 20 cleanup_interval, 22 lb_subset_config,
        25 metadata, 26 protocol_selection, 28 alt_stat_name,
        31 close_connections_on_host_health_failure, 32 ignore_health_on_host_removal,
        39 respect_dns_ttl, 42 lrs_server, 44 dns_failure_refresh_rate,
        45 use_tcp_for_dns_lookups, 47 track_timeout_budgets, 49 track_cluster_stats,
        50 preconnect_policy, 51 connection_pool_per_downstream_connection,
        53 dns_resolution_config, 54 wait_for_warm_on_init, 55 typed_dns_resolver_config,
        57 lrs_report_endpoint_metrics, 58 dns_jitter;
    refused:
        21 upstream_bind_config, 38 cluster_type, 40 filters, 48 upstream_config,
        59 transport_socket_matcher;
});
message!(strict SOCKET_MATCH = "envoy.config.cluster.v3.Cluster.TransportSocketMatch" {
    used: 2 match, 3 transport_socket;
    ignored: 1 name;
});
message!(strict EDS_CONFIG = "envoy.config.cluster.v3.Cluster.EdsClusterConfig" {
    used: 1 eds_config, 2 service_name;
});
message!(CIRCUIT_BREAKERS = "envoy.config.cluster.v3.CircuitBreakers" {
    used: 1 thresholds, 2 per_host_thresholds;
});
message!(THRESHOLDS = "envoy.config.cluster.v3.CircuitBreakers.Thresholds" {
    used:
        1 priority, 2 max_connections, 3 max_pending_requests, 4 max_requests, 5 max_retries,
        8 retry_budget;
    ignored: 6 track_remaining, 7 max_connection_pools;
});
message!(RETRY_BUDGET = "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget" {
    used: 1 budget_percent, 2 min_retry_concurrency;
});
message!(OUTLIER = "envoy.config.cluster.v3.OutlierDetection" {
    used:
        1 consecutive_5xx, 2 interval, 3 base_ejection_time, 4 max_ejection_percent,
        5 enforcing_consecutive_5xx, 10 consecutive_gateway_failure,
        11 enforcing_consecutive_gateway_failure, 16 failure_percentage_threshold,
        17 enforcing_failure_percentage, 20 failure_percentage_request_volume,
        21 max_ejection_time;
    ignored:
        6 enforcing_success_rate, 7 success_rate_minimum_hosts, 8 success_rate_request_volume,
        9 success_rate_stdev_factor, 12 split_external_local_origin_errors,
        13 consecutive_local_origin_failure, 14 enforcing_consecutive_local_origin_failure,
        15 enforcing_local_origin_success_rate, 18 enforcing_failure_percentage_local_origin,
        19 failure_percentage_minimum_hosts, 22 max_ejection_time_jitter,
        23 successful_active_health_check_uneject_host, 24 monitors, 25 always_eject_one_host;
});
message!(HEALTH_CHECK = "envoy.config.core.v3.HealthCheck" {
    used:
        1 timeout, 2 interval, 4 unhealthy_threshold, 5 healthy_threshold, 8 http_health_check,
        9 tcp_health_check, 11 grpc_health_check;
    ignored:
        3 interval_jitter, 7 reuse_connection, 12 no_traffic_interval, 14 unhealthy_interval,
        15 unhealthy_edge_interval, 16 healthy_edge_interval, 17 event_log_path,
        18 interval_jitter_percent, 19 always_log_health_check_failures, 20 initial_jitter,
        22 event_service, 24 no_traffic_healthy_interval, 25 event_logger,
        26 always_log_health_check_success;
    refused:
        6 alt_port, 13 custom_health_check, 21 tls_options, 23 transport_socket_match_criteria;
});
message!(HTTP_CHECK = "envoy.config.core.v3.HealthCheck.HttpHealthCheck" {
    used: 1 host, 2 path, 9 expected_statuses, 13 method;
    ignored: 10 codec_client_type, 12 retriable_statuses, 14 response_buffer_size;
    refused:
        3 send, 4 receive, 6 request_headers_to_add, 8 request_headers_to_remove,
        11 service_name_matcher;
});
message!(GRPC_CHECK = "envoy.config.core.v3.HealthCheck.GrpcHealthCheck" {
    used: 1 service_name;
    ignored: 2 authority;
    refused: 3 initial_metadata;
});
message!(TCP_CHECK = "envoy.config.core.v3.HealthCheck.TcpHealthCheck" {
    refused: 1 send, 2 receive, 3 proxy_protocol_config;
});
message!(COMMON_LB = "envoy.config.cluster.v3.Cluster.CommonLbConfig" {
    used: 1 healthy_panic_threshold, 2 zone_aware_lb_config;
    ignored:
        3 locality_weighted_lb_config, 4 update_merge_window, 5 ignore_new_hosts_until_first_hc,
        6 close_connections_on_host_set_change, 7 consistent_hashing_lb_config,
        8 override_host_status;
});
message!(ZONE_AWARE = "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig" {
    used: 2 min_cluster_size;
    ignored: 1 routing_enabled, 3 fail_traffic_on_panic;
});
message!(ROUND_ROBIN = "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig" {
    used: 1 slow_start_config;
});
message!(LEAST_REQUEST = "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig" {
    used: 1 choice_count, 3 slow_start_config;
    ignored: 2 active_request_bias;
});
message!(RING_HASH = "envoy.config.cluster.v3.Cluster.RingHashLbConfig" {
    used: 1 minimum_ring_size;
    ignored: 3 hash_function, 4 maximum_ring_size;
});
message!(MAGLEV = "envoy.config.cluster.v3.Cluster.MaglevLbConfig" {
    used: 1 table_size;
});
message!(SLOW_START = "envoy.config.cluster.v3.Cluster.SlowStartConfig" {
    used: 1 slow_start_window, 3 min_weight_percent;
    ignored: 2 aggression;
});
message!(strict ORIGINAL_DST = "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig" {
    refused: 1 use_http_header, 2 http_header_name, 3 upstream_port_override, 4 metadata_key;
});
message!(LB_POLICY = "envoy.config.cluster.v3.LoadBalancingPolicy" {
    used: 1 policies;
});
message!(LB_POLICY_ONE = "envoy.config.cluster.v3.LoadBalancingPolicy.Policy" {
    used: 4 typed_extension_config;
});
message!(LB_ROUND_ROBIN = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin" {
    used: 1 slow_start_config;
    ignored: 2 locality_lb_config;
});
message!(LB_LEAST_REQUEST =
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest" {
    used: 1 choice_count, 3 slow_start_config;
    ignored:
        2 active_request_bias, 4 locality_lb_config, 5 enable_full_scan, 6 selection_method;
});
message!(LB_RING_HASH = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash" {
    used: 2 minimum_ring_size;
    ignored:
        1 hash_function, 3 maximum_ring_size, 4 use_hostname_for_hashing, 5 hash_balance_factor,
        6 consistent_hashing_lb_config, 7 locality_weighted_lb_config;
});
message!(LB_MAGLEV = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev" {
    used: 1 table_size;
    ignored: 2 consistent_hashing_lb_config, 3 locality_weighted_lb_config;
});
message!(LB_RANDOM = "envoy.extensions.load_balancing_policies.random.v3.Random" {
    ignored: 1 locality_lb_config;
});
message!(LB_SLOW_START = "envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig" {
    used: 1 slow_start_window, 3 min_weight_percent;
    ignored: 2 aggression;
});
message!(UPSTREAM_CONNECTION = "envoy.config.cluster.v3.UpstreamConnectionOptions" {
    ignored:
        1 tcp_keepalive, 2 set_local_interface_name_on_upstream_connections,
        3 happy_eyeballs_config;
});
message!(strict UPSTREAM_HTTP = "envoy.config.core.v3.UpstreamHttpProtocolOptions" {
    used: 1 auto_sni, 2 auto_san_validation;
    refused: 3 override_auto_sni_header;
});
message!(UPSTREAM_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions" {
    used:
        1 common_http_protocol_options, 2 upstream_http_protocol_options,
        3 explicit_http_config, 4 use_downstream_protocol_config, 5 auto_config;
    ignored: 7 header_validation_config, 8 outlier_detection;
    refused: 6 http_filters, 9 request_mirror_policies, 10 hash_policy, 11 retry_policy;
});
message!(EXPLICIT_HTTP =
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig" {
    used: 1 http_protocol_options, 2 http2_protocol_options;
    refused: 3 http3_protocol_options;
});
message!(DOWNSTREAM_HTTP =
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig" {
    used: 1 http_protocol_options, 2 http2_protocol_options;
    refused: 3 http3_protocol_options;
});
message!(AUTO_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig" {
    used: 1 http_protocol_options, 2 http2_protocol_options;
    ignored: 4 alternate_protocols_cache_options;
    refused: 3 http3_protocol_options;
});
message!(ASSIGNMENT = "envoy.config.endpoint.v3.ClusterLoadAssignment" {
    used: 1 cluster_name, 2 endpoints, 4 policy;
    refused: 5 named_endpoints;
});
message!(ASSIGNMENT_POLICY = "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy" {
    ignored: 3 overprovisioning_factor, 4 endpoint_stale_after, 6 weighted_priority_health;
    refused: 2 drop_overloads;
});
message!(LOCALITY_ENDPOINTS = "envoy.config.endpoint.v3.LocalityLbEndpoints" {
    used: 1 locality, 2 lb_endpoints, 5 priority;
    ignored: 3 load_balancing_weight, 6 proximity, 9 metadata;
    refused: 7 load_balancer_endpoints, 8 leds_cluster_locality_config;
});
message!(LB_ENDPOINT = "envoy.config.endpoint.v3.LbEndpoint" {
    used: 1 endpoint, 2 health_status, 3 metadata, 4 load_balancing_weight;
    refused: 5 endpoint_name;
});
message!(ENDPOINT = "envoy.config.endpoint.v3.Endpoint" {
    used: 1 address;
    ignored: 2 health_check_config, 3 hostname, 4 additional_addresses;
});

/// Every message of this page.
pub const ALL: &[&super::Message] = &[
    &CLUSTER,
    &SOCKET_MATCH,
    &EDS_CONFIG,
    &CIRCUIT_BREAKERS,
    &THRESHOLDS,
    &RETRY_BUDGET,
    &OUTLIER,
    &HEALTH_CHECK,
    &HTTP_CHECK,
    &GRPC_CHECK,
    &TCP_CHECK,
    &COMMON_LB,
    &ZONE_AWARE,
    &ROUND_ROBIN,
    &LEAST_REQUEST,
    &RING_HASH,
    &MAGLEV,
    &SLOW_START,
    &ORIGINAL_DST,
    &LB_POLICY,
    &LB_POLICY_ONE,
    &LB_ROUND_ROBIN,
    &LB_LEAST_REQUEST,
    &LB_RING_HASH,
    &LB_MAGLEV,
    &LB_RANDOM,
    &LB_SLOW_START,
    &UPSTREAM_CONNECTION,
    &UPSTREAM_HTTP,
    &UPSTREAM_OPTIONS,
    &EXPLICIT_HTTP,
    &DOWNSTREAM_HTTP,
    &AUTO_HTTP,
    &ASSIGNMENT,
    &ASSIGNMENT_POLICY,
    &LOCALITY_ENDPOINTS,
    &LB_ENDPOINT,
    &ENDPOINT,
];
