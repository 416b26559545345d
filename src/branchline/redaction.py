"""Redaction: what never leaves memory, told by its key or by the look of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_letters, digits
from typing import TypeAlias

from .redaction_shapes import REDACTED, looks_random, without_credentials, without_keys, without_personal


__all__ = ["REDACTED", "Callback", "Redactor", "Value", "redactor_from"]

# The same shape as `values.Value`; this room imports nothing but its own other half.
Value: TypeAlias = "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | None"
Callback: TypeAlias = Callable[[str, "Value"], "Value"]

# Between texts that are looked at together. No shape reaches over the end of a line but a private key block, which
# only ever takes more; a key of two words may begin on the line before, and must not find one there.
_BETWEEN_TEXTS = "\n.\n"

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

# The `:` of an address assigns nothing, and is the most frequent of all.
_SEPARATOR = re.compile(r"=[=:]*|:(?!(?:(?<=http:|ttps:|file:|hdfs:|bfss:)|(?<=s3:|gs:))//)[=:]*")
_KEY_CHARACTERS = ascii_letters + digits + "_.-"
_BETWEEN_KEY_AND_SEPARATOR = " \t\"'\\"
_ASSIGNED = re.compile(
    r"""
    [=:]{1,3}+ >? [ \t]{0,8}
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
# A list or a mapping as it is printed, that has texts or numbers in it: `'passwords': ['a', 'b']`.
_CONTAINER = re.compile(
    r"""[=:]{1,3}>?[ \t]{0,8}(?P<whole>[\[({][\[({\s]{0,20}[bBrRuU]{0,2}(?:(?P<quote>\\*["'])|\d))"""
)
_IN_CONTAINER = re.compile(
    r"""
    [\[({] | [\])}]
    | " [^"\\\n]* (?: \\. [^"\\\n]* )* "?
    | ' [^'\\\n]* (?: \\. [^'\\\n]* )* '?
    | \\+ ["'] [^"'\\\n]* (?: \\+ ["'] )?
    """,
    re.VERBOSE,
)
# A header and its value, as they are printed in a list of such pairs.
_PAIR = re.compile(r"""([\[(]b?(["'])([A-Za-z][\w-]{0,60})\2,[ ]?b?(["']))([^"'\\\n]+)""")
_FLAG = re.compile(r"--(?<![\w-]--)([A-Za-z][\w-]{0,80})[\"']?,?[ \t]+[\"']?([^\s\"',-][^\s\"',]*)")
_ARGUMENT = re.compile(r"--?[A-Za-z][\w-]{0,80}").fullmatch

# What stands after `password:` in program text, and hides nothing.
_NO_SECRETS = _terms("str int bytes bool float list dict tuple set Optional None null true false True False")
_PROSE_PASSWORDS = _terms("password passwd pwd passphrase apikey")
_QUERY_SECRETS = _terms(
    "sig signature hmac awsaccesskeyid x-amz-signature x-amz-security-token x-amz-credential x-goog-signature "
    "x-goog-credential"
)

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

    def are_clean(self, texts: Iterable[str]) -> bool:
        """Tell that ``text`` would leave every one of *texts* as it is; when it says no, each must be asked.

        Many short texts are looked at in a fifth of the time that they would take one by one.
        """
        if self._patterns:
            # What somebody else's expression finds in one text may hide in many.
            return False
        texts = list(texts)
        joined = _BETWEEN_TEXTS.join(texts)
        return self._searched(joined, max(map(len, texts), default=0)) == joined

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

    def _searched(self, text: str, longest: int | None = None) -> str:
        """Return *text* without its secrets; where it is several texts, the longest has *longest* characters."""
        text = without_keys(text)
        # Before the other shapes: one of them could take the key away, and leave the value.
        if "=" in text or ":" in text:
            text = self._without_assigned(text)
        text = without_credentials(text, len(text) if longest is None else longest)
        if "--" in text:
            text = _FLAG.sub(self._flag, text)
        # A single character is found ten times as fast as two.
        if ("'" in text and "'," in text) or ('"' in text and '",' in text):
            text = _PAIR.sub(self._pair, text)
        return without_personal(text)

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
                start, end, quote = _assigned(text, key, at)
                if start < end:
                    pieces += [text[done:start], f"{quote}{REDACTED}{quote}"]
                    done = end
        return "".join((*pieces, text[done:])) if pieces else text

    def _flag(self, found: re.Match[str]) -> str:
        if not self.is_secret(found[1]):
            return found[0]
        return found[0][: found.start(2) - found.start()] + REDACTED

    def _pair(self, found: re.Match[str]) -> str:
        name = found[3].lower()
        is_header = name in _HEADERS or "-" in name
        return f"{found[1]}{REDACTED}" if is_header and self.is_secret(name) else found[0]

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


def _assigned(text: str, key: str, at: int) -> tuple[int, int, str]:
    """Return where the value of *key* stands, whose separator is *at*, and what quotes it is to be given.

    Nowhere if it hides nothing.
    """
    found = _ASSIGNED.match(text, at)
    name = "".join(_words(key)[-1:])
    if name in _HEADERS and not (found and found["bare"] is None):
        header = _HEADERS[name].match(text, at)
        if header:
            return *header.span(1), ""
    if found is None:
        container = _CONTAINER.match(text, at)
        return (0, 0, "") if container is None else _contained(text, container)
    if found["bare"] is None:
        return *found.span(found.lastgroup or 0), ""
    # `secret: the sauce` is prose, `secret: hunter2` is not, and `password:` is always followed by one.
    is_prose = text[at] == ":" and key.replace(" ", "").isalpha() and name not in _PROSE_PASSWORDS
    is_code = found["bare"].partition("[")[0] in _NO_SECRETS
    if is_code or found["bare"] == REDACTED or (is_prose and not looks_random(found["bare"])):
        return 0, 0, ""
    return *found.span("bare"), ""


def _contained(text: str, container: re.Match[str]) -> tuple[int, int, str]:
    """Return where a printed *container* begins and ends, which becomes a text; one that was cut off has no end."""
    start, depth = container.start("whole"), 0
    for found in _IN_CONTAINER.finditer(text, start):
        depth += 1 if found[0] in "[({" else -1 if found[0] in "])}" else 0
        if depth == 0:
            return start, found.end(), container["quote"] or '"'
    return start, len(text), container["quote"] or '"'


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
