;; A filter by the proxy-wasm ABI 0.2.1, written by hand: no SDK is between it and the host.
;;   /forbidden       answered 403 by the filter
;;   /loop            never returns
;;   /trap            fails
;;   anything else    x-wasm: the plugin's configuration; x-method: the pseudo-header :method
;; The answer gets x-path, remembered from the request by a property, and its body is turned to
;; upper case in place. What it has seen is counted by a metric.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes"
    (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes"
    (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value"
    (func $set_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $count (param i32 i64) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  ;; 0: results of host calls (pointer at 0, size at 4); 8, 12: the configuration; 16, 20: metrics
  (data (i32.const 64) "x-wasm")
  (data (i32.const 80) ":path")
  (data (i32.const 96) ":method")
  (data (i32.const 112) "x-method")
  (data (i32.const 128) "x-path")
  (data (i32.const 144) "saved.path")
  (data (i32.const 160) "not today")
  (data (i32.const 176) "/forbidden")
  (data (i32.const 192) "requests")
  (data (i32.const 208) "/loop")
  (data (i32.const 224) "/trap")
  (data (i32.const 240) "over")
  (data (i32.const 256) "ticks")
  (global $free (mut i32) (i32.const 4096))

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  ;; Memory is never given back, but begins anew after 64 KiB: enough for a test.
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $place i32)
    (if (i32.gt_u (global.get $free) (i32.const 65536))
      (then (global.set $free (i32.const 8192))))
    (local.set $place (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $place))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32)
    (drop (call $define (i32.const 0) (i32.const 192) (i32.const 8) (i32.const 16)))
    (drop (call $define (i32.const 0) (i32.const 256) (i32.const 5) (i32.const 20)))
    (drop (call $tick (i32.const 50)))
    ;; Without a configuration it does not start.
    (if (result i32) (local.get $size)
      (then (i32.eqz (call $get_buffer
        (i32.const 7) (i32.const 0) (local.get $size) (i32.const 8) (i32.const 12))))
      (else (i32.const 0))))

  (func (export "proxy_on_tick") (param i32)
    (drop (call $count (i32.load (i32.const 20)) (i64.const 1))))

  (func $is (param $text i32) (param $size i32) (result i32)
    (local $i i32)
    (if (i32.ne (i32.load (i32.const 4)) (local.get $size)) (then (return (i32.const 0))))
    (loop $next
      (if (i32.ne
            (i32.load8_u (i32.add (i32.load (i32.const 0)) (local.get $i)))
            (i32.load8_u (i32.add (local.get $text) (local.get $i))))
        (then (return (i32.const 0))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $size))))
    (i32.const 1))

  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $count (i32.load (i32.const 16)) (i64.const 1)))
    (drop (call $get_header
      (i32.const 0) (i32.const 80) (i32.const 5) (i32.const 0) (i32.const 4)))
    (drop (call $set_property
      (i32.const 144) (i32.const 10) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    (if (call $is (i32.const 176) (i32.const 10))
      (then
        (drop (call $respond (i32.const 403) (i32.const 0) (i32.const 0)
          (i32.const 160) (i32.const 9) (i32.const 0) (i32.const 0) (i32.const -1)))
        (return (i32.const 1))))
    (if (call $is (i32.const 208) (i32.const 5)) (then (loop $ever (br $ever))))
    (if (call $is (i32.const 224) (i32.const 5)) (then (unreachable)))
    (drop (call $add_header (i32.const 0) (i32.const 64) (i32.const 6)
      (i32.load (i32.const 8)) (i32.load (i32.const 12))))
    (drop (call $get_header
      (i32.const 0) (i32.const 96) (i32.const 7) (i32.const 0) (i32.const 4)))
    (drop (call $set_header (i32.const 0) (i32.const 112) (i32.const 8)
      (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    ;; What is not offered says so (12), and a pointer outside of memory is refused (6).
    (if (i32.ne (i32.const 12) (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
      (then (unreachable)))
    (if (i32.ne (i32.const 6) (call $log (i32.const 2) (i32.const -16) (i32.const 8)))
      (then (unreachable)))
    (i32.const 0))

  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $get_property (i32.const 144) (i32.const 10) (i32.const 0) (i32.const 4)))
    (drop (call $set_header (i32.const 2) (i32.const 128) (i32.const 6)
      (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    (i32.const 0))

  ;; Held back until the end of the body; then all of it is turned to upper case.
  (func (export "proxy_on_response_body") (param $context i32) (param $size i32) (param $end i32)
    (result i32)
    (local $i i32) (local $at i32)
    (if (i32.eqz (local.get $end)) (then (return (i32.const 1))))
    (drop (call $get_buffer
      (i32.const 1) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (i32.load (i32.const 4))))
      (local.set $at (i32.add (i32.load (i32.const 0)) (local.get $i)))
      (if (i32.and
            (i32.ge_u (i32.load8_u (local.get $at)) (i32.const 97))
            (i32.le_u (i32.load8_u (local.get $at)) (i32.const 122)))
        (then (i32.store8 (local.get $at)
          (i32.sub (i32.load8_u (local.get $at)) (i32.const 32)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (drop (call $set_buffer (i32.const 1) (i32.const 0) (local.get $size)
      (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    (i32.const 0))

  (func (export "proxy_on_log") (param i32)
    (drop (call $log (i32.const 2) (i32.const 240) (i32.const 4))))
)
