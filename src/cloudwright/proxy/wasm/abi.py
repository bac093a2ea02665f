"""Numbers, signatures and serialised maps of the proxy-wasm ABI 0.2.1.

The specification is github.com/proxy-wasm/spec, abi-versions/v0.2.1.
"""

from __future__ import annotations

import struct

OK, NOT_FOUND, BAD_ARGUMENT, INVALID_MEMORY = 0, 1, 2, 6
EMPTY, CAS_MISMATCH, UNIMPLEMENTED = 7, 8, 12
CONTINUE, PAUSE = 0, 1
REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS = 0, 1, 2, 3
MAPS = 8
REQUEST_BODY, RESPONSE_BODY, VM_CONFIGURATION, PLUGIN_CONFIGURATION = 0, 1, 6, 7
BUFFERS = 9
COUNTER, GAUGE, HISTOGRAM = 0, 1, 2
LEVELS = (5, 10, 20, 30, 40, 50)
"""``proxy_log_level_t`` → Python's levels."""

Pairs = list[tuple[bytes, bytes]]

SIGNATURES = {
    "proxy_log": "iii",
    "proxy_get_log_level": "i",
    "proxy_get_current_time_nanoseconds": "i",
    "proxy_set_tick_period_milliseconds": "i",
    "proxy_set_buffer_bytes": "iiiii",
    "proxy_get_buffer_bytes": "iiiii",
    "proxy_get_buffer_status": "iii",
    "proxy_get_header_map_size": "ii",
    "proxy_get_header_map_pairs": "iii",
    "proxy_set_header_map_pairs": "iii",
    "proxy_get_header_map_value": "iiiii",
    "proxy_add_header_map_value": "iiiii",
    "proxy_replace_header_map_value": "iiiii",
    "proxy_remove_header_map_value": "iii",
    "proxy_continue_stream": "i",
    "proxy_close_stream": "i",
    "proxy_get_status": "iii",
    "proxy_send_local_response": "iiiiiiii",
    "proxy_set_shared_data": "iiiii",
    "proxy_get_shared_data": "iiiii",
    "proxy_register_shared_queue": "iii",
    "proxy_resolve_shared_queue": "iiiii",
    "proxy_enqueue_shared_queue": "iii",
    "proxy_dequeue_shared_queue": "iii",
    "proxy_define_metric": "iiii",
    "proxy_record_metric": "il",
    "proxy_increment_metric": "il",
    "proxy_get_metric": "ii",
    "proxy_get_property": "iiii",
    "proxy_set_property": "iiii",
    "proxy_done": "",
    "proxy_set_effective_context": "i",
}
"""Parameters (``i`` 32 bits, ``l`` 64) of each function; all return a status."""
NOT_HERE = {
    "proxy_http_call": "iiiiiiiiii",
    "proxy_grpc_call": "iiiiiiiiiiii",
    "proxy_grpc_stream": "iiiiiiiii",
    "proxy_grpc_send": "iiii",
    "proxy_grpc_cancel": "i",
    "proxy_grpc_close": "i",
    "proxy_call_foreign_function": "iiiiii",
}
"""Functions that answer UNIMPLEMENTED."""


def pack_pairs(pairs: Pairs) -> bytes:
    """A map as the ABI serialises it."""
    sizes = b"".join([struct.pack("<II", len(name), len(value)) for name, value in pairs])
    texts = b"".join([name + b"\0" + value + b"\0" for name, value in pairs])
    return struct.pack("<I", len(pairs)) + sizes + texts


def unpack_pairs(data: bytes) -> Pairs:
    """A serialised map.

    Raises:
        ValueError: it is cut off.
    """
    if len(data) < 4:
        return []
    (count,) = struct.unpack_from("<I", data)
    position = 4 + 8 * count
    if position > len(data):
        raise ValueError("a serialised map that is cut off")
    pairs = []
    for index in range(count):
        name, value = struct.unpack_from("<II", data, 4 + 8 * index)
        end = position + name + 1 + value
        if end + 1 > len(data):
            raise ValueError("a serialised map that is cut off")
        pairs.append((data[position : position + name], data[position + name + 1 : end]))
        position = end + 1
    return pairs
