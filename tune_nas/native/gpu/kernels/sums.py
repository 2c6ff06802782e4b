"""Kernels of the sums that the backward pass needs. See `parts` for the names."""

import triton
import triton.language as tl

from tune_nas.native.gpu.kernels.parts import pick, through_norm, values_at


@triton.jit(do_not_specialize=["writes", "n_pixels"])
def dots(
    g, addends, targets, scales, partial, writes, n_pixels,
    N: tl.constexpr, N_TERMS: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
):  # fmt: skip
    """Sum g and g · addend per program; write scale · g to the target of a term.

    Grid: programs × addends, terms first. Bit i of `writes` says that term i has a target.
    `partial` is (addends, programs, 2, C).
    """
    i = tl.program_id(1)
    addend = pick(addends, i, N)
    T: tl.constexpr = g.dtype.element_ty
    c = tl.arange(0, BC)
    one, along = tl.zeros([BC], tl.float64), tl.zeros([BC], tl.float64)
    for block in range(tl.program_id(0), tl.cdiv(n_pixels, BP), tl.num_programs(0)):
        p = block * BP + tl.arange(0, BP)
        value = values_at(g, p, p < n_pixels, c, C)
        one += tl.sum(value, 0).to(tl.float64)
        along += tl.sum(value * values_at(addend, p, p < n_pixels, c, C), 0).to(tl.float64)
        if (writes >> i) & 1:
            to = pick(targets, i, N_TERMS) + p[:, None] * C + c[None, :]
            mask = (p < n_pixels)[:, None] & (c < C)[None, :]
            tl.store(to, tl.load(scales + i).to(T) * value, mask=mask)
    partial += (i * tl.num_programs(0) + tl.program_id(0)) * 2 * C
    tl.store(partial + c, one, mask=c < C)
    tl.store(partial + C + c, along, mask=c < C)


@triton.jit(do_not_specialize=["n_programs"])
def finish_sums(
    partial, normals, scales, coefficients, of_scales, n_programs,
    N: tl.constexpr, N_TERMS: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, ROWS: tl.constexpr,
    SCALED: tl.constexpr,
):  # fmt: skip
    """Compute the coefficients from the sums of g and of g · y; with SCALED, the scales' gradients.

    The coefficients (5, C) end with the gradients of learned scale and shift.
    Grid: addends, of which the first N_TERMS are terms. Without SCALED every weight is 1.
    """
    i = tl.program_id(0)
    c = tl.arange(0, BC)
    rows = tl.arange(0, ROWS)
    one, along = tl.zeros([BC], tl.float64), tl.zeros([BC], tl.float64)
    partial += i * n_programs * 2 * C
    for first in range(0, n_programs, ROWS):
        row = (first + rows)[:, None]
        known = (row < n_programs) & (c < C)[None, :]
        one += tl.sum(tl.load(partial + row * 2 * C + c[None, :], mask=known, other=0.0), 0)
        along += tl.sum(tl.load(partial + row * 2 * C + C + c[None, :], mask=known, other=0.0), 0)
    if N > N_TERMS:
        weight = tl.full([BC], 1.0, tl.float64)
        if SCALED:
            weight *= tl.load(scales + i).to(tl.float64)
        normal = pick(normals, i - N_TERMS, N - N_TERMS)
        a, b, d, normed = through_norm(one, along, normal, weight, c, C)
        if i >= N_TERMS:
            gain = tl.load(normal + 3 * C + c, mask=c < C, other=0.0)
            along = gain * normed + one * tl.load(normal + 4 * C + c, mask=c < C, other=0.0)
            coefficients += (i - N_TERMS) * 5 * C
            tl.store(coefficients + c, a, mask=c < C)
            tl.store(coefficients + C + c, b, mask=c < C)
            tl.store(coefficients + 2 * C + c, d, mask=c < C)
            tl.store(coefficients + 3 * C + c, weight * normed, mask=c < C)
            tl.store(coefficients + 4 * C + c, weight * one, mask=c < C)
    if SCALED:
        tl.store(of_scales + i, tl.sum(along, 0))


@triton.jit(do_not_specialize=["n_programs"])
def add_up(
    partial, out, n_programs, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr
):
    """Sum partial (chains, programs, COLUMNS) over the programs into out (chains, COLUMNS).

    Grid: blocks of columns × chains.
    """
    chain = tl.program_id(1)
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    partial += chain.to(tl.int64) * n_programs * COLUMNS
    total = tl.zeros([BLOCK], tl.float64)
    for first in range(0, n_programs, ROWS):
        row = (first + tl.arange(0, ROWS))[:, None]
        mask = (row < n_programs) & (column < COLUMNS)[None, :]
        value = tl.load(partial + row * COLUMNS + column[None, :], mask=mask, other=0.0)
        total += tl.sum(value.to(tl.float64), 0)
    tl.store(out + chain * COLUMNS + column, total, mask=column < COLUMNS)
