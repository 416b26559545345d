"""Experiments and branches as blocks of code: each opens a span, and closes it as its branch has ended."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from .. import foreign, names
from ..current import CURRENT, current_identity
from ..outcomes import is_worth_recording, outcome_of
from ..recording import Identity, Recording
from ..values import freeze_name
from .config import branch_name, config_id, flattened, mapping_of, output_view
from .model import Branch, BranchContainer


BRANCH_KEY = otel_context.create_key("branchline-branch")
EXPERIMENT_KEY = otel_context.create_key("branchline-experiment")


class _Place:
    """Where an open experiment or branch is: its span, if anybody records, and the context inside."""

    def __init__(
        self,
        name: str,
        role: str,
        attributes: Mapping[str, object],
        *,
        identity: Identity,
        context: Context,
        new_trace: bool = False,
    ) -> None:
        self._outside = otel_context.get_current()
        self._context = context
        otel_context.attach(context)
        recorder = CURRENT.recorder or foreign.recorder()
        self.recording: Recording | None = None
        if recorder is not None:
            self.recording = recorder.enter(name, role, attributes, identity=identity, new_trace=new_trace)
        self.inside = otel_context.get_current()

    def put(self, attributes: Mapping[str, object]) -> None:
        if self.recording is not None:
            self.recording.put(attributes)

    def leave(self, outcome: str, error: BaseException | None, message: str | None = None) -> None:
        if self.recording is not None:
            self.recording.leave(outcome, error=error, message=message)
        # Left somewhere else than entered (a fixture, a generator's finalizer), there may be nothing to give back; and
        # a token could not be used there without OpenTelemetry complaining in the log.
        if otel_context.get_current() is self._context:
            otel_context.attach(self._outside)


class ExperimentBlock:
    """What its branches are variants of, to be opened by ``with`` or ``async with``."""

    def __init__(self, name: str, attributes: Mapping[str, object]) -> None:
        self.name = freeze_name(name)
        self.branches = BranchContainer()
        self._attributes = attributes
        self._places: list[_Place] = []

    def __repr__(self) -> str:
        return f"<Experiment {self.name!r} of {len(self.branches)} branch(es)>"

    @property
    def context(self) -> Context | None:
        """The context inside it; None when it is not open."""
        return self._places[-1].inside if self._places else None

    def branch(
        self,
        config: object,
        /,
        *,
        name: str | None = None,
        config_id: str | None = None,
        new_trace: bool = False,
    ) -> BranchBlock:
        """Return a branch of this experiment, to be opened by ``with``."""
        return branch(config, name=name, config_id=config_id, experiment=self, new_trace=new_trace)

    def __enter__(self) -> Self:
        context = otel_context.set_value(EXPERIMENT_KEY, self, otel_context.set_value(BRANCH_KEY, None))
        identity = Identity(experiment_name=self.name)
        self._places.append(
            _Place(self.name, names.KIND_EXPERIMENT, self._attributes, identity=identity, context=context),
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._places.pop().leave(outcome_of(exc), exc if exc is not None and is_worth_recording(exc) else None)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, tb)


class BranchBlock:
    """A branch to be opened by ``with`` or ``async with``; made by `branch`."""

    def __init__(
        self,
        config: object,
        *,
        name: str | None,
        config_id: str | None,
        experiment: ExperimentBlock | str | None,
        new_trace: bool,
        prepared: Branch | None = None,
    ) -> None:
        self._prepared = prepared
        self._config = config
        self._name = name
        self._config_id = config_id
        self._experiment = experiment
        self._new_trace = new_trace
        self._open: list[tuple[Branch, _Place]] = []

    def __enter__(self) -> Branch:
        config = mapping_of(self._config)
        identity = config_id(config) if self._config_id is None else freeze_name(self._config_id)
        name = branch_name(config, identity) if self._name is None else freeze_name(self._name)
        opened = self._prepared or Branch.start(identity, config, name=name)
        opened.begin()
        experiment_name, context = self._home(opened)
        place = _Place(
            name,
            names.KIND_BRANCH,
            {f"{names.BRANCH_CONFIG_PREFIX}{key}": value for key, value in flattened(config).items()},
            identity=Identity(experiment_name=experiment_name, branch_id=identity, branch_name=name),
            context=otel_context.set_value(BRANCH_KEY, opened, context),
            new_trace=self._new_trace,
        )
        opened.recorded_by(place.recording)
        self._open.append((opened, place))
        return opened

    def _home(self, opened: Branch) -> tuple[str | None, Context]:
        """Add the branch to its experiment; return the experiment's name, and the context to open it in."""
        here = otel_context.get_current()
        current = otel_context.get_value(EXPERIMENT_KEY)
        chosen = current if self._experiment is None else self._experiment
        # By its type: some objects raise when they are asked for their class.
        if not issubclass(type(chosen), ExperimentBlock):
            return (current_identity().experiment_name if chosen is None else freeze_name(chosen)), here
        block = cast("ExperimentBlock", chosen)
        block.branches.add(opened)
        # Opened in a thread that knows nothing of the experiment, it still belongs below its span.
        return block.name, here if block is current or block.context is None else block.context

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        ended, place = self._open.pop()
        ended.finish(exc)
        outcome = names.INTERRUPTED if ended.status == names.LOST else ended.status
        info = ended.exception_info
        place.put(_end_attributes(ended))
        message = None if info is None or ended.error is not None else info["message"] or None
        place.leave(outcome, ended.error, message)
        # Its traceback would keep alive whatever the frames hold.
        ended.error = None

    def put(self, attributes: Mapping[str, object]) -> None:
        """Set attributes of the branch that was opened last."""
        self._open[-1][1].put(attributes)

    def mark(self, name: str, attributes: Mapping[str, object]) -> None:
        """Add an event to the branch that was opened last."""
        recording = self._open[-1][1].recording
        if recording is not None:
            recording.mark(name, attributes)

    async def __aenter__(self) -> Branch:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, tb)


def _end_attributes(ended: Branch) -> dict[str, object]:
    attributes: dict[str, object] = {names.BRANCH_STATUS: ended.status}
    if ended.output is not None:
        attributes[names.BRANCH_OUTPUT] = output_view(ended.output)
    if ended.status == names.SKIPPED and ended.exception_info is not None:
        attributes[names.SKIP_REASON] = ended.exception_info["message"]
    return attributes


def branch(
    config: object,
    /,
    *,
    name: str | None = None,
    config_id: str | None = None,
    experiment: ExperimentBlock | str | None = None,
    new_trace: bool = False,
) -> BranchBlock:
    """Return a branch, to be opened by ``with`` or ``async with``, which give its `Branch`.

    Args:
        config: A mapping, a dataclass, a pydantic model, a Namespace; a text is the branch's name.
        name: What to call it; else its config decides.
        config_id: Its id; else the one in its config, else one that the values of its config decide.
        experiment: An open experiment, or the name of one; else the one that this code is in.
        new_trace: Whether to begin a trace of its own.
    """
    return BranchBlock(config, name=name, config_id=config_id, experiment=experiment, new_trace=new_trace)


def current_branch() -> Branch | None:
    """Return the branch that this code is in."""
    current = otel_context.get_value(BRANCH_KEY)
    return current if isinstance(current, Branch) else None
