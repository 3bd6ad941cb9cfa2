"""API keys: who calls, and what they may do."""

from __future__ import annotations

import hmac
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta
from starlette.types import ASGIApp, Receive, Scope, Send

from shimmy.server.errors import HttpError
from shimmy.server.refusal import refuse
from shimmy.server.request_record import current_record
from shimmy.settings import ConcurrentRequests, RequestsPerMinute, Settings, SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KeyScope: TypeAlias = Literal["infer", "admin", "tools"]

SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)

tenant: ContextVar[str] = ContextVar("tenant", default="")
"""The name of the key that this request came with: it shares no cached prefix with others, and gets an equal share."""

_scopes: ContextVar[frozenset[KeyScope]] = ContextVar("scopes", default=frozenset(SCOPES))

_OPEN = re.compile(r"/|/docs|/page/.*|/openapi\.json|/health|/api/version")
_ADMIN = re.compile(r"/api/models/.*|/api/(pull|push|create|copy|delete|blobs)(/.*)?|/api/reload|/diag|/lora-adapters")
_TOOLS = re.compile(r"/api/(tools|workflows)(/.*)?")


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the keys file."""

    key: Annotated[str, Meta(min_length=8)]
    scopes: tuple[KeyScope, ...] = ("infer",)
    requests_per_minute: RequestsPerMinute | None = None
    """None: key_requests_per_minute of the settings."""
    concurrent_requests: ConcurrentRequests | None = None
    """None: key_concurrent_requests of the settings."""


def keys_of(settings: Settings) -> dict[str, Key]:
    """Name -> key, of the settings and the file that they name. Raises SettingsError."""
    keys: dict[str, Key] = {}
    if settings.api_keys is not None:
        keys.update(_read(settings.api_keys))
    if settings.api_key is not None:
        keys["default"] = Key(settings.api_key, SCOPES)
    return keys


def _read(path: Path) -> dict[str, Key]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"api_keys file {path}: {error}") from error
    try:
        return msgspec.convert(values, dict[str, Key])
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"api_keys file {path}: {error}; each entry is [name] with key, scopes and limits"
        ) from error


class Keyring:
    """The keys that are asked for now."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self.replace(keys)

    def replace(self, keys: Mapping[str, Key]) -> None:
        self.entries = [(name, one.key.encode(), frozenset(one.scopes)) for name, one in keys.items()]

    def __bool__(self) -> bool:
        return bool(self.entries)


class Auth:
    """Asks for a key, in either header that clients send it in, while there are keys; else lets everyone in."""

    def __init__(self, app: ASGIApp, keys: Keyring) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._keys or scope["type"] not in ("http", "websocket") or _goes_free(scope):
            await self._app(scope, receive, send)
            return
        problem = self._admit(scope)
        if problem is None:
            await self._app(scope, receive, send)
        else:
            challenge = [(b"www-authenticate", b"Bearer")] if problem.status == 401 else []
            await refuse(scope, receive, send, problem, *challenge)

    def _admit(self, scope: Scope) -> HttpError | None:
        """Why not; None sets the tenant."""
        given = _key_of(scope)
        if not given:
            return HttpError(401, "an API key is required: Authorization: Bearer KEY, or x-api-key", "missing_api_key")
        found: tuple[str, frozenset[KeyScope]] | None = None
        for name, key, scopes in self._keys.entries:  # all of them, so that the time tells nothing
            if hmac.compare_digest(given, key):
                found = name, scopes
        if found is None:
            return HttpError(401, "the API key is not known here", "invalid_api_key")
        name, scopes = found
        needed = scope_for(scope["path"])
        if needed not in scopes:
            return _missing(needed)
        tenant.set(name)
        _scopes.set(scopes)
        if (record := current_record()) is not None:
            record.key = name
        return None


def check_scope(needed: KeyScope) -> None:
    """For a route that needs more for some requests than for others. HttpError 403 as for the others."""
    if needed not in _scopes.get():
        raise _missing(needed)


def _missing(needed: KeyScope) -> HttpError:
    return HttpError(403, f"this API key has no scope {needed!r}", "missing_scope")


def scope_for(path: str) -> KeyScope:
    """What a key must be for to call a route."""
    if _ADMIN.fullmatch(path):
        return "admin"
    return "tools" if _TOOLS.fullmatch(path) else "infer"


def is_open(path: str) -> bool:
    """Whether a route needs no key where others do: probes, and pages with what they are made of."""
    return _OPEN.fullmatch(path) is not None


def _goes_free(scope: Scope) -> bool:
    """CORS preflights carry no key either."""
    return is_open(scope["path"]) or scope.get("method") == "OPTIONS"


def _key_of(scope: Scope) -> bytes:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    bearer = headers.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].strip()
    return headers.get(b"x-api-key", b"").strip()
