"""Redaction: what never leaves memory, told by its key or by the look of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


# The same shape as `values.Value`; this room imports nothing.
Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
Callback: TypeAlias = Callable[[str, "Value"], "Value"]

REDACTED = "[redacted]"

# What is remembered; a program that makes up its keys must not fill the memory.
_MAX_KNOWN = 4_096


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")

# Secret wherever they stand in a key: DB_PASSWORD_PROD, aws_secret_access_key, x-api-key.
_SECRET_PHRASES = tuple(
    f"_{phrase}_"
    for phrase in (
        *("password", "passwords", "passwd", "pwd", "pass_word", "passphrase", "passcode", "secret", "secrets"),
        *("credential", "credentials", "creds", "authorization", "api_key", "api_keys", "apikey", "apikeys"),
        *("private_key", "privatekey", "secret_key", "secretkey", "access_key", "accesskey", "account_key"),
        *("signing_key", "encryption_key", "master_key", "shared_key", "storage_key", "subscription_key"),
        *("service_key", "session_key", "ssh_key", "auth_key", "authkey", "client_key", "hmac_key", "fernet_key"),
        *("webhook_key", "license_key", "openai_key", "anthropic_key", "azure_key", "google_key", "gemini_key"),
        *("mistral_key", "cohere_key", "groq_key", "huggingface_key", "hf_key", "stripe_key", "github_key"),
        *("accesstoken", "authtoken", "refreshtoken", "sessiontoken", "bearertoken", "csrftoken", "idtoken"),
        *("access_tokens", "auth_tokens", "api_tokens", "refresh_tokens", "session_tokens", "bearer_tokens"),
        *("session_id", "sessionid", "session_token", "session_cookie", "phpsessid", "jsessionid", "sessid"),
        *("clientsecret", "client_assertion", "connection_string_with_key", "shared_access_signature"),
        *("db_pass", "user_pass", "smtp_pass", "mysql_pass", "redis_pass", "ftp_pass", "ssh_pass", "root_pass"),
        *("ssn", "social_security", "card_number", "cardnumber", "cvv", "cvc", "otp"),
    )
)

# Secret only as the whole key, or as the last dotted part of it: session_length and spark_session are not.
_SECRET_WHOLE = frozenset({"session", "csrf", "xsrf", "jwt", "bearer", "cred", "pass"})

# Secret only at the end: a cookie recipe is not.
_SECRET_ENDINGS = frozenset({"cookie", "cookies", "auth"})

# A key that ends so is about a secret, it does not hold one.
_HARMLESS_ENDINGS = frozenset(
    (
        *("count", "counts", "length", "len", "limit", "size", "policy", "enabled", "required", "type", "kind", "name"),
        *("usage", "total", "ratio", "age", "expiry", "expires", "expiration", "ttl", "strength", "field", "format"),
        *("version", "seconds", "minutes", "hours", "days", "at", "file", "path", "dir", "directory", "url", "uri"),
        *("endpoint", "status", "provider", "method", "mode", "scheme", "column", "index", "rotation", "attempts"),
    )
)

# Said around a token, these end a key that still holds it: token_value, password_hash.
_NEUTRAL_ENDINGS = frozenset({"value", "hash", "string", "str", "raw", "header", "env", "prod", "dev", "old", "new"})

# A token of these kinds is one of a language model, or a number of them.
_MODEL_TOKENS = frozenset(
    (
        *("eos", "bos", "pad", "unk", "mask", "sep", "cls", "eot", "eom", "fim", "special", "stop", "start", "end"),
        *("first", "last", "next", "prev", "previous", "current", "sampled", "per", "by", "each", "max", "min", "num"),
        *("n", "of", "total", "input", "output", "prompt", "completion", "cached", "reasoning", "image", "audio"),
        *("text", "decoder", "encoder", "begin", "top", "think", "tool", "added"),
    )
)


def _words(key: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(key)]


def _is_secret(words: list[str]) -> bool:
    while len(words) > 1 and words[-1] in _NEUTRAL_ENDINGS:
        words = words[:-1]
    if not words or words[-1] in _HARMLESS_ENDINGS:
        return False
    if words[-1] == "token":
        return len(words) == 1 or words[-2] not in _MODEL_TOKENS
    phrase = f"_{'_'.join(words)}_"
    return words[-1] in _SECRET_ENDINGS or any(secret in phrase for secret in _SECRET_PHRASES)


# ── values ────────────────────────────────────────────────────────────────────────────────────────

# Almost every text is harmless, and this is what it costs to know. Every shape below has a character of these,
# or one of the few marks tested beside it.
_SUSPICIOUS = re.compile(r"[-_=:@0-9]").search

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_END_OF_KEY = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_URL_PASSWORD = re.compile(r"(://[^\s/:@\"']*:)[^\s/\"']+(?=@)")
_SCHEME = re.compile(r"\b([Bb]earer|[Bb]asic)(\s+)([A-Za-z0-9._~+/-]+={0,2})")


def _prefixed(prefix: str, rest: str) -> str:
    # The look behind comes second: an expression that begins with letters is found many times faster.
    return f"{prefix}(?<![A-Za-z0-9]{prefix}){rest}"


# Each takes all it can or fails within a bounded number of characters: that keeps the whole linear.
_TOKEN = re.compile(
    "|".join(
        (
            _prefixed(
                "sk-",
                r"(?:(?:proj|ant|or|svcacct|admin|lf)-[\w-]{8,}|"
                r"(?=[A-Za-z]{0,19}[0-9A-Z]|[a-z]{20})[A-Za-z0-9]{12,}[\w-]*)",
            ),
            _prefixed("sk_", r"(?:live|test)_[A-Za-z0-9]{8,}"),
            _prefixed("rk_", r"(?:live|test)_[A-Za-z0-9]{8,}"),
            _prefixed("whsec_", r"[A-Za-z0-9+/]{16,}"),
            _prefixed("A(?:KI|SI|RO|ID)A", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
            _prefixed("AIza", r"[\w-]{20,}"),
            _prefixed("GOCSPX-", r"[\w-]{16,}"),
            _prefixed("ya29\\.", r"[\w-]{16,}"),
            _prefixed("gh[pousr]_", r"[A-Za-z0-9]{16,}"),
            _prefixed("github_pat_", r"\w{16,}"),
            _prefixed("gl(?:pat|ptt|cbt)-", r"[\w-]{16,}"),
            _prefixed("hf_", r"(?=[a-z]{0,23}[0-9A-Z]|[a-z]{24})[A-Za-z0-9]{16,}"),
            _prefixed("gsk_", r"[A-Za-z0-9]{20,}"),
            _prefixed("xai-", r"[A-Za-z0-9]{20,}"),
            _prefixed("xox[abeoprs]-", r"[A-Za-z0-9-]{8,}"),
            _prefixed("xapp-", r"[A-Za-z0-9-]{8,}"),
            r"hooks\.slack\.com/services/[\w/]+",
            _prefixed("npm_", r"(?=[a-z]{0,29}[0-9A-Z]|[a-z]{30})[A-Za-z0-9]{20,}"),
            _prefixed("pypi-", r"(?:Ag[\w-]{8,}|(?=[a-z]{0,19}[0-9A-Z])[A-Za-z0-9]{20,}[\w-]*)"),
            _prefixed("dapi", r"[0-9a-f]{32}"),
            _prefixed("hvs\\.", r"[\w-]{16,}"),
            _prefixed("SG\\.", r"[\w-]{16,}\.[\w-]{16,}"),
            _prefixed("lsv2_", r"(?:pt|sk)_\w{16,}"),
            _prefixed("eyJ", r"(?P<json>[\w-]{8,}(?:\.[\w-]*){0,4})"),
        )
    ),
    re.ASCII,
)

_SEPARATOR = re.compile(r"[=:]")
_KEY_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
_BETWEEN_KEY_AND_SEPARATOR = " \t\"'\\"
_ASSIGNED = re.compile(
    r"""
    [=:]{1,2} >? [ \t]{0,8}
    (?:
        [bBrRuU]{0,2} " (?P<double> [^"\\\n]* (?: \\. [^"\\\n]* )* )
      | [bBrRuU]{0,2} ' (?P<single> [^'\\\n]* (?: \\. [^'\\\n]* )* )
      | \\+ ["'] (?P<escaped> [^"'\\\n]* )
      | (?P<bare> (?: (?: [Bb]asic | [Bb]earer | [Tt]oken | Digest | Negotiate | ApiKey ) [ ]+ )?
                  [^\s"'`,;&(){}\[\]<>\\|] [^\s"',;&<>)}\]]* )
    )
    """,
    re.VERBOSE,
)
_HEADER = re.compile(r":[ \t]*([^\r\n\"']*)")
_FLAG = re.compile(r"--(?<![\w-]--)([A-Za-z][\w-]{0,80})[\"']?,?[ \t]+[\"']?([^\s\"',-][^\s\"',]*)")
_ARGUMENT = re.compile(r"--?[A-Za-z][\w-]{0,80}").fullmatch

# What stands after `password:` in program text, and hides nothing.
_NO_SECRETS = frozenset({"str", "int", "bytes", "bool", "float", "None", "null", "true", "false", "True", "False"})
_PROSE_PASSWORDS = frozenset({"password", "passwd", "pwd", "passphrase", "apikey"})
_QUERY_SECRETS = frozenset(
    {"sig", "signature", "hmac", "awsaccesskeyid", "x-amz-signature", "x-amz-security-token"}
) | {
    "x-amz-credential",
    "x-goog-signature",
    "x-goog-credential",
}

_CARD = re.compile(
    r"[2-6]\d{3}(?<![\w.]\d{4})(?<!\d-\d{4})(?:\d{9,15}|([ -])\d{4}\1\d{4}\1\d{4}|([ -])\d{6}\2\d{5})(?!\w|[.-]\d)",
    re.ASCII,
)
_CARD_LENGTHS = {"2": {16}, "3": {14, 15, 16}, "4": {13, 16}, "5": {16}, "6": {16, 17, 18, 19}}
_SSN = re.compile(r"\d\d\d-(?<![\w-]\d{3}-)(?<!000-)(?<!666-)(?<!9\d\d-)(?!00)\d\d-(?!0000)\d{4}(?![\w-])", re.ASCII)
_DOMAIN = re.compile(r"@[A-Za-z0-9.-]{1,255}")
_LOCAL_CHARACTERS = _KEY_CHARACTERS + "+%"


def _looks_random(text: str) -> bool:
    """Tell a token from a word: words have no digits, and no capitals but the first."""
    core = text.strip(".,;:!?-_~/+=")
    return len(core) >= 6 and (not core.isalpha() or not core[1:].islower() or len(core) >= 24)


def _without_private_keys(text: str) -> str:
    pieces = []
    done = 0
    for begin in _PRIVATE_KEY.finditer(text):
        if begin.start() < done:
            continue
        end = _END_OF_KEY.search(text, begin.end())
        pieces += [text[done : begin.start()], REDACTED]
        # A key that was cut off has no end: nothing after it is worth the risk.
        done = end.end() if end else len(text)
    return "".join((*pieces, text[done:]))


def _token(found: re.Match[str]) -> str:
    # Text that begins like `{"` in base64 is a JSON web token only when there are parts to it.
    is_plain_base64 = found["json"] is not None and "." not in found["json"].rstrip(".")
    return found[0] if is_plain_base64 else REDACTED


def _scheme(found: re.Match[str]) -> str:
    scheme, space, token = found.groups()
    is_basic = scheme.lower() == "basic"
    return f"{scheme}{space}{REDACTED}" if (_is_user_and_password if is_basic else _looks_random)(token) else found[0]


def _is_user_and_password(token: str) -> bool:
    # Wiring costs nothing until somebody sends basic authentication.
    from base64 import b64decode

    try:
        return b":" in b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return False


def _card(found: re.Match[str]) -> str:
    digits = [int(character) for character in found[0] if character.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    is_card = len(digits) in _CARD_LENGTHS[found[0][0]] and (sum(digits[::-2]) + doubled) % 10 == 0
    return REDACTED if is_card else found[0]


def _without_mail_addresses(text: str) -> str:
    pieces = []
    done = 0
    for domain in _DOMAIN.finditer(text):
        at = domain.start()
        before = text[max(done, at - 64) : at]
        local = before[len(before.rstrip(_LOCAL_CHARACTERS)) :]
        ending = domain[0].rstrip(".-").rpartition(".")[2]
        # The user of a URL is no address, nor is the one that all git servers have.
        is_user = local == "git" or text.endswith("://", 0, at - len(local))
        if local.strip("._%+-") and len(ending) > 1 and ending.isalpha() and ending != domain[0][1:] and not is_user:
            pieces += [text[done : at - len(local)], REDACTED]
            done = at + len(domain[0].rstrip(".-"))
    return "".join((*pieces, text[done:])) if pieces else text


# ── both ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Redactor:
    """Takes secrets out of what is recorded.

    By key, as whole words in any spelling (``api_key``, ``apiKey``, ``X-API-Key``): passwords, secrets, keys, tokens,
    credentials, cookies, authorization, sessions. By the look of a text: provider keys, web tokens, bearer and basic
    credentials, passwords in URLs, private key blocks, and ``key=value``, ``"key": "value"`` and ``--key value``
    where the key is secret. Of personal data: mail addresses, payment cards, US social security numbers. Telephone
    numbers and IP addresses stay, because too much else looks like them: *extra_patterns* is for these.

    *extra_keys* are more secret keys (``"customer_id"`` also covers ``billing.customerId``), *extra_patterns* more
    regular expressions, of which the whole match goes. *callback* is asked about every single value that is left,
    with its key, and returns what to record; when it raises, or returns what cannot be recorded, nothing is.
    """

    extra_keys: Iterable[str] = ()
    extra_patterns: Iterable[str | re.Pattern[str]] = ()
    callback: Callback | None = None
    _phrases: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _patterns: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)
    _harmless: set[str] = field(init=False, repr=False, compare=False, default_factory=set)
    _known: dict[str, bool] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name, given in (("extra_keys", self.extra_keys), ("extra_patterns", self.extra_patterns)):
            if isinstance(given, (str, re.Pattern)):
                msg = f"{name} is a collection, such as a tuple; got {given!r}"
                raise ValueError(msg)  # noqa: TRY004  # set-up raises one type
            object.__setattr__(self, name, tuple(given))
        phrases = tuple(f"_{'_'.join(_words(key)) or key}_" for key in self.extra_keys)
        object.__setattr__(self, "_phrases", phrases)
        object.__setattr__(self, "_patterns", tuple(_compiled(pattern) for pattern in self.extra_patterns))

    def is_secret(self, key: str) -> bool:
        """Tell whether what *key* names must not be recorded."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[key] = self._judge(key)
        return known

    def text(self, text: str) -> str:
        """Return *text* without what looks like a secret."""
        if (
            _SUSPICIOUS(text)
            or "eyJ" in text
            or "AKIA" in text
            or "ASIA" in text
            or "AIza" in text
            or "earer " in text
            or "asic " in text
        ):
            text = self._known_or_searched(text)
        for pattern in self._patterns:
            text = pattern.sub(lambda _: REDACTED, text)
        return text

    def value(self, key: str, value: Value) -> Value:
        """Return *value*, frozen and recorded under *key*, without what is secret in it."""
        if value is None or isinstance(value, bool):
            return self._asked(key, value)
        if self.is_secret(key):
            return REDACTED
        if isinstance(value, str):
            return self._asked(key, self.text(value))
        if isinstance(value, (int, float)):
            return self._asked(key, value)
        if isinstance(value, (bytes, bytearray)):
            # One character per byte, so that what is no text at all comes back as it was.
            return self._asked(key, self.text(value.decode("latin-1")).encode("latin-1"))
        if isinstance(value, Mapping):
            return self._mapping(value)
        return self._sequence(key, value)

    def _judge(self, key: str) -> bool:
        whole = _words(key)
        phrase = f"_{'_'.join(whole) or key}_"
        if any(extra in phrase for extra in self._phrases):
            return True
        last = _words(key.rpartition(".")[2])
        return _is_secret(whole) or (len(last) == 1 and last[0] in _SECRET_WHOLE)

    def _known_or_searched(self, text: str) -> str:
        # Names of models, files and steps come again and again.
        if text in self._harmless:
            return text
        clean = self._searched(text)
        if clean == text and len(text) <= 100:
            if len(self._harmless) >= _MAX_KNOWN:
                self._harmless.clear()
            self._harmless.add(text)
        return clean

    def _searched(self, text: str) -> str:
        if "-----BEGIN" in text:
            text = _without_private_keys(text)
        if "://" in text and "@" in text:
            text = _URL_PASSWORD.sub(rf"\g<1>{REDACTED}", text)
        text = _TOKEN.sub(_token, text)
        if "earer " in text or "asic " in text:
            text = _SCHEME.sub(_scheme, text)
        if "=" in text or ":" in text:
            text = self._without_assigned(text)
        if "--" in text:
            text = _FLAG.sub(self._flag, text)
        if "@" in text:
            text = _without_mail_addresses(text)
        text = _CARD.sub(_card, text)
        return _SSN.sub(REDACTED, text) if "-" in text else text

    def _without_assigned(self, text: str) -> str:
        """Take the value out of each ``key=value`` and ``key: value`` of which the key is secret."""
        pieces = []
        done = 0
        for separator in _SEPARATOR.finditer(text):
            at = separator.start()
            if at < done:
                continue
            # From the separator backwards: to try every word as a key would take ten times as long.
            before = text[max(done, at - 100) : at].rstrip(_BETWEEN_KEY_AND_SEPARATOR)
            head = before.rstrip(_KEY_CHARACTERS)
            key = before[len(head) :]
            if head.endswith(" ") and key.lower() in ("key", "token", "id"):
                key = f"{''.join(head.split()[-1:])} {key}"
            is_query = head.endswith(("?", "&")) and key.lower() in _QUERY_SECRETS
            if is_query or self.is_secret(key):
                start, end = _assigned(text, key, at)
                if start < end:
                    pieces += [text[done:start], REDACTED]
                    done = end
        return "".join((*pieces, text[done:])) if pieces else text

    def _flag(self, found: re.Match[str]) -> str:
        if not self.is_secret(found[1]):
            return found[0]
        return found[0][: found.start(2) - found.start()] + REDACTED

    def _mapping(self, value: Mapping[str, Value]) -> dict[str, Value]:
        clean: dict[str, Value] = {}
        for key, element in value.items():
            name = self.text(key)
            if name in clean:
                # Two keys that were secrets themselves.
                name = f"{name}#{len(clean)}"
            clean[name] = self.value(key, element)
        return clean

    def _sequence(self, key: str, value: Sequence[Value]) -> tuple[Value, ...]:
        clean: list[Value] = []
        is_argument = False
        for element in value:
            if is_argument and not (isinstance(element, str) and element.startswith("-")):
                clean.append(REDACTED)
            elif self._is_header(element):
                clean.append((element[0], REDACTED))  # type: ignore[index]  # a pair: that is what was asked
            else:
                clean.append(self.value(key, element))
            # `--api-key SECRET`, as sys.argv has it.
            is_argument = isinstance(element, str) and bool(_ARGUMENT(element)) and self.is_secret(element)
        return tuple(clean)

    def _is_header(self, element: Value) -> bool:
        """Tell whether *element* is a pair of a secret key and its value, as in a list of headers."""
        if not isinstance(element, (tuple, list)) or len(element) != 2:
            return False
        name = element[0].decode("latin-1") if isinstance(element[0], bytes) else element[0]
        return isinstance(name, str) and len(name) <= 80 and " " not in name and self.is_secret(name)

    def _asked(self, key: str, value: Value) -> Value:
        if self.callback is None:
            return value
        try:
            answer = self.callback(key, value)
            return answer if _is_recordable(answer) else REDACTED
        except Exception:
            # Closed: somebody wanted this looked at, and nobody did.
            return REDACTED


_DEFAULT = Redactor()


def redactor_from(option: bool | Redactor) -> Redactor | None:
    """Return the redactor that the setting ``redact`` means: ``True`` for the default one, ``False`` for none."""
    if isinstance(option, Redactor):
        return option
    if isinstance(option, bool):
        return _DEFAULT if option else None
    msg = f"redact is True, False or a Redactor; got {option!r}"
    raise ValueError(msg)


def _assigned(text: str, key: str, at: int) -> tuple[int, int]:
    """Return where the value of *key* stands, whose separator is *at*; nowhere if that hides nothing."""
    found = _ASSIGNED.match(text, at)
    name = _words(key)[-1]
    if name in ("authorization", "cookie") and not (found and found["bare"] is None):
        header = _HEADER.match(text, at)
        if header and (name != "cookie" or "=" in header[1]):
            return header.span(1)
    if found is None:
        return 0, 0
    if found["bare"] is None:
        return found.span(found.lastgroup or 0)
    # `secret: the sauce` is prose, `secret: hunter2` is not, and `password:` is always followed by one.
    is_prose = text[at] == ":" and key.replace(" ", "").isalpha() and name not in _PROSE_PASSWORDS
    if found["bare"] in _NO_SECRETS or found["bare"] == REDACTED or (is_prose and not _looks_random(found["bare"])):
        return 0, 0
    return found.span("bare")


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        msg = f"extra_patterns has {pattern!r}, which is no regular expression: {error}"
        raise ValueError(msg) from error


def _is_recordable(value: object) -> bool:
    if value is None or type(value) in (bool, bytes):
        return True
    if type(value) is int:
        return -(2**63) <= value < 2**63
    if type(value) is float:
        return value - value == 0.0
    if type(value) is str:
        value.encode()
        return True
    return False
