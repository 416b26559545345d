"""Formats: what a record looks like as a line of text."""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NoReturn, TextIO, TypeAlias, cast

from ..errors import ConfigError
from ..redaction import Redactor, redactor_from
from ..standing_redaction import let_stand, standing_redactor
from ..tracebacks import stack_of
from ..values import Value
from .colours import is_coloured
from .escapes import on_lines, on_one_line
from .integrity import Chain
from .json_lines import RESERVED, JsonLines
from .records import STANDARD, Record
from .scoped_fields import frozen
from .templates import PLAIN, Template


Formatter: TypeAlias = Callable[[Record], str]

# So many records are looked at together: one with a secret in it makes each of them be asked.
_AT_ONCE: Final = 64
_MOST_KNOWN: Final = 4096
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})

# What a sink's configuration may say about its lines.
KEYS: Final = (
    "format",
    "formatter",
    "json",
    "serialize",
    "fields",
    "colors",
    "redact",
    "mask_pii",
    "sanitize_messages",
    "add_runtime_context",
    "integrity",
)

# What else is personal: telephone numbers, and addresses inside of a network.
_PERSONAL: Final = (
    r"(?<![\w.])\+\d[\d ().-]{6,18}\d(?!\w)",
    r"(?<![\w.])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w.-])",
    r"\b(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b",
)


def formatter_of(config: Mapping[str, object], *, stream: TextIO | None = None) -> Formatter:
    """Return what makes a line of each record, as *config* says; the line ends with one newline.

    *stream* is where the lines go, if they go to one: only there they may have colours. For files, sockets and
    callables it is None. Keys other than those in ``KEYS`` are not looked at. The formatter never raises but for
    a ``formatter`` of the user's that does.

    Raises:
        ConfigError: for a value that is not accepted.
    """
    is_sanitizing = _flag(config, "sanitize_messages", default=True)
    is_json = _flag(config, "json", default=False) or _flag(config, "serialize", default=False)
    template = _text(config, "format")
    made = _callable(config, "formatter")
    chain = _chain(config, is_json=is_json and made is None)
    chosen = _choice(config.get("fields"))
    is_painted = is_coloured(_colours(config), stream)
    has_runtime = _flag(config, "add_runtime_context", default=is_json)
    if made is not None:
        return _custom(made, _Cleaner(config, is_sanitizing=is_sanitizing, chosen=chosen))
    if is_json:
        lines = JsonLines(is_whole=_flag(config, "serialize", default=False), has_runtime=has_runtime, chosen=chosen)
        formatted = JsonFormat(lines, _Cleaner(config, is_sanitizing=False))
        # What is sealed is made one line after the other.
        return formatted if chain is None else lambda record: chain.sealed(formatted(record))
    kept = Template(PLAIN if template is None else template, is_coloured=is_painted, is_whole=not is_sanitizing)
    return _plain(kept, _Cleaner(config, is_sanitizing=is_sanitizing, chosen=chosen))


def clean_record_of(config: Mapping[str, object]) -> Callable[[Record], Record]:
    """Return what makes of a record one that a handler of somebody else's may write anywhere, as *config* says."""
    cleaner = _Cleaner(config, is_sanitizing=False, chosen=_choice(config.get("fields")))

    def cleaned(record: Record) -> Record:
        clean = _clean_copy(record, cleaner)
        if record.exception is not None or record.exc_text:
            told = _traceback(record)
            clean.exc_text = cleaner.text(told)
            if clean.exc_text != told:
                # Some handlers print the exception themselves.
                clean.exc_info = None
        clean.stack_info = record.stack_info and cleaner.text(record.stack_info)
        return clean

    return cleaned


class _Cleaner:
    """Takes out of a record what must not be seen."""

    def __init__(
        self,
        config: Mapping[str, object],
        *,
        is_sanitizing: bool,
        chosen: Callable[[str], bool] | None = None,
    ) -> None:
        self._is_sanitizing = is_sanitizing
        self._chosen = chosen
        self._is_masking = _flag(config, "mask_pii", default=False)
        self._redactor = self._masking(_redactor(config))
        # Keys that hide nothing and are nobody else's: looking one up is cheaper than judging it again.
        self.harmless: set[str] = set()
        if config.get("redact") is None:
            _UNDECIDED.add(self)

    def go_by(self, redactor: Redactor) -> None:
        """Take out what *redactor* does from now on."""
        self._redactor = self._masking(redactor)
        self.harmless = set()

    def _masking(self, redactor: Redactor | None) -> Redactor | None:
        if not self._is_masking:
            return redactor
        if redactor is None:
            return Redactor(extra_patterns=_PERSONAL)
        return replace(redactor, extra_patterns=(*redactor.extra_patterns, *_PERSONAL))

    def text(self, text: str) -> str:
        return text if self._redactor is None else self._redactor.text(text)

    def is_secret(self, key: str) -> bool:
        return self._redactor is not None and self._redactor.is_secret(key)

    def are_clean(self, records: Sequence[Record]) -> bool:
        """Whether nothing would be taken out of the texts of *records*: many are looked at in a part of the time."""
        redactor = self._redactor
        if redactor is None:
            return True
        if redactor.callback is not None:
            return False
        texts = [record.message for record in records]
        for record in records:
            texts += [value for value in record.fields.values() if value.__class__ is str]
        return redactor.are_clean(texts)

    def message(self, record: Record) -> str:
        message = self.text(record.message)
        return on_one_line(message) if self._is_sanitizing else message

    def fields(self, record: Record) -> Mapping[str, Value]:
        fields, chosen, redactor = record.fields, self._chosen, self._redactor
        if not fields:
            return fields
        if chosen is not None:
            fields = {key: value for key, value in fields.items() if chosen(key)}
        return fields if redactor is None else {key: redactor.value(key, value) for key, value in fields.items()}


# Those of sinks that have not said what is secret: they go by what the run says.
_UNDECIDED: Final[weakref.WeakSet[_Cleaner]] = weakref.WeakSet()


def use_redactor(redactor: Redactor | None) -> None:
    """Let *redactor* stand, and the default one for None, also for sinks that there are already."""
    let_stand(redactor)
    for cleaner in list(_UNDECIDED):
        cleaner.go_by(standing_redactor())


def masked(fields: Mapping[str, object]) -> dict[str, Value]:
    """Return *fields* as they are now, without what sinks take for secret that have not said what is."""
    redactor = standing_redactor()
    return {key: redactor.value(key, value) for key, value in frozen(fields).items()}


# ── the three kinds ───────────────────────────────────────────────────────────────────────────────


class JsonFormat:
    """Makes JSON of records: of one a line of text, of many the bytes of their lines, which costs half as much."""

    def __init__(self, lines: JsonLines, cleaner: _Cleaner) -> None:
        """Write *lines* of what *cleaner* leaves."""
        self._lines = lines
        self._cleaner = cleaner

    def __call__(self, record: Record) -> str:
        """Return the line of *record*."""
        cleaner = self._cleaner
        return self._lines.line(record, cleaner.message(record), cleaner.fields(record), cleaner.text) + "\n"

    def encoded(self, records: Sequence[Record]) -> list[bytes]:
        """Return the line of each of *records*."""
        made: list[bytes] = []
        for start in range(0, len(records), _AT_ONCE):
            some = records[start : start + _AT_ONCE]
            are_clean = self._cleaner.are_clean(some)
            made += [(are_clean and self._common(record)) or self._any(record) for record in some]
        return made

    def _any(self, record: Record) -> bytes:
        return self(record).encode("utf-8", "backslashreplace")

    def _common(self, record: Record) -> bytes | None:
        """Return the line of a *record* that is like most, and whose texts are clean; None for any other."""
        if record.exc_info or record.exc_text or record.stack_info or not self._lines.is_alike:
            return None
        fields, harmless = record.fields, self._cleaner.harmless
        for key, value in fields.items():
            if (key not in harmless and not self._is_harmless(key)) or value.__class__ not in _SCALARS:
                return None
        try:
            return self._lines.bytes_of(record, record.message, fields)
        except TypeError:  # half of a character
            return None

    def _is_harmless(self, key: str) -> bool:
        if key in RESERVED or key == "run_id" or self._cleaner.is_secret(key):
            return False
        harmless = self._cleaner.harmless
        if len(harmless) >= _MOST_KNOWN:
            harmless.clear()
        harmless.add(key)
        return True


def _plain(template: Template, cleaner: _Cleaner) -> Formatter:
    def formatted(record: Record) -> str:
        line = template.line(record, cleaner.message(record), cleaner.fields(record))
        if record.exc_info or record.exc_text or record.stack_info:
            line += _below(record, cleaner)
        return line + "\n"

    return formatted


def _below(record: Record, cleaner: _Cleaner) -> str:
    """Return the traceback of *record*, each line of it indented: none of them can be taken for a record."""
    told = [text for text in (_traceback(record), record.stack_info) if text]
    lines = on_lines(cleaner.text("\n".join(told))).splitlines()
    return "".join([f"\n  {line}" for line in lines])


def _traceback(record: Record) -> str:
    error = record.exception
    if error is None:
        return record.exc_text or ""
    return stack_of(error, record.exc_info[2] if isinstance(record.exc_info, tuple) else None)


def _clean_copy(record: Record, cleaner: _Cleaner) -> Record:
    """Return a copy of *record* that has everything, the message and the fields as they may be seen."""
    clean = copy.copy(record).complete()
    # Formatters of the logging module put the message together again.
    clean.msg = clean.message = cleaner.message(record)
    clean.args = ()
    clean.fields = cleaner.fields(record)
    said = clean.__dict__
    for key in record.fields:
        if key in clean.fields and key in said:
            said[key] = clean.fields[key]
        elif key not in STANDARD:
            said.pop(key, None)
    return clean


def _custom(made: Callable[[logging.LogRecord], object], cleaner: _Cleaner) -> Formatter:
    def formatted(record: Record) -> str:
        text = made(_clean_copy(record, cleaner))
        line = on_lines(cleaner.text(text if isinstance(text, str) else str(text)))
        return line if line.endswith("\n") else line + "\n"

    return formatted


# ── what the configuration says ───────────────────────────────────────────────────────────────────


def _refuse(key: str, value: object, accepted: str) -> NoReturn:
    msg = f"{key}={value!r} is not accepted; accepted: {accepted}"
    raise ConfigError(msg)


def _flag(config: Mapping[str, object], key: str, *, default: bool) -> bool:
    value = config.get(key)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    _refuse(key, value, "True or False")


def _text(config: Mapping[str, object], key: str) -> str | None:
    value = config.get(key)
    if value is None or isinstance(value, str):
        return value
    _refuse(key, value, f"a text such as {PLAIN!r}")


def _chain(config: Mapping[str, object], *, is_json: bool) -> Chain | None:
    said = config.get("integrity")
    if said is None or said is False:
        return None
    if not is_json:
        msg = "integrity is for lines of JSON; say json=True"
        raise ConfigError(msg)
    if said is True:
        return Chain(None)
    if isinstance(said, str | bytes) and said:
        return Chain(said.encode() if isinstance(said, str) else said)
    msg = "integrity is not accepted; accepted: True, False, a key as text or bytes"
    raise ConfigError(msg)


def _callable(config: Mapping[str, object], key: str) -> Callable[[logging.LogRecord], object] | None:
    value = config.get(key)
    if isinstance(value, logging.Formatter):
        return value.format
    if value is None or callable(value):
        return value
    _refuse(key, value, "a function of a record that returns the line, or a logging.Formatter")


def _colours(config: Mapping[str, object]) -> object:
    value = config.get("colors", "auto")
    if value in (None, "auto") or isinstance(value, bool):
        return value
    _refuse("colors", value, '"auto" (on terminals), True or False')


def _redactor(config: Mapping[str, object]) -> Redactor | None:
    wish = config.get("redact")
    if wish is None:
        return standing_redactor()
    try:
        return redactor_from(cast("bool", wish))
    except ValueError:
        _refuse("redact", wish, "True, False or a Redactor")


def _choice(said: object) -> Callable[[str], bool] | None:
    if said is None:
        return None
    accepted = '{"include": [names], "exclude": [names]}, one of them or both'
    if not isinstance(said, Mapping) or not set(said) <= {"include", "exclude"}:
        _refuse("fields", said, accepted)
    for names in said.values():
        if names is not None and (isinstance(names, str) or not isinstance(names, Iterable)):
            _refuse("fields", said, accepted)
    include = None if said.get("include") is None else frozenset(said["include"])
    exclude = frozenset(said.get("exclude") or ())
    return lambda key: (include is None or key in include) and key not in exclude
