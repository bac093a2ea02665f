//! What several resources are made of.
use super::message;

message!(strict ADDRESS = "envoy.config.core.v3.Address" {
    used: 1 socket_address, 2 pipe;
    refused: 3 envoy_internal_address;
});
message!(strict SOCKET_ADDRESS = "envoy.config.core.v3.SocketAddress" {
    used: 1 protocol, 2 address, 3 port_value;
    ignored: 6 ipv4_compat;
    refused: 4 named_port, 5 resolver_name, 7 network_namespace_filepath;
});
message!(strict PIPE = "envoy.config.core.v3.Pipe" {
    used: 1 path;
    ignored: 2 mode;
});
message!(CONFIG_SOURCE = "envoy.config.core.v3.ConfigSource" {
    used: 3 ads, 5 self;
    ignored: 4 initial_fetch_timeout, 6 resource_api_version;
    refused: 1 path, 2 api_config_source, 7 authorities, 8 path_config_source;
});
message!(strict DATA_SOURCE = "envoy.config.core.v3.DataSource" {
    used: 1 filename, 2 inline_bytes, 3 inline_string;
    ignored: 5 watched_directory;
    refused: 4 environment_variable;
});
message!(strict HEADER_VALUE = "envoy.config.core.v3.HeaderValue" {
    used: 1 key, 2 value, 3 raw_value;
});
message!(HEADER_VALUE_OPTION = "envoy.config.core.v3.HeaderValueOption" {
    used: 1 header, 2 append, 3 append_action;
    ignored: 4 keep_empty_value;
});
message!(RUNTIME_FRACTION = "envoy.config.core.v3.RuntimeFractionalPercent" {
    used: 1 default_value;
    ignored: 2 runtime_key;
});
message!(strict FRACTION = "envoy.type.v3.FractionalPercent" {
    used: 1 numerator, 2 denominator;
});
message!(strict PERCENT = "envoy.type.v3.Percent" {
    used: 1 value;
});
message!(strict INT64_RANGE = "envoy.type.v3.Int64Range" {
    used: 1 start, 2 end;
});
message!(strict STRING_MATCHER = "envoy.type.matcher.v3.StringMatcher" {
    used: 1 exact, 2 prefix, 3 suffix, 5 safe_regex, 6 ignore_case, 7 contains;
    refused: 8 custom;
});
message!(strict REGEX_MATCHER = "envoy.type.matcher.v3.RegexMatcher" {
    used: 2 regex;
    ignored: 1 google_re2;
});
message!(strict REGEX_REWRITE = "envoy.type.matcher.v3.RegexMatchAndSubstitute" {
    used: 1 pattern, 2 substitution;
});
message!(strict TYPED_EXTENSION = "envoy.config.core.v3.TypedExtensionConfig" {
    used: 1 name, 2 typed_config;
});
message!(strict TRANSPORT_SOCKET = "envoy.config.core.v3.TransportSocket" {
    used: 1 name, 3 typed_config;
});
message!(LOCALITY = "envoy.config.core.v3.Locality" {
    used: 1 region, 2 zone, 3 sub_zone;
});
message!(METADATA = "envoy.config.core.v3.Metadata" {
    used: 1 filter_metadata;
    ignored: 2 typed_filter_metadata;
});
message!(KEEPALIVE = "envoy.config.core.v3.KeepaliveSettings" {
    used: 1 interval, 2 timeout;
    ignored: 3 interval_jitter, 4 connection_idle_interval;
});
message!(HTTP_OPTIONS = "envoy.config.core.v3.HttpProtocolOptions" {
    used: 1 idle_timeout;
    ignored:
        2 max_headers_count, 3 max_connection_duration, 5 headers_with_underscores_action,
        6 max_requests_per_connection, 7 max_response_headers_kb;
    refused: 4 max_stream_duration;
});
message!(HTTP1_OPTIONS = "envoy.config.core.v3.Http1ProtocolOptions" {
    ignored:
        1 allow_absolute_url, 2 accept_http_10, 3 default_host_for_http_10, 4 header_key_format,
        5 enable_trailers, 7 override_stream_error_on_invalid_http_message, 9 use_balsa_parser,
        10 allow_custom_methods, 11 ignore_http_11_upgrade;
    refused: 6 allow_chunked_length, 8 send_fully_qualified_url;
});
message!(HTTP2_OPTIONS = "envoy.config.core.v3.Http2ProtocolOptions" {
    used: 2 max_concurrent_streams, 15 connection_keepalive;
    ignored:
        1 hpack_table_size, 3 initial_stream_window_size, 4 initial_connection_window_size,
        5 allow_connect, 7 max_outbound_frames, 8 max_outbound_control_frames,
        9 max_consecutive_inbound_frames_with_empty_payload,
        10 max_inbound_priority_frames_per_stream,
        11 max_inbound_window_update_frames_per_data_frame_sent,
        12 stream_error_on_invalid_http_messaging,
        14 override_stream_error_on_invalid_http_message, 16 use_oghttp2_codec,
        17 max_metadata_size;
    refused: 6 allow_metadata, 13 custom_settings_parameters;
});
message!(STRUCT = "google.protobuf.Struct" {
    used: 1 fields;
});
message!(VALUE = "google.protobuf.Value" {
    used: 3 string_value;
    ignored: 1 null_value, 2 number_value, 4 bool_value, 5 struct_value, 6 list_value;
});
message!(strict ANY = "google.protobuf.Any" {
    used: 1 type_url, 2 value;
});

/// Every message of this page.
pub const ALL: &[&super::Message] = &[
    &ADDRESS,
    &SOCKET_ADDRESS,
    &PIPE,
    &CONFIG_SOURCE,
    &DATA_SOURCE,
    &HEADER_VALUE,
    &HEADER_VALUE_OPTION,
    &RUNTIME_FRACTION,
    &FRACTION,
    &PERCENT,
    &INT64_RANGE,
    &STRING_MATCHER,
    &REGEX_MATCHER,
    &REGEX_REWRITE,
    &TYPED_EXTENSION,
    &TRANSPORT_SOCKET,
    &LOCALITY,
    &METADATA,
    &KEEPALIVE,
    &HTTP_OPTIONS,
    &HTTP1_OPTIONS,
    &HTTP2_OPTIONS,
    &STRUCT,
    &VALUE,
    &ANY,
];
