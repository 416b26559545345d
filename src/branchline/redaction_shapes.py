"""Redaction by the look of a text: what is a secret, or personal, whatever stands around it."""

from __future__ import annotations

import re
from binascii import a2b_base64
from string import ascii_letters, digits


REDACTED = "[redacted]"

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
    ("sk_", r"[0-9a-f]{40}[\w-]*"),
    ("sq0(?:atp|csp)-", r"[\w-]{16,}"),
    ("r8_", r"[A-Za-z0-9]{30,}"),
    ("fw_", r"[A-Za-z0-9]{20,}"),
    ("nvapi-", r"[\w-]{20,}"),
    ("pplx-", r"[A-Za-z0-9]{20,}"),
    ("do[opr]_v1_", r"[0-9a-f]{32}[\w-]*"),
    ("shp(?:at|ca|pa|ss)_", r"[0-9a-f]{32}[\w-]*"),
    ("dckr_(?:pat|oat)_", r"[\w-]{20,}"),
    ("glsa_", r"\w{20,}"),
    ("figd_", r"[\w-]{20,}"),
    ("ntn_", r"[A-Za-z0-9]{20,}"),
    ("sbp_", r"[0-9a-f]{32}[\w-]*"),
    ("ATATT", r"3[\w=-]{20,}"),
    ("NRAK-", r"[A-Z0-9]{20}[\w-]*"),
    ("PMAK-", r"[A-Za-z0-9-]{20,}"),
    ("lin_api_", r"[A-Za-z0-9]{20,}"),
    ("AGE-SECRET-KEY-", r"1[A-Z0-9]{20}[\w-]*"),
    ("dp\\.(?:pt|st|ct|sa)\\.", r"\w{20,}"),
    ("eyJ", r"(?P<json>[\w-]{8,}(?:\.[\w-]*){0,4})"),
)
# The look behind comes second: an expression that begins with a certain character is found many times faster.
_TOKEN = re.compile("|".join(f"{prefix}(?<![A-Za-z0-9]{prefix}){rest}" for prefix, rest in _TOKENS), re.ASCII)


def _mark() -> str:
    """Return what finds where a prefix ends: its last character, then the one before that, then all of it."""
    prefixes: dict[str, list[str]] = {}
    for prefix, _ in _TOKENS:
        prefixes.setdefault(prefix[-2:] if prefix.endswith(".") else prefix[-1], []).append(prefix)
    return "|".join(
        f"{last}(?<=[{''.join(sorted({before for each in found for before in _before(each)}))}]{last})"
        f"(?:{'|'.join(f'(?<={each})' for each in found)})"
        for last, found in prefixes.items()
    )


def _before(prefix: str) -> str:
    """Return the characters that the last but one of a *prefix* may be."""
    body = prefix.removesuffix("\\.") if prefix.endswith(".") else prefix[:-1]
    if body.endswith("]"):
        return body[body.rindex("[") + 1 : -1]
    choices = body[body.rindex(":") + 1 : -1].split("|") if body.endswith(")") else [body]
    return "".join(choice[-1] for choice in choices)


# The last character of a prefix is a rare one: three times as fast again in a long text.
_TOKEN_MARK = re.compile(_mark()).search

# An AWS secret has no mark at all but its length: nothing else of forty characters mixes cases so much.
# It has eight capitals at least. Most texts have none, and this is found out twenty times as fast.
_EIGHT_CAPITALS = re.compile(r"[A-Z](?:[a-z0-9/+]*+[A-Z]){7}").search
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")

_CARD = re.compile(
    r"[2-6]\d{3}(?<![\w.]\d{4})(?<!\d-\d{4})(?:\d{9,15}|([ -])\d{4}\1\d{4}\1\d{4}|([ -])\d{6}\2\d{5})(?!\w|[.-]\d)",
    re.ASCII,
)
_CARD_LENGTHS = {"2": {16}, "3": {14, 15, 16}, "4": {13, 16}, "5": {16}, "6": {16, 17, 18, 19}}
_SSN = re.compile(r"\d\d\d-(?<![\w-]\d{3}-)(?<!000-)(?<!666-)(?<!9\d\d-)(?!00)\d\d-(?!0000)\d{4}(?![\w-])", re.ASCII)
# Where its second part begins: a hyphen is found many times faster than three digits are.
_SSN_MARK = re.compile(r"-(?<=[0-9]{3}-)[0-9]{2}-").search
_DOMAIN = re.compile(r"@[A-Za-z0-9.-]{1,255}")
_LOCAL_CHARACTERS = ascii_letters + digits + "_.-+%"


def without_keys(text: str) -> str:
    """Return *text* without private key blocks and the passwords in URLs."""
    if "-----BEGIN" in text:
        text = _PRIVATE_KEY.sub(REDACTED, text)
    if "://" in text and "@" in text:
        text = _URL_PASSWORD.sub(rf"\g<1>{REDACTED}", text)
    return text


def without_credentials(text: str, longest: int) -> str:
    """Return *text* without the tokens and keys of providers, and what stands behind `Bearer` and `Basic`.

    *text* may be several texts, the longest of which has *longest* characters.
    """
    if _TOKEN_MARK(text):
        text = _TOKEN.sub(_token, text)
    if longest >= 40 and ("/" in text or "+" in text) and _EIGHT_CAPITALS(text):
        text = _AWS_SECRET.sub(_aws_secret, text)
    if "earer " in text or "asic " in text:
        text = _SCHEME.sub(_scheme, text)
    return text


def without_personal(text: str) -> str:
    """Return *text* without mail addresses, payment cards and US social security numbers."""
    if "@" in text:
        text = _without_mail_addresses(text)
    text = _CARD.sub(_card, text)
    return _SSN.sub(REDACTED, text) if "-" in text and _SSN_MARK(text) else text


def looks_random(text: str) -> bool:
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
    is_secret = _is_user_and_password(token) if scheme.lower() == "basic" else looks_random(token)
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
