"""Who gets in, and what they may do: against real servers in this process."""

import base64
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import jwt
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from tiffin.distribution.access.htpasswd import Htpasswd, parse_htpasswd, set_password
from tiffin.distribution.access.passwords import Throttle
from tiffin.distribution.access.tokens import (
    Verifier,
    load_keys,
    read_access,
    secret_key,
    sign,
    write_access,
)
from tiffin.distribution.errors import Code, DistributionError
from tiffin.errors import InvalidArgument, Unauthorized
from tiffin.registry.challenge import parse_challenges
from tiffin.testing.registry_lab import RegistryLab, registry_lab

RULES = [
    {"users": ["anonymous"], "repositories": ["public/**"], "rights": ["pull"]},
    {"users": ["ann"], "repositories": ["**"], "rights": ["*"]},
    {"users": ["bob"], "repositories": ["{user}/**", "public/**"], "rights": ["pull", "push"]},
]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.distribution.access.htpasswd._COST", 4)


@pytest.fixture
def users(tmp_path: Path, cheap_hashes: None) -> Path:
    file = tmp_path / "users"
    for user in ("ann", "bob"):
        set_password(file, user, f"{user}'s")
    return file


async def test_passwords(tmp_path: Path, users: Path) -> None:
    auth = {"htpasswd": str(users)}
    access = [rule for rule in RULES if rule["users"] != ["anonymous"]]
    async with registry_lab(tmp_path / "root", auth=auth, access=access) as lab:
        nobody = await lab.ask("GET", "/v2/")
        assert (nobody.status, nobody.code) == (401, "UNAUTHORIZED")
        assert nobody.headers["WWW-Authenticate"] == 'Basic realm="Registry"'
        for wrong in (basic("ann", "wrong"), basic("eve", "x"), "Basic !", "Bearer x", "x"):
            assert (await lab.ask("GET", "/v2/", Authorization=wrong)).status == 401
        lab.headers["Authorization"] = basic("ann", "ann's")
        assert (await lab.ask("GET", "/v2/")).status == 200
        await lab.push_image("secret/x", "v1", b"layer")
        await lab.push_image("bob/x", "v1", b"layer")
        lab.headers["Authorization"] = basic("bob", "bob's")
        denied = await lab.ask("GET", "/v2/secret/x/manifests/v1")
        assert (denied.status, denied.code) == (403, "DENIED")
        assert (await lab.ask("GET", "/v2/bob/x/manifests/v1")).status == 200
        assert (await lab.ask("DELETE", "/v2/bob/x/manifests/v1")).code == "DENIED"
        assert (await lab.ask("GET", "/v2/_catalog")).json == {"repositories": ["bob/x"]}


async def test_a_mount_needs_the_right_to_pull(tmp_path: Path, users: Path) -> None:
    auth = {"htpasswd": str(users)}
    async with registry_lab(tmp_path / "root", auth=auth, access=RULES[1:]) as lab:
        lab.headers["Authorization"] = basic("ann", "ann's")
        digest = await lab.push_blob("secret/x", b"secret")
        lab.headers["Authorization"] = basic("bob", "bob's")
        for query in (f"mount={digest}&from=secret/x", f"mount={digest}"):
            answer = await lab.ask("POST", f"/v2/bob/x/blobs/uploads/?{query}")
            assert answer.status == 202
        assert (await lab.ask("HEAD", f"/v2/bob/x/blobs/{digest}")).status == 404


async def token(lab: RegistryLab, scope: str, **headers: str) -> str:
    answer = await lab.ask("GET", f"/token?service=tiffin-registry&scope={scope}", **headers)
    assert answer.status == 200
    assert answer.json["token"] == answer.json["access_token"]
    return "Bearer " + str(answer.json["token"])


async def test_tokens_that_we_issue(tmp_path: Path, users: Path) -> None:
    async with registry_lab(tmp_path / "root", auth={"htpasswd": str(users)}, access=RULES) as lab:
        refused = await lab.ask("GET", "/v2/secret/x/manifests/v1")
        [challenge] = parse_challenges([refused.headers["WWW-Authenticate"]])
        assert challenge.scheme == "bearer"
        assert challenge.parameters["realm"] == str(lab.base / "token")
        assert challenge.parameters["scope"] == "repository:secret/x:pull"
        lab.headers["Authorization"] = basic("ann", "ann's")
        await lab.push_image("public/x", "v1", b"layer")
        await lab.push_image("secret/x", "v1", b"layer")
        del lab.headers["Authorization"]
        assert (await lab.ask("GET", "/v2/public/x/manifests/v1")).status == 200
        assert (await lab.ask("GET", "/v2/")).status == 401
        everything = "repository:public/x:pull,push,delete repository:secret/x:pull"
        lab.headers["Authorization"] = await token(lab, everything.replace(" ", "%20"))
        assert (await lab.ask("GET", "/v2/public/x/manifests/v1")).status == 200
        denied = await lab.ask("PUT", "/v2/public/x/manifests/v2", b"{}")
        assert (denied.status, denied.code) == (401, "UNAUTHORIZED")
        assert 'error="insufficient_scope"' in denied.headers["WWW-Authenticate"]
        assert "push" in denied.headers["WWW-Authenticate"]
        assert (await lab.ask("GET", "/v2/secret/x/manifests/v1")).status == 401
        lab.headers["Authorization"] = "Bearer forged"
        forged = await lab.ask("GET", "/v2/public/x/manifests/v1")
        assert 'error="invalid_token"' in forged.headers["WWW-Authenticate"]


async def test_refresh_tokens(tmp_path: Path, users: Path) -> None:
    auth = {"htpasswd": str(users), "tokens": True}
    async with registry_lab(tmp_path / "root", auth=auth) as lab:
        path = "/token?service=tiffin-registry&offline_token=true"
        login = await lab.ask("GET", path, Authorization=basic("ann", "ann's"))
        refresh = login.json["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": refresh, "service": "x",
                "scope": "repository:a/b:pull,push"}  # fmt: skip
        renewed = await lab.ask("POST", "/token", form)
        lab.headers["Authorization"] = "Bearer " + renewed.json["access_token"]
        assert await lab.push_blob("a/b", b"x")
        lab.headers.clear()
        # An access token is no refresh token, and the other way round.
        form["refresh_token"] = renewed.json["access_token"]
        assert (await lab.ask("POST", "/token", form)).status == 401
        assert (await lab.ask("GET", "/v2/", Authorization=f"Bearer {refresh}")).status == 401
        set_password(users, "ann", "a new one")
        form["refresh_token"] = refresh
        assert (await lab.ask("POST", "/token", form)).code == "UNAUTHORIZED"
        by_password = form | {"grant_type": "password", "username": "ann", "password": "a new one"}
        assert (await lab.ask("POST", "/token", by_password)).status == 200
        by_password["password"] = "ann's"
        assert (await lab.ask("POST", "/token", by_password)).status == 401
        assert (await lab.ask("POST", "/token", {"grant_type": "magic"})).status == 400
        assert (await lab.ask("POST", "/token", b"\xff\xfe")).status == 400


def pem(key: "PrivateKey") -> bytes:
    public: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public


PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS = {
    "iss": "auth.example.org", "aud": "registry", "sub": "ann", "exp": int(time.time()) + 300,
    "access": [{"type": "repository", "name": "a/b", "actions": ["pull", "push"]}],
}  # fmt: skip


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
async def test_tokens_of_another_issuer(
    tmp_path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str
) -> None:
    (tmp_path / "key.pem").write_bytes(pem(key))
    foreign = {"realm": "https://auth.example.org/token", "service": "registry",
               "issuer": "auth.example.org", "keys": [str(tmp_path / "key.pem")]}  # fmt: skip
    async with registry_lab(tmp_path / "root", auth={"token": foreign}) as lab:
        challenge = (await lab.ask("GET", "/v2/")).headers["WWW-Authenticate"]
        assert challenge == 'Bearer realm="https://auth.example.org/token",service="registry"'

        def bearer(**changes: object) -> str:
            return "Bearer " + jwt.encode({**CLAIMS, **changes}, key, algorithm)

        lab.headers["Authorization"] = bearer()
        await lab.push_blob("a/b", b"x")
        assert (await lab.ask("GET", "/v2/other/tags/list")).status == 401
        changes: list[dict[str, object]] = [
            {"iss": "someone"}, {"aud": "other"}, {"exp": int(time.time()) - 100}, {"exp": None},
            {"nbf": int(time.time()) + 1000}, {"access": []}, {"access": "all"},
        ]  # fmt: skip
        for change in changes:
            lab.headers["Authorization"] = bearer(**change)
            assert (await lab.ask("GET", "/v2/a/b/tags/list")).status == 401, change


def forged_none(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", "none")


def forged_hmac(claims: dict[str, Any]) -> str:
    """Sign by HMAC with the public key's text for a secret, as in CVE-2015-9235."""
    parts = [json.dumps({"alg": "HS256", "typ": "JWT"}), json.dumps(claims)]
    signed = ".".join(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts)
    import hashlib
    import hmac

    mac = hmac.new(pem(RSA_KEY), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def forged_other_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256")


@pytest.mark.parametrize("forge", [forged_none, forged_hmac, forged_other_key])
def test_forged_tokens(tmp_path: Path, forge: Callable[[dict[str, Any]], str]) -> None:
    (tmp_path / "key.pem").write_bytes(pem(RSA_KEY))
    verifier = Verifier(
        load_keys([tmp_path / "key.pem"]), issuer="auth.example.org", service="registry"
    )
    assert verifier.grants(jwt.encode(CLAIMS, RSA_KEY, "RS256")).user == "ann"
    with pytest.raises(Unauthorized):
        verifier.grants(forge(CLAIMS))


def test_keys_by_name(tmp_path: Path) -> None:
    keys = [
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key())) | {"kid": "one"},
        json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key())) | {"kid": "two"},
        {"kty": "oct", "k": "c2VjcmV0"},
    ]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": keys}))
    loaded = load_keys([tmp_path / "keys.json"])
    assert [key.identifier for key in loaded] == ["one", "two"]
    verifier = Verifier(loaded, issuer="auth.example.org", service="registry")
    for key, algorithm, kid in ((RSA_KEY, "RS256", "one"), (EC_KEY, "ES256", "two")):
        verifier.grants(jwt.encode(CLAIMS, key, algorithm, headers={"kid": kid}))
    certificate = trustme.CA().cert_pem.bytes()
    (tmp_path / "cert.pem").write_bytes(certificate)
    assert load_keys([tmp_path / "cert.pem"])[0].algorithms
    for data in (b"", b"{", b"{}" * 2, pem(ed25519.Ed25519PrivateKey.generate())):
        (tmp_path / "bad.pem").write_bytes(data)
        with pytest.raises(InvalidArgument, match=r"bad\.pem"):
            load_keys([tmp_path / "bad.pem"])


@given(st.sets(st.tuples(st.text(min_size=1), st.sampled_from(["pull", "push", "delete", "*"]))))
def test_access_there_and_back(granted: set[tuple[str, str]]) -> None:
    assert read_access(write_access(granted)) == granted


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "actions", "x"]), inner, max_size=4)
    ),
)


@given(json_values)
def test_any_access_claim_is_read(claim: object) -> None:
    assert all(isinstance(part, str) for pair in read_access(claim) for part in pair)


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_any_token_is_verified(text: str) -> None:
    key = secret_key(b"s" * 32)
    verifier = Verifier([key], issuer="i", service="s")
    with pytest.raises(Unauthorized):
        verifier.claims(text)
    good = sign({"iss": "i", "aud": "s"}, key, 60)
    assert verifier.claims(good)["iss"] == "i"
    with pytest.raises(Unauthorized):
        verifier.claims(good[:-3] + ("AAA" if good[-3:] != "AAA" else "BBB"))


async def test_the_file_of_users_may_change(users: Path) -> None:
    htpasswd = Htpasswd(users)
    assert await htpasswd.check("ann", "ann's")
    assert await htpasswd.check("ann", "ann's")
    assert not await htpasswd.check("ann", "bob's")
    assert not await htpasswd.check("eve", "")
    set_password(users, "ann", "changed")
    set_password(users, "bob", None)
    assert not await htpasswd.check("ann", "ann's")
    assert await htpasswd.check("ann", "changed")
    assert not await htpasswd.check("bob", "bob's")
    users.unlink()
    assert await htpasswd.check("ann", "changed")
    assert users.parent.stat()


def test_files_of_users(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
    assert parse_htpasswd(f"# comment\n\n a:{hashed}\n") == {"a": hashed}
    for text, message in (("a", "line 1"), (":x", "line 1"), ("\na:{SHA}xx", "'a' is not bcrypt")):
        with pytest.raises(InvalidArgument, match=message):
            parse_htpasswd(text)
    file = tmp_path / "users"
    set_password(file, "a", "x")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith("a:$2y$")
    for user, password in (("", "x"), ("a:b", "x"), ("a\nb", "x"), ("a", "")):
        with pytest.raises(InvalidArgument):
            set_password(file, user, password)
    with pytest.raises(InvalidArgument, match="no user 'b'"):
        set_password(file, "b", None)


def test_guessing_is_slowed_down() -> None:
    now = 0.0
    throttle = Throttle(limit=3, window_s=60, clock=lambda: now)
    for _ in range(3):
        throttle.check("10.0.0.1")
        throttle.note_failure("10.0.0.1")
    throttle.check("10.0.0.2")
    with pytest.raises(DistributionError) as refused:
        throttle.check("10.0.0.1")
    assert refused.value.code is Code.TOOMANYREQUESTS
    assert refused.value.headers["Retry-After"] == "61"
    now = 61.0
    throttle.check("10.0.0.1")


async def test_tls_with_client_certificates(tmp_path: Path) -> None:
    authority, clients = trustme.CA(), trustme.CA()
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    clients.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem"),
           "client-ca": str(tmp_path / "ca.pem")}  # fmt: skip
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False
    stranger = ssl.create_default_context()
    authority.configure_trust(stranger)
    stranger.check_hostname = False
    clients.issue_cert("me@example.org").configure_cert(context)
    async with registry_lab(tmp_path / "root", tls=tls) as lab:
        assert lab.base.scheme == "https"
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:
            known = RegistryLab(str(lab.base), session)
            data = bytes(range(256)) * 10_000
            digest = await known.push_blob("a", data)
            assert (await known.ask("GET", f"/v2/a/blobs/{digest}")).body == data
        connector = aiohttp.TCPConnector(ssl=stranger)
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await session.get(lab.base / "v2" / "")


async def test_missing_certificates_are_told(tmp_path: Path) -> None:
    tls = {"cert": str(tmp_path / "no.pem"), "key": str(tmp_path / "no.pem")}
    with pytest.raises(InvalidArgument, match=r"no\.pem"):
        async with registry_lab(tmp_path / "root", tls=tls):
            pass
