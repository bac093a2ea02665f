"""What YAML cannot say: the same with code. ``send`` sends a request through the filter."""

from cloudwright.proxy.testing import Filters


def test_every_customer_has_a_key(send: Filters) -> None:
    for customer in ("alice", "bob"):
        outcome = send("POST", "/api/orders", headers={"x-api-key": f"k-{customer}"}, body=b"{}")
        assert outcome.request.headers["x-customer"] == customer
        assert outcome.request_body == b"{}"
