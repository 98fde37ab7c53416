"""What the API makes of how a request came, and its routes for domains and for the registry's tokens."""

from __future__ import annotations

from collections.abc import Iterator

import jwt
import pytest

from imageforge.client.errors import ServerError
from imageforge.client.server import Server
from imageforge.entry.key import entry_key
from imageforge.pipeline import domains
from imageforge.store import Apps, Domains, Scope, Tokens
from runtime import Conflict, KeyFailure, ManifestError, RuntimeFailure
from tests.imageforge.api.service import Api, running_api


@pytest.fixture(scope="module")
def public() -> Iterator[Api]:
    """One that others reach; who stands in for the balancer here are the tests."""
    with running_api(
        public_address="127.0.0.1", public_host="forge.example.org", certificates="/nonexistent", https_port=8443
    ) as api:
        api.ask("POST", "/v1/apps", json={"name": "shop"})
        api.ask("POST", "/v1/apps", json={"name": "other"})
        yield api


def by(api: Api, way: str, address: str = "198.51.100.7") -> dict[str, str]:
    """The headers that the balancer sends."""
    key = entry_key(api.home.entry_key_file)
    return {"X-Imageforge-Entry": f"{way} {key}", "X-Forwarded-For": address}


def test_over_plain_http_nothing_is_served_whatever_the_token(public: Api) -> None:
    before = [token.last_used_at for token in Tokens(public.site.database).all()]
    for path in ("/v1/apps", "/v1/health", "/docs", "/openapi.json", "/git/shop.git/info/refs", "/nowhere"):
        refused = public.ask("GET", path, headers=by(public, "plain"))
        assert (refused.status_code, refused.json()["code"]) == (403, "https-required"), path
        assert "https://forge.example.org:8443" in refused.json()["hint"]
        assert refused.headers["x-content-type-options"] == "nosniff"
    assert public.ask("POST", "/v1/webhooks/shop", headers=by(public, "plain")).status_code == 403
    assert [token.last_used_at for token in Tokens(public.site.database).all()] == before
    assert public.ask("GET", "/v1/apps", headers=by(public, "tls")).status_code == 200


def test_a_local_client_is_no_balancer(public: Api) -> None:
    """Nor does it get out of being counted by saying so."""
    for said in ("plain x", "tls " + "0" * 64, "plain"):
        headers = {"X-Imageforge-Entry": said, "X-Forwarded-For": "198.51.100.9"}
        assert public.ask("GET", "/v1/apps", headers=headers).status_code == 200


def test_a_challenge_is_answered_without_a_token_over_plain_http(public: Api) -> None:
    public.site.certificates.challenges.expect("abc", "abc.def")
    with public.client("") as client:
        path = "/.well-known/acme-challenge/"
        found = client.get(f"{path}abc", headers=by(public, "plain"))
        assert (found.status_code, found.text) == (200, "abc.def")
        assert client.get(f"{path}other", headers=by(public, "plain")).status_code == 404
    public.site.certificates.challenges.forget("abc")


def test_guesses_of_one_client_shut_out_no_other(public: Api) -> None:
    with public.client("guess") as client:
        answers = [client.get("/v1/apps", headers=by(public, "tls", "203.0.113.5")).status_code for _ in range(40)]
        assert answers[0] == 401
        assert answers[-1] == 429
        assert client.get("/v1/apps", headers=by(public, "tls", "203.0.113.6")).status_code == 401
        assert client.get("/v1/apps").status_code == 401


def test_a_registry_token_reaches_as_far_as_the_token(public: Api) -> None:
    _, mine = Tokens(public.site.database).create("mine", Scope.BUILD, app="shop")
    query = {"service": "forge.example.org", "scope": "repository:shop:pull,push", "account": "x"}
    with public.client("") as client:
        given = client.get("/v1/registry/token", params=query, auth=("anybody", mine))
        assert given.status_code == 200
        assert given.json()["token"] == given.json()["access_token"]
        claims = jwt.decode(given.json()["token"], options={"verify_signature": False})
        assert claims["access"] == [{"type": "repository", "name": "shop", "actions": ["pull", "push"]}]
        both = {"scope": ["repository:shop:pull", "repository:other:pull"]}
        given = client.get("/v1/registry/token", params=both, auth=("anybody", mine))
        claims = jwt.decode(given.json()["token"], options={"verify_signature": False})
        assert [access["name"] for access in claims["access"]] == ["shop"]
        assert client.get("/v1/registry/token", params=query, auth=("anybody", "wrong")).status_code == 401
        assert client.get("/v1/registry/token", params=query).status_code == 401
        assert client.get("/v1/registry/token", params={"service": "b"}, auth=("x", mine)).status_code == 404


def test_without_a_public_address_there_is_no_such_registry(api: Api) -> None:
    assert api.ask("GET", "/v1/registry/token").json()["code"] == "no-such-registry"


def test_a_domain_is_one_apps_and_comes_and_goes(public: Api) -> None:
    """The controller does not answer here: what is accepted is stored, and led there later."""
    added = public.ask("PUT", "/v1/apps/shop/domains/WWW.Example.org")
    assert added.status_code == 201
    row = added.json()
    assert (row["domain"], row["url"]) == ("www.example.org", "https://www.example.org:8443")
    assert row["certificate"] is None
    assert "no certificate" in row["problem"]
    assert public.ask("PUT", "/v1/apps/shop/domains/www.example.org").status_code == 200
    taken = public.ask("PUT", "/v1/apps/other/domains/www.example.org")
    assert (taken.status_code, taken.json()["code"]) == (409, "domain-taken")
    assert "shop" not in taken.text, "a token for one app learns nothing of another"
    assert [row["domain"] for row in public.ask("GET", "/v1/apps/shop/domains").json()] == ["www.example.org"]
    assert public.ask("DELETE", "/v1/apps/other/domains/www.example.org").json()["code"] == "no-such-domain"
    assert public.ask("DELETE", "/v1/apps/shop/domains/www.example.org").status_code == 204
    assert public.ask("DELETE", "/v1/apps/shop/domains/www.example.org").status_code == 404
    assert [entry["action"] for entry in public.ask("GET", "/v1/audit").json()][:2] == [
        "domain-removed",
        "domain-added",
    ]


def test_the_command_lines_client_has_the_same_domains(public: Api) -> None:
    with Server(public.url, public.token) as server:
        assert server.add_domain("shop", "bücher.example")["domain"] == "xn--bcher-kva.example"
        assert [row["domain"] for row in server.domains("shop")] == ["xn--bcher-kva.example"]
        server.remove_domain("shop", "Bücher.example")
        assert server.domains("shop") == []
        for wrong in ("a/b.org", "*.example.org"):
            with pytest.raises(ServerError) as caught:
                server.add_domain("shop", wrong)
            assert caught.value.kind == "usage"


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("forge.example.org", "the service's own host"),
        ("shop.localhost", "never leave this machine"),
        ("localhost", "a name with a dot"),
        ("*.example.org", "wildcard"),
        ("a%20b.org", "without scheme"),
    ],
)
def test_a_domain_that_is_not_an_apps_to_have(public: Api, domain: str, words: str) -> None:
    refused = public.ask("PUT", f"/v1/apps/shop/domains/{domain}")
    assert (refused.status_code, refused.json()["code"]) == (400, "domain-invalid")
    assert words in refused.json()["message"]
    assert Domains(public.site.database).all() == ()


def test_one_app_does_not_use_up_what_all_need(public: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each domain is an order of the one account at the authority."""
    monkeypatch.setattr(domains, "MOST", 2)
    public.ask("POST", "/v1/apps", json={"name": "greedy"})
    path = "/v1/apps/greedy/domains"
    for name in ("a.example.org", "b.example.org", "b.example.org"):
        assert public.ask("PUT", f"{path}/{name}").is_success
    refused = public.ask("PUT", f"{path}/c.example.org")
    assert (refused.status_code, refused.json()["code"]) == (409, "too-many-domains")
    assert refused.json()["hint"]
    assert public.ask("PUT", "/v1/apps/shop/domains/c.example.org").status_code == 201
    Apps(public.site.database).delete("greedy")
    assert public.ask("DELETE", "/v1/apps/shop/domains/c.example.org").status_code == 204


def test_a_token_for_one_app_adds_no_domain_to_another(public: Api) -> None:
    _, mine = Tokens(public.site.database).create("mine", Scope.DEPLOY, app="shop")
    _, builder = Tokens(public.site.database).create("builder", Scope.BUILD, app="other")
    for token in (mine, builder):
        with public.client(token) as client:
            assert client.put("/v1/apps/other/domains/www.example.org").status_code == 403
            assert client.delete("/v1/apps/other/domains/www.example.org").status_code == 403


@pytest.mark.parametrize("refusal", [Conflict, KeyFailure, ManifestError, RuntimeFailure])
def test_what_the_controller_refuses_is_put_back_and_its_reason_told(
    public: Api, monkeypatch: pytest.MonkeyPatch, refusal: type[RuntimeFailure]
) -> None:
    """The controller's answers are made up: most of them a healthy one does not give."""
    for name in ("first.example.org", "second.example.org"):
        assert public.ask("PUT", f"/v1/apps/shop/domains/{name}").status_code == 201
    before = Domains(public.site.database).of("shop")

    def refused(*_: object) -> bool:
        raise refusal("refused-by-test", "Service default/shop", "it will not have it")

    with monkeypatch.context() as now:
        now.setattr(domains, "_apply_hosts", refused)
        for method, name in (("PUT", "third.example.org"), ("PUT", before[0].name), ("DELETE", before[0].name)):
            answer = public.ask(method, f"/v1/apps/shop/domains/{name}")
            assert (answer.json()["code"], answer.json()["kept"]) == (
                "refused-by-test",
                "the app's domains are as they were",
            )
            assert Domains(public.site.database).of("shop") == before
    for domain in before:
        assert public.ask("DELETE", f"/v1/apps/shop/domains/{domain.name}").status_code == 204


def test_an_apps_domains_go_with_it(public: Api) -> None:
    database = public.site.database
    public.ask("POST", "/v1/apps", json={"name": "leaving"})
    public.ask("PUT", "/v1/apps/leaving/domains/leaving.example.org")
    Apps(database).delete("leaving")
    assert Domains(database).all() == ()
