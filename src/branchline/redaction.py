"""Redaction: what never leaves memory, told by its key or by the look of it."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_letters, digits
from typing import TypeAlias


# The same shape as `values.Value`; this room imports nothing.
Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
Callback: TypeAlias = Callable[[str, "Value"], "Value"]

REDACTED = "[redacted]"

# What is remembered; a program that makes up its keys must not fill the memory.
_MAX_KNOWN = 4_096


def _terms(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")

# Secret wherever they stand in a key: DB_PASSWORD_PROD, aws_secret_access_key, x-api-key.
_SECRET_PHRASES = _terms(
    "password passwords passwd pwd pass_word passphrase passcode secret secrets credential credentials creds "
    "authorization api_key api_keys apikey apikeys private_key privatekey secret_key secretkey access_key accesskey "
    "account_key auth_key authkey client_key encryption_key fernet_key hmac_key license_key master_key service_key "
    "session_key shared_key signing_key ssh_key storage_key subscription_key webhook_key "
    "anthropic_key azure_key cohere_key gemini_key github_key google_key groq_key hf_key huggingface_key mistral_key "
    "openai_key stripe_key accesstoken authtoken bearertoken csrftoken idtoken refreshtoken sessiontoken "
    "access_tokens api_tokens auth_tokens bearer_tokens refresh_tokens session_tokens "
    "session_id sessionid session_token session_cookie phpsessid jsessionid sessid clientsecret client_assertion "
    "shared_access_signature db_pass ftp_pass mysql_pass redis_pass root_pass smtp_pass ssh_pass user_pass "
    "ssn social_security card_number cardnumber cvv cvc otp"
)

# Secret only as the whole key, or as the last dotted part of it: session_length and spark_session are not.
_SECRET_WHOLE = _terms("session csrf xsrf jwt bearer cred pass")

# Secret only at the end: a cookie recipe is not.
_SECRET_ENDINGS = _terms("cookie cookies auth")

# A key that ends so is about a secret, it does not hold one.
_HARMLESS_ENDINGS = _terms(
    "age at attempts column count counts days dir directory enabled endpoint expiration expires expiry field file "
    "format hours index kind len length limit method minutes mode name path policy provider ratio required rotation "
    "scheme seconds size status stdin strength total ttl type uri url usage version"
)

# Behind a secret word, these change nothing: token_value, cookie_header.
_NEUTRAL_ENDINGS = _terms("dev env hash header new old prod raw str string value")

# A token of these kinds is one of a language model, or a number of them.
_MODEL_TOKENS = _terms(
    "added audio begin bos by cached cls completion current decoder each encoder end eom eos eot fim first image "
    "input last mask max min n next num of output pad per prev previous prompt reasoning sampled sep special start "
    "stop text think tool top total unk"
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
    key = f"_{'_'.join(words)}_"
    return words[-1] in _SECRET_ENDINGS or any(f"_{phrase}_" in key for phrase in _SECRET_PHRASES)


# ── values ────────────────────────────────────────────────────────────────────────────────────────

# Most texts are harmless, and this is what it costs to know: every shape below has a character of these in it,
# or begins with A (AKIA, AIza), or is one of the few that are asked for by name beside it.
_SUSPICIOUS = re.compile(r"[-_=:@0-9]").search

# A key that was cut off has no end: nothing after it is worth the risk.
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.DOTALL)
_URL_PASSWORD = re.compile(r"(://[^\s/:@\"']*:)[^\s/\"']+(?=@)")
_SCHEME = re.compile(r"([Bb](?:earer|asic))([ \t]+)([A-Za-z0-9._~+/-]+={0,2})")


# How the keys of providers begin, and go on. Each takes all it can or fails within a bounded number of characters:
# that keeps the whole linear. Words after a short prefix are no key: `sk-learn`, `hf_dataset`.
_TOKENS = (
    ("sk-", r"(?:proj|ant|or|svcacct|admin|lf)-[\w-]{8,}"),
    ("sk-", r"(?=[A-Za-z]{0,19}[0-9A-Z]|[a-z]{20})[A-Za-z0-9]{12,}[\w-]*"),
    ("[sr]k_", r"(?:live|test)_[A-Za-z0-9]{8,}"),
    ("whsec_", r"[A-Za-z0-9+/]{16,}"),
    ("A(?:KI|SI|RO|ID)A", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("AI", r"za[\w-]{20,}"),
    ("GOCSPX-", r"[\w-]{16,}"),
    ("ya29\\.", r"[\w-]{16,}"),
    ("gh[pousr]_", r"[A-Za-z0-9]{16,}"),
    ("github_pat_", r"\w{16,}"),
    ("gl(?:pat|ptt|cbt)-", r"[\w-]{16,}"),
    ("hf_", r"(?=[a-z]{0,23}[0-9A-Z]|[a-z]{24})[A-Za-z0-9]{16,}"),
    ("gsk_", r"[A-Za-z0-9]{20,}"),
    ("xai-", r"[A-Za-z0-9]{20,}"),
    ("xox[abeoprs]-", r"[A-Za-z0-9-]{8,}"),
    ("xapp-", r"[A-Za-z0-9-]{8,}"),
    ("hooks\\.", r"slack\.com/services/[\w/]+"),
    ("npm_", r"(?=[a-z]{0,29}[0-9A-Z]|[a-z]{30})[A-Za-z0-9]{20,}"),
    ("pypi-", r"(?:Ag[\w-]{8,}|(?=[a-z]{0,19}[0-9A-Z])[A-Za-z0-9]{20,}[\w-]*)"),
    ("dap", r"i[0-9a-f]{32}[\w-]*"),
    ("hvs\\.", r"[\w-]{16,}"),
    ("SG\\.", r"[\w-]{16,}\.[\w-]{16,}"),
    ("lsv2_", r"(?:pt|sk)_\w{16,}"),
    ("eyJ", r"(?P<json>[\w-]{8,}(?:\.[\w-]*){0,4})"),
)
# The look behind comes second: an expression that begins with a certain character is found many times faster.
_TOKEN = re.compile("|".join(f"{prefix}(?<![A-Za-z0-9]{prefix}){rest}" for prefix, rest in _TOKENS), re.ASCII)
# Where a prefix ends, told by its last character, which is a rare one: three times as fast again in a long text.
_TOKEN_MARK = re.compile(
    "|".join(sorted({f"{prefix[-2:] if prefix.endswith('.') else prefix[-1]}(?<={prefix})" for prefix, _ in _TOKENS}))
).search

# An AWS secret has no mark at all but its length: nothing else of forty characters mixes cases so much.
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")

_SEPARATOR = re.compile(r"[=:]+")
_KEY_CHARACTERS = ascii_letters + digits + "_.-"
_BETWEEN_KEY_AND_SEPARATOR = " \t\"'\\"
_ASSIGNED = re.compile(
    r"""
    [=:]{1,3} >? [ \t]{0,8}
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
_HEADERS = {
    "authorization": re.compile(r":[ \t]*([^\r\n\"']+)"),
    "cookie": re.compile(r":[ \t]*([^\s=;\"']{1,200}=[^\r\n\"']*)"),
}
_FLAG = re.compile(r"--(?<![\w-]--)([A-Za-z][\w-]{0,80})[\"']?,?[ \t]+[\"']?([^\s\"',-][^\s\"',]*)")
_ARGUMENT = re.compile(r"--?[A-Za-z][\w-]{0,80}").fullmatch

# What stands after `password:` in program text, and hides nothing.
_NO_SECRETS = _terms("str int bytes bool float None null true false True False")
_PROSE_PASSWORDS = _terms("password passwd pwd passphrase apikey")
_QUERY_SECRETS = _terms(
    "sig signature hmac awsaccesskeyid x-amz-signature x-amz-security-token x-amz-credential x-goog-signature "
    "x-goog-credential"
)

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


def _token(found: re.Match[str]) -> str:
    # Text that begins like `{"` in base64 is a JSON web token only when there are parts to it.
    is_plain_base64 = found["json"] is not None and "." not in found["json"].rstrip(".")
    return found[0] if is_plain_base64 else REDACTED


def _aws_secret(found: re.Match[str]) -> str:
    kinds = [sum(map(kind, found[0])) for kind in (str.isupper, str.islower, str.isdigit)]
    return REDACTED if min(kinds) >= 1 and min(kinds[:2]) >= 8 else found[0]


def _scheme(found: re.Match[str]) -> str:
    scheme, space, token = found.groups()
    is_secret = _is_user_and_password(token) if scheme.lower() == "basic" else _looks_random(token)
    return f"{scheme}{space}{REDACTED}" if is_secret else found[0]


def _is_user_and_password(token: str) -> bool:
    try:
        return b":" in a2b_base64(token + "=" * (-len(token) % 4))
    except ValueError:
        return False


def _card(found: re.Match[str]) -> str:
    numbers = [int(character) for character in found[0] if character.isdigit()]
    doubled = sum(sum(divmod(2 * number, 10)) for number in numbers[-2::-2])
    is_card = len(numbers) in _CARD_LENGTHS[found[0][0]] and (sum(numbers[::-2]) + doubled) % 10 == 0
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
        if _SUSPICIOUS(text) or "A" in text or "eyJ" in text or "earer " in text or "asic " in text:
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
            text = _PRIVATE_KEY.sub(REDACTED, text)
        if "://" in text and "@" in text:
            text = _URL_PASSWORD.sub(rf"\g<1>{REDACTED}", text)
        # Before the shapes: one of them could take the key away, and leave the value.
        if "=" in text or ":" in text:
            text = self._without_assigned(text)
        if _TOKEN_MARK(text):
            text = _TOKEN.sub(_token, text)
        if len(text) >= 40 and ("/" in text or "+" in text):
            text = _AWS_SECRET.sub(_aws_secret, text)
        if "earer " in text or "asic " in text:
            text = _SCHEME.sub(_scheme, text)
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
        except KeyboardInterrupt:
            raise
        except BaseException:
            # Closed: somebody wanted this looked at, and nobody did. A callback that exits must not end the writer.
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
    name = "".join(_words(key)[-1:])
    if name in _HEADERS and not (found and found["bare"] is None):
        header = _HEADERS[name].match(text, at)
        if header:
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
    if type(value) is int:
        return -(2**63) <= value < 2**63
    if type(value) is float:
        return value - value == 0.0
    # Encoded to see if it can be: a lone surrogate raises.
    return value is None or type(value) in (bool, bytes) or (type(value) is str and value.encode() is not None)
