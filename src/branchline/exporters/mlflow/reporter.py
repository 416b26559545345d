"""The reporter: tells MLflow what is new of one experiment or branch, and notes what MLflow has acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ... import names
from ..._mlflow.client import Client
from ..._mlflow.failures import MLflowFailure
from ..._mlflow.limits import LONGEST_EXPERIMENT_NAME, Point, batches
from .about import METADATA_FILE, About, about
from .entries import (
    birth_tags,
    end_of,
    end_points,
    end_tags,
    first_files,
    last_files,
    outcome_of,
    params_of,
    place_of,
    status_of,
    title,
    token_of,
)
from .health import UNREACHABLE, Health
from .picture import LOOSE, Entity, Picture, PointAt
from .teller import GoneError, Teller, is_passing
from .told import Acknowledged, Told
from .trace_reporter import TraceReporter


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which of MLflow's experiments runs go to; where neither is said, each to the one of its own name."""

    experiment: str | None = None
    experiment_id: str | None = None


class Reporter:
    """Tells MLflow of the entities of one run at a time."""

    def __init__(
        self,
        folder: Path,
        make_client: Callable[[], Client],
        health: Health,
        place: Place,
        traces: TraceReporter | None = None,
        another_chance: set[str] | None = None,
    ) -> None:
        """Note in *folder* what MLflow refuses; the client is made when there is something to tell.

        Whoever was given up and is to be told of after all, is put into *another_chance*.
        """
        self._another_chance = set() if another_chance is None else another_chance
        self._folder = folder
        self._make_client = make_client
        self._health = health
        self._place = place
        self._traces = traces
        self.teller: Teller | None = None
        self.postponed: dict[str, None] = {}
        """Entities of which it is not known yet what they are shown below."""
        self.is_final = False
        """Whether what is not known by now will never be."""
        # By experiment: the runs that MLflow has of this run, by their tokens.
        self._found: dict[str, dict[str, list[str]]] = {}
        self._has_tidied = False

    def begin(self, run: Path, told: Told, picture: Picture) -> None:
        """Tell of the *run* that *picture* shows; what is acknowledged is noted in *told*."""
        self._run = run
        self._run_id = run.name
        self._told = told
        self._picture = picture
        # What was created and not noted must be looked for; else nothing is there that we do not know of.
        self._is_to_look = bool(told.intents) or not told.is_known

    @property
    def has_traces(self) -> bool:
        """Whether branches become traces as well."""
        return self._traces is not None

    @property
    def reason_without_traces(self) -> str:
        """Why MLflow keeps no traces, though it should."""
        return "" if self._traces is None else self._traces.reason

    def has_trace(self, key: str) -> bool:
        """Whether MLflow has the trace of an entity, but perhaps for what comes late."""
        known = self._told.entities.get(key)
        return known is not None and known.has_trace

    def wants_span(self, key: str, is_new: bool) -> bool:
        """Whether a span of an entity is to be told."""
        return self._traces is not None and self._traces.wants_span(key, is_new, self._told.entities.get(key))

    # ── what comes first ──────────────────────────────────────────────────────────────────────────

    def needed_before(self, key: str) -> str | None:
        """Return the key of what must be told first, because *key* is shown below it."""
        above = self._picture.parent(self._picture.entities[key], is_final=self.is_final)
        is_born = above in (None, LOOSE) or above in self._told.entities
        return None if is_born or above == key else above

    def unborn(self, keys: Iterable[str]) -> set[str]:
        """Return which of *keys* MLflow has no run for."""
        return {key for key in keys if key not in self._told.entities}

    # ── telling ───────────────────────────────────────────────────────────────────────────────────

    def tell_of(self, key: str) -> bool:
        """Tell what is new of one entity; return whether there was anything.

        Raises:
            MLflowFailure: where the same may be told later.
            OSError: where what is refused cannot be kept.
        """
        entity = self._picture.entities[key]
        known = self._told.entities.get(key)
        if known is not None and known.is_given_up:
            entity.points.clear()
            entity.spans.clear()
            return False
        above = self._picture.parent(entity, is_final=self.is_final)
        if known is None and above is None:
            self.postponed[key] = None
            return False
        is_run_news = known is None or self._is_news(entity, known)
        if known is not None and not is_run_news and not self._is_trace_news(entity, known):
            # All acknowledged: once the cursor has passed them, nothing would tell them from new ones.
            entity.points.clear()
            return False
        self._ask_for_health()
        teller = self._known_teller()
        try:
            born = known or self._created(teller.client, entity, above)
            self._told.entities[key] = born = self._told_more(teller, entity, born) if is_run_news else born
            if self._traces is not None and self._is_trace_news(entity, born):
                self._told.entities[key] = self._traces.told(teller, self._picture, entity, born)
        except GoneError as error:
            self._give_up(teller, entity, error)
        except MLflowFailure as failure:
            self._health.failed()
            if not is_passing(failure):
                self._give_up(teller, entity, failure)
            else:
                raise
        else:
            self._health.succeeded()
        self._told.intents.discard(key)
        return True

    def _about(self, entity: Entity, known: Acknowledged) -> About | None:
        """Return what is to be told of the run as a whole, with what is above all others and has ended."""
        is_below = self._picture.parent(entity, is_final=self.is_final) not in (None, LOOSE)
        if is_below or outcome_of(entity) is None:
            return None
        found = about(self._run)
        return found if found.digest != known.about else None

    def _is_news(self, entity: Entity, known: Acknowledged) -> bool:
        if self._about(entity, known) is not None:
            return True
        return bool(
            not known.is_begun or _new_points(entity, known) or outcome_of(entity) not in (None, known.ended_as)
        )

    def _is_trace_news(self, entity: Entity, known: Acknowledged) -> bool:
        return self._traces is not None and self._traces.is_news(self._picture, entity, known)

    def _told_more(self, teller: Teller, entity: Entity, known: Acknowledged) -> Acknowledged:
        new = _new_points(entity, known)
        outcome = outcome_of(entity)
        is_ending = outcome is not None and outcome != known.ended_as
        points = [at.point for at in new]
        owners = {at.point: at.source for at in new}
        params = {} if known.is_begun else params_of(entity)
        tags = end_tags(entity, outcome) if is_ending and outcome is not None else {}
        mine: Iterable[Point] = end_points(entity) if is_ending else ()
        for batch in batches(params.items(), tags.items(), (*points, *mine)):
            teller.log(known.run_id, batch, owners)
        files = {} if known.is_begun else first_files(entity)
        teller.write(known.run_id, {**files, **(last_files(entity) if is_ending else {})})
        whole = self._about(entity, known)
        if whole is not None:
            self._tell_about(teller, known.run_id, whole)
            known = replace(known, about=whole.digest)
        if is_ending and outcome is not None:
            teller.end(known.run_id, status_of(outcome), end_of(entity) // 1_000_000)
        entity.points.clear()
        reached = dict(known.points)
        for at in new:
            reached[at.source] = max(at.position, reached.get(at.source, (0, 0)))
        return replace(known, is_begun=True, ended_as=outcome or known.ended_as, points=reached)

    def _tell_about(self, teller: Teller, run_id: str, whole: About) -> None:
        teller.write(run_id, {METADATA_FILE: whole.text})
        if whole.data:
            teller.name_data(run_id, whole.data)

    # ── creating ──────────────────────────────────────────────────────────────────────────────────

    def _created(self, client: Client, entity: Entity, above: str | None) -> Acknowledged:
        experiment = self._experiment_of(client, entity)
        run_id = self._found_in(client, experiment).get(token_of(self._run_id, entity.key), [None])[0]
        parent = None if above is None or above == LOOSE else self._told.entities[above]
        if run_id is None:
            try:
                run_id = client.create_run(
                    experiment,
                    name=title(entity),
                    start_ms=entity.start_unix_nano // 1_000_000,
                    tags=birth_tags(entity, self._run_id),
                    # Of one in another experiment, MLflow would show neither.
                    parent_run_id=parent.run_id if parent is not None and parent.experiment_id == experiment else None,
                )
            except MLflowFailure:
                # It may have been the answer that was lost, and not the run.
                self._is_to_look = True
                self._found.clear()
                raise
        return Acknowledged(run_id=run_id, experiment_id=experiment)

    def _experiment_of(self, client: Client, entity: Entity) -> str:
        if self._place.experiment_id is not None:
            return self._place.experiment_id
        return client.experiment_id((self._place.experiment or place_of(entity))[:LONGEST_EXPERIMENT_NAME])

    def _found_in(self, client: Client, experiment: str) -> dict[str, list[str]]:
        if not self._is_to_look:
            return {}
        if experiment not in self._found:
            self._found[experiment] = client.find_runs(experiment, names.RUN_ID, self._run_id, by=names.MLFLOW_TOKEN)
        return self._found[experiment]

    def give_up(self, key: str, failure: Exception) -> None:
        """Tell no more of an entity; what MLflow lacks of it is kept with the reason. Raises OSError."""
        self._give_up(self._known_teller(), self._picture.entities[key], failure)
        self._told.intents.discard(key)

    def revive(self) -> None:
        """Tell all of those that were given up and are to have another chance."""
        for key in self._another_chance:
            known = self._told.entities.pop(key, None)
            if known is not None and known.run_id:
                anew = Acknowledged(run_id=known.run_id, experiment_id=known.experiment_id)
                self._told.entities[key] = anew
            self._picture.revived.add(key)
        self._another_chance.clear()

    def _give_up(self, teller: Teller, entity: Entity, error: Exception) -> None:
        known = self._told.entities.get(entity.key)
        for at in entity.points:
            teller.refused_points[at.source] += 1
        said = {"run": known.run_id if known is not None else None, "entity": entity.key, "name": title(entity)}
        teller.bury(said, error)
        entity.points.clear()
        nobody = Acknowledged(run_id="", experiment_id="")
        self._told.entities[entity.key] = replace(known or nobody, is_given_up=True)

    # ── MLflow ────────────────────────────────────────────────────────────────────────────────────

    def _known_teller(self) -> Teller:
        if self.teller is None:
            self.teller = Teller(self._make_client(), self._folder)
        return self.teller

    def _ask_for_health(self) -> None:
        reason = self._health.complaint()
        if reason is not None:
            failure = MLflowFailure("retry", reason, UNREACHABLE)
            raise failure

    def tidy(self) -> bool:
        """Take away what MLflow's client created twice because an answer was lost; return whether it looked."""
        if self._has_tidied or self.teller is None or not self.teller.client.is_remote:
            return False
        client = self.teller.client
        self._ask_for_health()
        for experiment in {known.experiment_id for known in self._told.entities.values() if known.experiment_id}:
            found = client.find_runs(experiment, names.RUN_ID, self._run_id, by=names.MLFLOW_TOKEN)
            for key, known in self._told.entities.items():
                for run_id in found.get(token_of(self._run_id, key), ()):
                    if run_id != known.run_id:
                        client.delete_run(run_id)
        self._has_tidied = True
        return True


def _new_points(entity: Entity, known: Acknowledged) -> list[PointAt]:
    return [at for at in entity.points if at.position > known.points.get(at.source, (0, 0))]
