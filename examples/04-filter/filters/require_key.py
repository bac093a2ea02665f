"""Lets a request pass that carries a known key, and tells the backend whose it is."""

import hmac

from cloudwright.proxy import Budget, Filter, Match, Reply, Request, Response, respond


class RequireKey(Filter):
    match = Match(path="/api/*", method=["GET", "POST"])
    on_error = "refuse"  # a filter that guards something fails closed
    timeout_ms = 100
    order = -10  # before filters that trust x-customer
    budget = Budget(errors=10, window_s=30, open_s=5)

    def start(self) -> None:
        self.customers = dict(self.settings["customers"])

    def on_request(self, request: Request) -> Reply | None:
        key = request.headers.get("x-api-key", "")
        for customer, known in self.customers.items():
            if hmac.compare_digest(known.encode(), key.encode()):
                request.headers["x-customer"] = customer
                del request.headers["x-api-key"]
                request.state["customer"] = customer
                return None
        return respond(401, "which key?\n", {"www-authenticate": "ApiKey"})

    def on_response(self, request: Request, response: Response) -> None:
        response.headers["x-served-for"] = request.state["customer"]
