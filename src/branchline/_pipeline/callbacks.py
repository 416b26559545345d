"""Callbacks of observable instruments: user code that may hang or raise, asked where nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Observation

from ..metric_values import freeze_number
from .notices import Notices, said
from .plain import is_plain, made_plain


# How soon somebody who waits for an answer looks whether there is still time.
_LOOK_SECONDS: Final = 0.02


class Callback:
    """One callback, asked in a thread of its own; what it has answered in time is what it is called for."""

    def __init__(self, instrument: str, function: Any) -> None:
        """Ask *function* of the *instrument* with this name; a generator is sent the options."""
        self._instrument = instrument
        self._function = function
        # One that neither waits nor raises, which is ours, needs no thread.
        self._is_prompt = getattr(function, "is_prompt", False) is True
        self._is_begun = False
        self._answer: list[Observation] = []
        self._thread: threading.Thread | None = None

    def ask(self, options: CallbackOptions, notices: Notices) -> None:
        """Begin to ask, unless it still owes the last answer."""
        if self.is_asked:
            return
        self._answer = []
        if self._is_prompt:
            self._run(options, notices)
            return
        thread = threading.Thread(target=self._run, args=(options, notices), name="branchline-callback", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No more threads, as at the interpreter's end: here, then, unless nobody has the time to wait for it.
            if options.timeout_millis:
                self._run(options, notices)
        else:
            self._thread = thread

    @property
    def is_asked(self) -> bool:
        """Whether it has not answered yet."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, notices: Notices, deadline: Callable[[], float]) -> None:
        """Wait for the answer until the *deadline*, which may move."""
        thread = self._thread
        while thread is not None and thread.is_alive():
            left = deadline() - time.monotonic()
            if left <= 0:
                notices.once(
                    f"callback_{self._instrument}",
                    f"a callback of {self._instrument} does not answer; it is left out until it does",
                )
                return
            thread.join(min(left, _LOOK_SECONDS))

    def __call__(self, options: CallbackOptions) -> Iterable[Observation]:
        """Return what it has answered, once: nothing where it did not."""
        answer, self._answer = self._answer, []
        return answer

    def _run(self, options: CallbackOptions, notices: Notices) -> None:
        try:
            asked = [self._sound(found, notices) for found in self._asked(options)]
            self._answer = [observation for observation in asked if observation is not None]
        except BaseException as error:  # user code, and nobody to tell but stderr
            notices.noted(
                "failed_callback", f"a callback of {self._instrument} failed: {type(error).__name__}: {said(error)}"
            )

    def _asked(self, options: CallbackOptions) -> Iterable[Any]:
        function = self._function
        if not isinstance(function, Generator):
            answer: Iterable[Any] = function(options)
            return answer
        if not self._is_begun:
            self._is_begun = True
            next(function)
        try:
            sent: Iterable[Any] = function.send(options)
        except StopIteration:
            return ()
        return sent

    def _sound(self, found: Any, notices: Notices) -> Observation | None:
        """Return an observation as the SDK takes it without a word; None for one that no metric can have."""
        value, attributes = found.value, found.attributes
        number = value if value.__class__ is int or value.__class__ is float else freeze_number(value, notices.odd)
        # NaN less itself is NaN, which is as true as 1.
        if number - number:
            notices.noted("left_out", f"{self._instrument} takes no {value!r}; counted in process.json")
            return None
        if attributes and not is_plain(attributes):
            attributes, _ = made_plain(attributes, notices.odd)
        return Observation(number, attributes)
