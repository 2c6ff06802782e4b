"""Random generators of the passes of a search; a step can be replayed with other seeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from tune_nas.seeds import derive_seed, new_generator


@dataclass(frozen=True)
class GeneratorRequest:
    """A generator requested by a step.

    Args:
        place: Index of its seed among those of the step's passes.
        purpose: Its purpose.
        device: Its device.
    """

    place: int
    purpose: str
    device: torch.device


@dataclass
class RngTape:
    """The seeds and generators that one step requested, in order."""

    seeds: list[int] = field(default_factory=list)
    wanted: list[GeneratorRequest] = field(default_factory=list)

    def note(self, seed: int, purpose: str, device: torch.device) -> None:
        """Record the request of a generator.

        Raises:
            ValueError: If the seed does not belong to a pass of the step.
        """
        self.wanted.append(GeneratorRequest(self.seeds.index(seed), purpose, device))


class RngReplay:
    """Gives a step the generators of a tape, reseeded for each run.

    Args:
        tape: The requests of the step.
    """

    def __init__(self, tape: RngTape) -> None:
        self.tape = tape
        self.generators = [torch.Generator(wanted.device) for wanted in tape.wanted]
        self._seeds = list(tape.seeds)
        self._n_seeds = self._n_generators = 0

    def seed_all(self, host: torch.Generator) -> None:
        """Sample a seed for each pass of the step and seed all generators with them."""
        self._seeds = [draw_seed(host) for _ in self.tape.seeds]
        for generator, wanted in zip(self.generators, self.tape.wanted, strict=True):
            generator.manual_seed(derive_seed(self._seeds[wanted.place], wanted.purpose))

    def rewind(self) -> None:
        """Restart the step."""
        self._n_seeds = self._n_generators = 0

    def seed(self) -> int:
        """Return the seed of the next pass."""
        self._n_seeds += 1
        return self._seeds[self._n_seeds - 1]

    def generator(self, seed: int, purpose: str, device: torch.device) -> torch.Generator:
        """Return the next generator.

        Raises:
            RuntimeError: If the tape has a different one here: the step does not always request the
                same.
        """
        at, self._n_generators = self._n_generators, self._n_generators + 1
        asked = GeneratorRequest(self._seeds.index(seed), purpose, device)
        if at >= len(self.generators) or self.tape.wanted[at] != asked:
            raise RuntimeError(f"its draws are not the same in each step ('{purpose}')")
        return self.generators[at]


class Draws:
    """Seeds of passes, from one checkpointed generator, and generators derived from them.

    A pass has a seed, and each of its purposes (a cell's weights, smoothing, noise) a new generator
    derived from seed and purpose. Passes with the same seed thus have the same samples, and a
    resumed search only needs the generator on the host.

    While a tape is replayed, its player provides the seeds and generators.

    Args:
        host: The generator on the CPU; None for one with torch's default seed.
    """

    def __init__(self, host: torch.Generator | None = None) -> None:
        self.host = torch.Generator() if host is None else host
        self._tape: RngTape | None = None
        self._player: RngReplay | None = None

    def seed(self) -> int:
        """Return the seed of a new pass."""
        if self._player is not None:
            return self._player.seed()
        seed = draw_seed(self.host)
        if self._tape is not None:
            self._tape.seeds.append(seed)
        return seed

    def generator(self, seed: int, purpose: str, device: torch.device) -> torch.Generator:
        """Return the generator for a purpose in the pass with this seed."""
        if self._player is not None:
            return self._player.generator(seed, purpose, device)
        if self._tape is not None:
            self._tape.note(seed, purpose, device)
        return new_generator(seed, purpose, device)

    @contextmanager
    def recording(self) -> Iterator[RngTape]:
        """Record requests without changing them."""
        self._tape = RngTape()
        try:
            yield self._tape
        finally:
            self._tape = None

    @contextmanager
    def playing(self, player: RngReplay) -> Iterator[None]:
        """Take seeds and generators from a player, from the start."""
        player.rewind()
        self._player = player
        try:
            yield
        finally:
            self._player = None


def draw_seed(host: torch.Generator) -> int:
    """Return the seed of a pass from a generator on the CPU."""
    return int(torch.randint(2**62, (), generator=host))
