"""Trial log of a search: finished plans and plans under evaluation, in a storage that processes share.

An Optuna study holds one trial for each claim on a plan. The storage numbers trials in the order in which they are
made, all processes see the same numbers, and of two claims on the same plan or index the lower number wins.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from gancompress.architecture_search.options import Objective, SearchOptions
from gancompress.architecture_search.registry import METHODS
from gancompress.architecture_search.result import Candidate
from gancompress.architecture_search.space import SearchSpace, Values
from gancompress.architecture_search.storage import patiently
from gancompress.errors import ConfigError


@dataclass(frozen=True)
class Trials:
    """Snapshot of the trials of a search.

    Attributes:
        finished: The finished candidates, by index.
        running: The plans under evaluation in any process, by index.
        abandoned: The plans whose evaluation was given up, by index.
    """

    finished: list[Candidate]
    running: dict[int, Values]
    abandoned: dict[int, Values]

    @property
    def taken(self) -> set[Values]:
        """The plans that are finished or under evaluation."""
        return {*self.running.values(), *(candidate.values for candidate in self.finished)}

    @property
    def next_index(self) -> int:
        """The lowest index that is free."""
        used = {*self.running, *(candidate.index for candidate in self.finished)}
        return next(index for index in range(len(used) + 1) if index not in used)


@dataclass(frozen=True)
class Claim:
    """The right to evaluate a plan.

    Attributes:
        trial_id: The storage's key of its trial.
        number: The trial's number in the study.
        index: The candidate's index.
        values: The plan.
        cost: The plan's cost.
    """

    trial_id: int
    number: int
    index: int
    values: Values
    cost: float


class TrialLog:
    """Trials of one search, with claims of processes on plans."""

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: SearchSpace,
        objective: Objective,
        options: SearchOptions,
        settings: Mapping[str, Any],
    ) -> None:
        """Start the trials of a search, or continue those that the storage holds.

        Args:
            storage: The Optuna storage.
            name: Tells the searches in one storage apart.
            space: The plans to choose from.
            objective: The metric to optimise.
            options: Method and its numbers.
            settings: Settings that must not change while a search continues; JSON.

        Raises:
            ConfigError: The storage holds a search of this name with other settings.
        """
        self._storage, self._space, self._objective, self._options = storage, space, objective, options
        self._with_cost = METHODS.find(options.method).multi_objective
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[objective.direction, *(["minimize"] if self._with_cost else [])],
            load_if_exists=True,
        )
        self._study_id = storage.get_study_id_from_name(name)
        self._check(json.loads(json.dumps(dict(settings))))
        self._candidates: dict[int, Candidate] = {}
        self._own: set[int] = set()

    def read(self) -> Trials:
        """Return the current state, after giving up the claims of dead processes."""
        return patiently(self._read)

    def _read(self) -> Trials:
        finished, running, abandoned = [], {}, {}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.COMPLETE:
                finished.append(self._candidate(trial))
                continue
            alive = trial.state == TrialState.RUNNING and not self._is_abandoned(trial)
            if trial.state == TrialState.RUNNING and not alive:
                self._give_up(trial.number)
            (running if alive else abandoned)[trial.user_attrs["index"]] = self._space.parse(trial.user_attrs["plan"])
        return Trials(sorted(finished, key=lambda candidate: candidate.index), running, abandoned)

    def claim(self, index: int, values: Values, cost: float) -> Claim | None:
        """Claim a plan; return None if another process has claimed the plan or the index before."""
        return patiently(lambda: self._claim(index, values, cost))

    def _claim(self, index: int, values: Values, cost: float) -> Claim | None:
        attributes = {"index": index, "plan": self._space.text(values), "cost": cost, "alive": time.time()}
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(zip(self._space.names, values, strict=True)),
            distributions={
                name: CategoricalDistribution(choices)
                for name, choices in zip(self._space.names, self._space.choices, strict=True)
            },
            user_attrs={**attributes, "machine": _machine(), "process": os.getpid()},
        )
        trial_id = self._storage.create_new_trial(self._study_id, trial)
        number = self._storage.get_trial_number_from_id(trial_id)
        self._own.add(number)
        for other in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.COMPLETE)):
            same = other.user_attrs["index"] == index or other.user_attrs["plan"] == attributes["plan"]
            if same and other.number < number:
                self._give_up(number)
                return None
        return Claim(trial_id, number, index, values, cost)

    @contextmanager
    def evaluating(self, claim: Claim) -> Iterator[None]:
        """Send heartbeats for a claim; give it up if the evaluation fails or is interrupted."""
        over = threading.Event()
        thread = threading.Thread(target=self._send_heartbeats, args=(claim.trial_id, over), daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            self._give_up(claim.number)
            raise
        finally:
            over.set()
            thread.join()

    def finish(self, claim: Claim, metrics: Mapping[str, float], seconds: Mapping[str, float]) -> Candidate:
        """Record the metrics of a claimed plan, unless another process has given the claim up meanwhile.

        Args:
            claim: The claim.
            metrics: Metrics that the evaluation returned.
            seconds: Seconds of its parts.

        Raises:
            ConfigError: The objective is not among the metrics.
        """
        numbers = {name: float(value) for name, value in metrics.items()}
        score = self._objective.score(numbers)
        value = score if self._objective.direction == "minimize" else -score
        values = [value, claim.cost] if self._with_cost else [value]

        def record() -> None:
            self._storage.set_trial_user_attr(claim.trial_id, "metrics", numbers)
            self._storage.set_trial_user_attr(claim.trial_id, "seconds", dict(seconds))
            self._storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, values)

        with suppress(UpdateFinishedTrialError):
            patiently(record)
        text, plan = self._space.text(claim.values), self._space.plan(claim.values)
        return Candidate(claim.index, claim.values, text, plan, claim.cost, numbers, dict(seconds))

    def _check(self, settings: dict[str, Any]) -> None:
        held = self._study.user_attrs.get("settings")
        if held is None and not self._study.get_trials(deepcopy=False):
            self._study.set_user_attr("settings", settings)
        elif held != settings:
            other = ", ".join(key for key in settings if (held or {}).get(key) != settings[key])
            raise ConfigError(
                f"storage: it holds a search '{self._study.study_name}' with other settings ({other}); "
                "give the same settings, another name or another file"
            )

    def _candidate(self, trial: FrozenTrial) -> Candidate:
        if trial.number not in self._candidates:
            kept = trial.user_attrs
            values = self._space.parse(kept["plan"])
            plan = self._space.plan(values)
            self._candidates[trial.number] = Candidate(
                kept["index"], values, kept["plan"], plan, kept["cost"], kept["metrics"], kept["seconds"]
            )
        return self._candidates[trial.number]

    def _is_abandoned(self, trial: FrozenTrial) -> bool:
        kept = trial.user_attrs
        if time.time() - kept["alive"] > self._options.stale_after_s:
            return True
        if kept["machine"] != _machine() or trial.number in self._own:
            return False
        return kept["process"] == os.getpid() or not _is_running(kept["process"])

    def _give_up(self, number: int) -> None:
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _send_heartbeats(self, trial_id: int, over: threading.Event) -> None:
        """Send heartbeats until the evaluation ends or the claim is given up; a failure of a database ends nothing."""
        with suppress(UpdateFinishedTrialError, OSError):
            while not over.wait(self._options.stale_after_s / 4):
                with suppress(StorageInternalError):
                    self._storage.set_trial_user_attr(trial_id, "alive", time.time())


def _machine() -> str:
    """Return the name of the machine, or of a container on it, within which process numbers are unique."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {os.readlink(namespace) if namespace.exists() else ''}".strip()


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # there is no harmless way to ask; the heartbeats decide
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Return whether a process has ended, but its parent has not asked for its exit status; on Linux only."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False
