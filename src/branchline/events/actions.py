"""Actions of nodes: one asks for another, which is done or fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from .. import names
from ..tracebacks import qualified_name, said, stack_of
from .saying import say


START: Final = "START"
# Whoever wants actions in a file of their own gives this logger a sink.
LOGGER: Final = "actions"


class RTAction(ABC):
    """Something that a node does."""

    event_name: ClassVar[str]

    @abstractmethod
    def to_logging_msg(self) -> str:
        """Return it as a message, in one line."""

    @abstractmethod
    def fields(self) -> dict[str, object]:
        """Return what there is to know of it beside the message."""

    def record(self, *, logger: str | None = LOGGER) -> None:
        """Record it as an event of the current step, and give it to whoever listens to that *logger*; never raises."""
        say(self.event_name, self.fields(), message=self.to_logging_msg(), logger=logger)


@dataclass(frozen=True)
class RequestCreationAction(RTAction):
    """A node asks for another one; what nobody asked for comes from ``START``."""

    event_name: ClassVar[str] = names.ACTION_CREATED

    parent_node_name: str | None
    child_node_name: str
    input_args: tuple[Any, ...] = ()
    input_kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_logging_msg(self) -> str:
        """Return ``<parent> CREATED <child>``."""
        return f"{self.parent_node_name or START} CREATED {self.child_node_name}"

    def fields(self) -> dict[str, object]:
        """Return the names, and what the node was given."""
        return {
            "parent_node_name": self.parent_node_name or START,
            "child_node_name": self.child_node_name,
            "input_args": self.input_args,
            "input_kwargs": self.input_kwargs,
        }


@dataclass(frozen=True)
class RequestSuccessAction(RTAction):
    """A node is done."""

    event_name: ClassVar[str] = names.ACTION_DONE

    node_name: str
    output: Any = None

    def to_logging_msg(self) -> str:
        """Return ``<node> DONE``."""
        return f"{self.node_name} DONE"

    def fields(self) -> dict[str, object]:
        """Return the name, and what came of it."""
        return {"node_name": self.node_name, "output": self.output}


@dataclass(frozen=True)
class RequestFailureAction(RTAction):
    """A node has failed; one that *is_fatal* ends everything."""

    event_name: ClassVar[str] = names.ACTION_FAILED

    node_name: str
    exception: BaseException
    is_fatal: bool = field(default=False, kw_only=True)

    def to_logging_msg(self) -> str:
        """Return ``<node> FAILED``."""
        return f"{self.node_name} FAILED"

    def fields(self) -> dict[str, object]:
        """Return the name, and the type of what was raised."""
        return {"node_name": self.node_name, names.ERROR_TYPE: qualified_name(type(self.exception))}

    def record(self, *, logger: str | None = LOGGER) -> None:
        """Record it with the traceback, as ERROR; as FATAL if it ends everything."""
        error = self.exception
        say(
            self.event_name,
            self.fields(),
            severity="FATAL" if self.is_fatal else "ERROR",
            message=self.to_logging_msg(),
            logger=logger,
            error=error,
            beside={
                names.EXCEPTION_TYPE: qualified_name(type(error)),
                names.EXCEPTION_MESSAGE: said(error),
                names.EXCEPTION_STACKTRACE: stack_of(error, error.__traceback__),
            },
        )
