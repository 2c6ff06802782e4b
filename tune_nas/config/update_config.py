"""The ``update`` section of a trial: the gradients that update w and α, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas.config.decides import Decides
from tune_nas.config.options.controller_options import PolicyConfig
from tune_nas.config.section import (
    EpochsOrNone,
    Fraction,
    Passes,
    Positive,
    Section,
    with_current_names,
)


class UpdatePhase(Section):
    """An initial part of a search with a different update.

    Args:
        until: The epoch after which it ends; 0 to skip it.
        set: Keys of ``update`` that differ until then.
    """

    until: EpochsOrNone
    set: dict[str, object]


class UpdateConfig(Section):
    """The gradients that update w and α, and their order.

    Args:
        level: ``single`` (both from the same training batch), ``bilevel`` (α from the validation
            batch), ``mixed`` (α from both, weighted by λ; MiLeNAS, Eq. 6), ``policy`` (w in every
            step; at the end of the epoch the controller, by REINFORCE on validation accuracy;
            ENAS), or ``none`` (only w; α is fixed).
        order: 1, or 2 for the gradient through one unrolled w step (bilevel and mixed).
        sequence: Where the gradients are evaluated. ``simultaneous``: both at the same (w, α);
            ``weights-first`` (MiLeNAS, Algorithm 1) and ``alphas-first`` (DARTS; the MiLeNAS code):
            the second after the update by the first.
        lambda_: λ ≥ 0 of the mixed level, gradient ∇L_train + λ ∇L_valid; ``inf`` for bilevel.
        lambda_prime: Alternatively λ' = λ / (1 + λ) in [0, 1], gradient (1 − λ') ∇L_train + λ'
            ∇L_valid.
        hessian: The Hessian-vector product of order 2: ``finite-difference`` or ``exact``.
        epsilon: Numerator of the finite difference's step, ε = epsilon / ‖v‖.
        unrolled_momentum: Whether the unrolled step uses the optimizer's momentum.
        second_order_form: ``eq6``: λ weights the validation term; ``train-weighted``: λ weights the
            training term, as in MiLeNAS's second-order formula (Sec. 3.1), unlike its Eq. 6.
        alpha_batch: For the single level: the ``same`` batch for w and α, or ``separate``: another
            batch of the same images for α (Hou and Jin, Table 1).
        weight_steps: Number of w steps per α step.
        warmup: Number of epochs at the start of the search and of each stage in which α is fixed.
        policy: Training of the controller, for the level ``policy``.
        phases: Initial parts of the search with different updates, in order.
    """

    renamed: ClassVar[Mapping[str, str]] = {"alphas_batch": "alpha_batch"}
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "alpha_batch": {"other": "separate"},
        "second_order_form": {"printed": "train-weighted"},
    }

    level: Literal["single", "bilevel", "mixed", "policy", "none"] = "bilevel"
    order: Literal[1, 2] = 1
    sequence: Literal["simultaneous", "weights-first", "alphas-first"] = "alphas-first"
    lambda_: float | None = Field(default=None, alias="lambda", ge=0)
    lambda_prime: Fraction | None = None
    hessian: Literal["finite-difference", "exact"] = "finite-difference"
    epsilon: Positive = 0.01
    unrolled_momentum: bool = True
    second_order_form: Literal["eq6", "train-weighted"] = "eq6"
    alpha_batch: Literal["same", "separate"] = "same"
    weight_steps: Passes = 1
    policy: PolicyConfig = PolicyConfig()
    warmup: Annotated[EpochsOrNone, Decides.SEARCH | Decides.SEARCH_STARTS] = 0
    phases: Annotated[list[UpdatePhase], Decides.SEARCH | Decides.SEARCH_STARTS] = Field(
        default_factory=list
    )

    @field_validator("order", mode="before")
    @classmethod
    def _order_from_text(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @model_validator(mode="after")
    def _consistent(self) -> UpdateConfig:
        given = {"update.lambda": self.lambda_, "update.lambda_prime": self.lambda_prime}
        for key, value in given.items():
            if self.level != "mixed" and value is not None:
                raise ValueError(
                    f"{key} is {value:g}, but belongs to update.level 'mixed', not '{self.level}' "
                    f"(null removes it)"
                )
        if None not in given.values():
            raise ValueError(
                "update.lambda and update.lambda_prime say the same; give one (null for the other)"
            )
        if self.level not in ("bilevel", "mixed") and self.order == 2:
            raise ValueError(
                f"update.order is 2, but must be 1 where update.level is '{self.level}' "
                "(order 2 needs 'bilevel' or 'mixed')"
            )
        if self.level != "single" and self.alpha_batch == "separate":
            raise ValueError(
                "update.alpha_batch is 'separate', but belongs to update.level 'single', "
                f"not '{self.level}'"
            )
        return self

    @field_validator("phases")
    @classmethod
    def _current_names(cls, phases: list[UpdatePhase]) -> list[UpdatePhase]:
        return [
            phase.model_copy(update={"set": with_current_names(cls, phase.set)}) for phase in phases
        ]

    @model_validator(mode="after")
    def _phases_are_updates(self) -> UpdateConfig:
        ends = [phase.until for phase in self.phases]
        if ends != sorted(set(ends)):
            raise ValueError(f"update.phases end at {ends}, but must end one after another")
        for index, phase in enumerate(self.phases):
            fixed = sorted(phase.set.keys() & {"phases", "warmup"})
            if fixed:
                raise ValueError(
                    f"update.phases.{index}.set has '{fixed[0]}', which a phase cannot set"
                )
            self._with(phase)
        return self

    def in_epoch(self, epoch: int) -> UpdateConfig:
        """Return the update in an epoch (0-based)."""
        for phase in self.phases:
            if epoch < phase.until:
                return self._with(phase)
        return self

    def in_all_epochs(self) -> list[UpdateConfig]:
        """Return every update used in some epoch, in order."""
        return [*(self._with(phase) for phase in self.phases if phase.until > 0), self]

    def _with(self, phase: UpdatePhase) -> UpdateConfig:
        own = {**self.to_dict(), "phases": []}
        if phase.set.keys() & {"level"} and phase.set["level"] != "mixed":
            own = {**own, "lambda": None, "lambda_prime": None}
        return UpdateConfig.model_validate({**own, **phase.set})
