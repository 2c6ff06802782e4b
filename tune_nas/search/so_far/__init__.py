"""How many first epochs two searches have in common, and continuing one from the other.

A search that is killed and resumed ends bit for bit as one that ran through. Two searches with the
same deciding settings up to an epoch are thus one search up to it. The settings of an epoch are
computed from the trial (`epoch_settings`); every key that is not listed here matters from the first
epoch on, and so does every key of a trial with custom parts (``module:Class``) or probes.

=======================================  ===========================================================
Key                                      matters from
=======================================  ===========================================================
``selection.*``                          the first tuning epoch; with ``lr_rule`` the end of α's
                                         warm-up and with bounds of ``stop`` the first epoch in
                                         which they can stop the search, as both read the genotype;
                                         with ``greedy``, if one is ``perturbation``, the first
                                         decision
``update.*``, ``optimizer.alphas.*``,    the end of α's warm-up, and in phases with another level
``relaxation.penalty``,                  than ``none``; as far as the step differs (the factors of
``flops_weight``, ``flops_bound``,       the two losses, not their names)
``samples``, ``likelihood``
``update.alpha_batch``,                  the first epoch, as they decide the images
``data.single_level``
``update.warmup``                        the end of the shorter warm-up
``update.phases``                        the first epoch with another update
``optimizer.weights.learning_rate``,     the first epoch with another learning rate of w; an epoch
``learning_rate_min``                    of tuning at the latest
``schedule.epochs``                      the first epoch in which something that anneals differs
                                         (learning rate, temperature, drop path, auxiliary skip,
                                         smoothing); the end of the shorter search if nothing does;
                                         its last epoch with rules that know the end (``stop``,
                                         if it can stop the search there, and ``eigenvalue``); the
                                         end of α's warm-up with ``wipe_out`` or ``step_rule:
                                         regret``, which count α's steps
``relaxation.temperature``,              the first epoch with another value
``drop_path``, ``auxiliary_skip``,
``smoothing.start``, ``smoothing.end``
``schedule.stages``, ``carry_over``      the first epoch of the stage that differs; ``cells`` from
                                         the first epoch
``schedule.greedy.*``                    the first decision, ``history`` when it drops an epoch
``schedule.early_fixing``, ``lr_rule``,  the end of α's warm-up
``wipe_out``
``schedule.stop.*``                      the first epoch in which one can stop the search:
                                         ``patience`` epochs after the warm-up for the bounds,
                                         ``settled`` + 1; from the first epoch on with
                                         ``eigenvalue``, and bounds with ``sampled``
``eigenvalue.action``, ``factor``,       the first epoch in which the rule can act
``decay_factor``, ``max_decay``
``retrain.*``, ``benchmark.table``       never; the metrics of genotypes are computed again
=======================================  ===========================================================

Whether a rule other than ``stop`` is used at all matters from the first epoch on.
"""

from __future__ import annotations

from tune_nas.search.so_far.course import Course, shared_epochs
from tune_nas.search.so_far.deciding_keys import (
    deciding_text,
    has_own_parts,
    runs_own_code,
    space_in_file,
)

__all__ = [
    "Course",
    "deciding_text",
    "has_own_parts",
    "runs_own_code",
    "shared_epochs",
    "space_in_file",
]
