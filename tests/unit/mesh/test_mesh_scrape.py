"""Many proxies' metrics as one valid page."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from cloudwright.mesh.scrape import merge

PAGE = """\
# HELP cw_requests_total Requests.
# TYPE cw_requests_total counter
cw_requests_total{code="200",path="/a{b} c"} 3
cw_requests_total 1
# HELP cw_seconds Time.
# TYPE cw_seconds histogram
cw_seconds_bucket{le="0.1"} 1
cw_seconds_bucket{le="+Inf"} 2
cw_seconds_sum 0.5
cw_seconds_count 2
# TYPE cw_up gauge
cw_up{} 1
"""


def test_samples_of_a_family_stay_together_with_one_head() -> None:
    page = merge({"shop/a": PAGE, 'gate"way\\': PAGE, "empty": ""})
    families = list(text_string_to_metric_families(page))
    assert [f.name for f in families] == ["cw_requests", "cw_seconds", "cw_up"]
    for family, samples in zip(families, (4, 8, 2), strict=True):
        assert len(family.samples) == samples
        assert {s.labels["proxy"] for s in family.samples} == {"shop/a", 'gate"way\\'}
    assert families[0].documentation == "Requests."
    assert families[0].samples[0].labels["path"] == "/a{b} c"
    assert page.count("# TYPE") == 3
    assert merge({}) == ""
