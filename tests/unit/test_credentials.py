# SPDX-License-Identifier: Apache-2.0
"""API keys, signing secrets and the vault, and who they make a caller: no network, the registry's view filled by hand."""

from __future__ import annotations

import hashlib
import hmac
import time

import msgspec
import pytest
from cryptography.fernet import Fernet

from bridge import credentials
from bridge.authenticate import BARE_SECRETS, by_api_key, by_both, by_signature, takes_long
from bridge.credentials import Unopenable, Vault
from bridge.decisions.facts import Line, Ref
from bridge.domain.errors import Misconfigured, NotAuthenticated
from bridge.domain.principal import Scope
from bridge.registry.objects import Credential, SigningSecret, Tenant, encode
from bridge.registry.view import View

GITHUB_SECRET = "It's a Secret to Everybody"
GITHUB_BODY = b"Hello, World!"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""The vector of GitHub's documentation, "Validating webhook deliveries"."""

NOW_MS = int(time.time() * 1000)


class Hand:
    """Fills a view as the follower would."""

    def __init__(self) -> None:
        self.vault = Vault(Fernet.generate_key().decode())
        self.view = View(self.vault.open)
        self._version = 0

    def put(self, kind: str, tenant: str, id_: str, value: msgspec.Struct) -> None:
        self._version += 1
        key = Ref(kind, tenant, id_).record_key(self._version)
        self.view.apply([Line(0, key, encode(value), b"0", NOW_MS)])  # type: ignore[arg-type]

    def tenant(self, name: str, state: str = "active") -> None:
        self.put("tenant", name, "", Tenant(name=name, state=state))  # type: ignore[arg-type]

    def key(self, tenant: str, **changes: object) -> str:
        new = credentials.new_api_key()
        made = Credential(id="k", tenant=tenant, name="main", digest=new.digest, hint=new.hint, scopes=("events:write",))
        self.put("key", tenant, "k", msgspec.structs.replace(made, **changes))
        return new.text

    def secret(self, tenant: str, source: str, text: str, id_: str = "s", **changes: object) -> None:
        made = SigningSecret(id=id_, tenant=tenant, source=source, ciphertext=self.vault.seal(text), hint="…")
        self.put("secret", tenant, id_, msgspec.structs.replace(made, **changes))


@pytest.fixture
def hand() -> Hand:
    made = Hand()
    made.tenant("acme")
    made.tenant("globex")
    return made


def signed(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def test_a_new_key_is_random_and_known_by_its_digest() -> None:
    one, other = credentials.new_api_key(), credentials.new_api_key()
    assert one.text != other.text
    assert one.text.startswith("evb_")
    assert len(one.text) >= 44
    assert one.digest == hashlib.sha256(one.text.encode()).hexdigest()
    assert one.text not in one.hint
    assert one.hint.endswith(one.text[-4:])


def test_a_short_secret_is_not_hinted_at() -> None:
    assert credentials.hint_of("hunter2") == "…"
    assert credentials.hint_of(credentials.new_signing_secret()) != "…"


def test_the_vault_opens_with_every_key_and_seals_with_the_first() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed = Vault(old).seal("s3cret")
    assert "s3cret" not in sealed
    both = Vault(f"{new}, {old}")
    assert both.open(sealed) == b"s3cret"
    assert Vault(new).open(both.reseal(sealed)) == b"s3cret"
    with pytest.raises(Unopenable, match="EVB_SECRET_KEYS"):
        Vault(new).open(sealed)


def test_the_vault_says_what_to_do_about_a_missing_or_malformed_key() -> None:
    with pytest.raises(Misconfigured, match=r"EVB_SECRET_KEYS.*generate_key"):
        Vault("").seal("x")
    with pytest.raises(Misconfigured, match=r"EVB_SECRET_KEYS.*base64"):
        Vault("not-a-key")
    with pytest.raises(Unopenable):
        Vault("").open("x")


def test_a_key_makes_its_tenants_principal(hand: Hand) -> None:
    text = hand.key("acme", scopes=("events:write", "status:read"))
    principal = by_api_key(hand.view, text)
    assert (principal.tenant, principal.credential) == ("acme", "main")
    assert principal.may(Scope.STATUS_READ)
    assert not principal.may(Scope.ADMIN)


@pytest.mark.parametrize("changes", [{"state": "revoked"}, {"expires_ms": NOW_MS - 1}])
def test_a_revoked_or_expired_key_opens_nothing(hand: Hand, changes: dict[str, object]) -> None:
    text = hand.key("acme", **changes)
    with pytest.raises(NotAuthenticated):
        by_api_key(hand.view, text)


def test_a_key_that_expires_later_still_opens(hand: Hand) -> None:
    assert by_api_key(hand.view, hand.key("acme", expires_ms=NOW_MS + 3_600_000)).tenant == "acme"


def test_a_closed_tenants_credentials_open_nothing(hand: Hand) -> None:
    text = hand.key("acme")
    hand.secret("acme", "github", "one")
    hand.tenant("acme", "closed")
    for attempt in (lambda: by_api_key(hand.view, text), lambda: by_signature(hand.view, b"x", signed("one", b"x"), "github")):
        with pytest.raises(NotAuthenticated):
            attempt()


@pytest.mark.parametrize("text", ["", "evb_", "evb_unknown", "\udcff", "é" * 1000])
def test_an_unknown_key_is_refused_whatever_it_is(hand: Hand, text: str) -> None:
    hand.key("acme")
    with pytest.raises(NotAuthenticated):
        by_api_key(hand.view, text)


def test_githubs_published_vector(hand: Hand) -> None:
    hand.secret("acme", "github", GITHUB_SECRET, event_type="github.other")
    for source in ("github", None):
        principal = by_signature(hand.view, GITHUB_BODY, GITHUB_SIGNATURE, source)
        assert (principal.tenant, principal.event_type, principal.scopes) == ("acme", "github.other", {"events:write"})


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        GITHUB_SIGNATURE.upper(),
        GITHUB_SIGNATURE.replace("sha256=", "sha1="),
        GITHUB_SIGNATURE.removeprefix("sha256="),
        GITHUB_SIGNATURE + " ",
        GITHUB_SIGNATURE[:-1],
        GITHUB_SIGNATURE[:-1] + "0",
        "sha256=" + "0" * 64,
        "sha256=" + "٣" * 64,
    ],
)
def test_any_other_header_is_refused(hand: Hand, header: str) -> None:
    hand.secret("acme", "github", GITHUB_SECRET)
    with pytest.raises(NotAuthenticated):
        by_signature(hand.view, GITHUB_BODY, header, "github")


def test_a_source_sees_only_its_own_secrets(hand: Hand) -> None:
    hand.secret("acme", "github", "one")
    with pytest.raises(NotAuthenticated):
        by_signature(hand.view, b"x", signed("one", b"x"), "gitlab")
    assert by_signature(hand.view, b"x", signed("one", b"x"), None).tenant == "acme"


def test_all_secrets_of_a_source_are_tried_and_tell_the_tenant(hand: Hand) -> None:
    hand.secret("acme", "github", "one")
    hand.secret("globex", "github", "two")
    assert by_signature(hand.view, b"x", signed("two", b"x"), "github").tenant == "globex"
    assert by_signature(hand.view, b"x", signed("one", b"x"), "github").tenant == "acme"


def test_both_secrets_are_valid_during_a_rotation_and_the_old_one_not_after(hand: Hand) -> None:
    hand.secret("acme", "github", "old", "s1", expires_ms=NOW_MS + 3_600_000)
    hand.secret("acme", "github", "new", "s2")
    assert by_signature(hand.view, b"x", signed("old", b"x"), "github").tenant == "acme"
    assert by_signature(hand.view, b"x", signed("new", b"x"), "github").tenant == "acme"
    hand.secret("acme", "github", "old", "s1", expires_ms=NOW_MS - 1)
    with pytest.raises(NotAuthenticated):
        by_signature(hand.view, b"x", signed("old", b"x"), "github")


def test_a_revoked_secret_signs_nothing(hand: Hand) -> None:
    hand.secret("acme", "github", "one", state="revoked")
    with pytest.raises(NotAuthenticated):
        by_signature(hand.view, b"x", signed("one", b"x"), "github")


def test_a_signature_that_fits_two_tenants_is_refused(hand: Hand) -> None:
    hand.secret("acme", "github", "shared")
    hand.secret("globex", "github", "shared")
    for source in ("github", None):
        with pytest.raises(NotAuthenticated):
            by_signature(hand.view, b"x", signed("shared", b"x"), source)


def test_one_tenants_same_secret_under_two_sources_is_no_ambiguity(hand: Hand) -> None:
    hand.secret("acme", "github", "one", "s1", event_type="a.b")
    hand.secret("acme", "forge", "one", "s2", event_type="c.d")
    principal = by_signature(hand.view, b"x", signed("one", b"x"), None)
    assert (principal.tenant, principal.event_type) == ("acme", "")


def test_the_bare_path_tries_a_thousand_secrets_and_no_more(hand: Hand) -> None:
    for number in range(BARE_SECRETS):
        hand.secret("acme", f"s{number}", f"secret {number}", f"s{number}")
    last = signed(f"secret {BARE_SECRETS - 1}", b"x")
    assert by_signature(hand.view, b"x", last, None).tenant == "acme"
    hand.secret("globex", "one-more", "one more")
    with pytest.raises(NotAuthenticated):
        by_signature(hand.view, b"x", last, None)
    assert by_signature(hand.view, b"x", last, f"s{BARE_SECRETS - 1}").tenant == "acme"


def test_two_credentials_must_both_be_valid_and_of_one_tenant(hand: Hand) -> None:
    mine, other = hand.key("acme", scopes=("status:read",)), hand.key("globex")
    hand.secret("acme", "github", "one", event_type="a.b")
    right, wrong = signed("one", b"x"), signed("two", b"x")
    principal = by_both(hand.view, mine, b"x", right, "github")
    assert (principal.tenant, principal.event_type, principal.scopes) == ("acme", "a.b", {"status:read", "events:write"})
    for key, header in ((other, right), (mine, wrong), ("evb_wrong", right), ("", right), (None, None), ("", None), (None, "")):
        with pytest.raises(NotAuthenticated):
            by_both(hand.view, key, b"x", header, "github")
    assert by_both(hand.view, mine, b"x", None, "github").scopes == {"status:read"}
    assert by_both(hand.view, None, b"x", right, "github").scopes == {"events:write"}


def test_every_refusal_says_the_same(hand: Hand) -> None:
    hand.secret("acme", "github", "one")
    said = set()
    for key, header in ((None, None), ("evb_x", None), (None, "sha256="), (None, signed("two", b"x"))):
        with pytest.raises(NotAuthenticated) as caught:
            by_both(hand.view, key, b"x", header, "github")
        said.add(str(caught.value))
    assert len(said) == 1


def test_only_much_work_belongs_off_the_loop(hand: Hand) -> None:
    hand.secret("acme", "github", "one")
    assert not takes_long(hand.view, 25_000, "github")
    assert takes_long(hand.view, 1_000_000, "github")
    for number in range(100):
        hand.secret("globex", f"s{number}", f"{number}", f"s{number}")
    assert takes_long(hand.view, 25_000, None)
