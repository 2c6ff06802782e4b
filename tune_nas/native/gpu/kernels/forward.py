"""Kernels of the forward pass: a stage, its normalization, the sum. See `parts` for the names."""

import triton
import triton.language as tl

from tune_nas.native.gpu.kernels.parts import (
    active_at,
    affine,
    dense_weight,
    pick,
    place_of,
    values_at,
)


@triton.jit(do_not_specialize=["n_pixels", "height", "width", "out_height", "out_width"])
def stage_forward(
    xs, normals, depthwises, denses, y, partial,
    n_pixels, height, width, out_height, out_width,
    N: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
    SEPARABLE: tl.constexpr, KERNEL: tl.constexpr, DILATION: tl.constexpr, STRIDE: tl.constexpr,
    BEFORE: tl.constexpr, BY_BATCH: tl.constexpr,
    DO: tl.constexpr, DT: tl.constexpr, WO: tl.constexpr, WI: tl.constexpr, WT: tl.constexpr,
):  # fmt: skip
    """Compute y of each chain: the convolutions of ReLU(x) or ReLU(norm(x)); its sums by program.

    Grid: programs × chains. `n_pixels` are those of y; `partial` is (chains, programs, 2, C).
    """
    chain = tl.program_id(1)
    x = pick(xs, chain, N)
    T: tl.constexpr = x.dtype.element_ty
    BORDER: tl.constexpr = DILATION * (KERNEL // 2)
    dense = pick(denses, chain, N)
    y += chain.to(tl.int64) * n_pixels * C
    c = tl.arange(0, BC)
    o, i = c[None, :], c[:, None]
    scale, shift = tl.zeros([BC], T), tl.zeros([BC], T)
    if BEFORE:
        scale, shift = affine(pick(normals, chain, N), 1.0, c, C, T)
    if SEPARABLE:
        depthwise = pick(depthwises, chain, N)
        pointwise = dense_weight(dense, 0, o, i, C, WO, WI, WT)
    one, two = tl.zeros([BC], tl.float64), tl.zeros([BC], tl.float64)
    for block in range(tl.program_id(0), tl.cdiv(n_pixels, BP), tl.num_programs(0)):
        p = block * BP + tl.arange(0, BP)
        row, column = place_of(p, out_height, out_width)
        image = p // (out_height * out_width) * height
        out = tl.zeros([BP, BC], T)
        for ky in range(KERNEL):
            for kx in tl.static_range(KERNEL):
                r = row * STRIDE + ky * DILATION - BORDER
                s = column * STRIDE + kx * DILATION - BORDER
                inside = (p < n_pixels) & (r >= 0) & (r < height) & (s >= 0) & (s < width)
                pixel = (image + r) * width + s
                value = active_at(x, pixel, inside, scale, shift, c, C, BEFORE)
                tap = ky * KERNEL + kx
                if SEPARABLE:
                    out += value * tl.load(depthwise + c * DO + tap * DT, mask=c < C, other=0.0)
                else:
                    weight = dense_weight(dense, tap, o, i, C, WO, WI, WT)
                    out = tl.dot(value, weight, out, input_precision="ieee", out_dtype=T)
        if SEPARABLE:
            out = tl.dot(out, pointwise, input_precision="ieee", out_dtype=T)
        mask = (p < n_pixels)[:, None] & (c < C)[None, :]
        tl.store(y + p[:, None] * C + c[None, :], out, mask=mask)
        if BY_BATCH:
            one += tl.sum(out, 0).to(tl.float64)
            two += tl.sum(out * out, 0).to(tl.float64)
    if BY_BATCH:
        partial += (chain * tl.num_programs(0) + tl.program_id(0)) * 2 * C
        tl.store(partial + c, one, mask=c < C)
        tl.store(partial + C + c, two, mask=c < C)


@triton.jit(do_not_specialize=["n_programs", "n_pixels"])
def finish_norm(
    partial, normals, means, variances, batches, gains, biases, n_programs, n_pixels,
    N: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
    MOMENTUM: tl.constexpr, EPS: tl.constexpr, BY_BATCH: tl.constexpr, TRACKS: tl.constexpr,
    AFFINE: tl.constexpr,
):  # fmt: skip
    """Compute the `normal` of each chain, and update the running statistics if there are any.

    Grid: blocks of channels × chains.
    """
    chain = tl.program_id(1)
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = c < C
    normal = pick(normals, chain, N)
    share = 0.0
    if BY_BATCH:
        rows = tl.arange(0, ROWS)
        at = chain * n_programs * 2 * C + c[None, :]
        one, two = tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64)
        for first in range(0, n_programs, ROWS):
            row = (first + rows)[:, None]
            known = (row < n_programs) & mask[None, :]
            one += tl.sum(tl.load(partial + at + row * 2 * C, mask=known, other=0.0), 0)
            two += tl.sum(tl.load(partial + at + row * 2 * C + C, mask=known, other=0.0), 0)
        count = n_pixels.to(tl.float64)
        share = 1.0 / count
        mean = one / count
        variance = two / count - mean * mean
        variance = tl.where(variance < 0, 0.0, variance)  # NaN stays NaN
        if TRACKS:
            unbiased = variance * count / tl.where(count > 1, count - 1, 1.0)
            _follow(pick(means, chain, N) + c, mean, mask, MOMENTUM)
            _follow(pick(variances, chain, N) + c, unbiased, mask, MOMENTUM)
            if tl.program_id(0) == 0:
                seen = pick(batches, chain, N)
                tl.store(seen, tl.load(seen) + 1)
    else:
        mean = tl.load(pick(means, chain, N) + c, mask=mask, other=0.0).to(tl.float64)
        variance = tl.load(pick(variances, chain, N) + c, mask=mask, other=0.0).to(tl.float64)
    tl.store(normal + c, mean, mask=mask)
    tl.store(normal + C + c, 1.0 / tl.sqrt(variance + EPS), mask=mask)
    tl.store(normal + 2 * C + c, tl.zeros([BLOCK], tl.float64) + share, mask=mask)
    gain, bias = tl.full([BLOCK], 1.0, tl.float64), tl.zeros([BLOCK], tl.float64)
    if AFFINE:
        gain = tl.load(pick(gains, chain, N) + c, mask=mask, other=0.0).to(tl.float64)
        bias = tl.load(pick(biases, chain, N) + c, mask=mask, other=0.0).to(tl.float64)
    tl.store(normal + 3 * C + c, gain, mask=mask)
    tl.store(normal + 4 * C + c, bias, mask=mask)


@triton.jit
def _follow(running, found, mask, MOMENTUM: tl.constexpr):
    before = tl.load(running, mask=mask, other=0.0).to(tl.float64)
    tl.store(running, before + MOMENTUM * (found - before), mask=mask)


@triton.jit(do_not_specialize=["n_pixels"])
def add_all(
    total, addends, normals, scales, n_pixels,
    N: tl.constexpr, N_TERMS: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
    BEGUN: tl.constexpr,
):  # fmt: skip
    """Total (+)= Σ scale · term + Σ scale · norm(y): `addends` are terms first, then the ys.

    Grid: blocks of pixels.
    """
    T: tl.constexpr = total.dtype.element_ty
    c = tl.arange(0, BC)
    p = tl.program_id(0) * BP + tl.arange(0, BP)
    inside = p < n_pixels
    found = tl.zeros([BP, BC], T)
    if BEGUN:
        found = values_at(total, p, inside, c, C)
    for i in tl.static_range(N):
        value = values_at(addends[i], p, inside, c, C)
        scale = tl.load(scales + i)
        if i < N_TERMS:
            found += scale.to(T) * value
        else:
            a, b = affine(normals[i - N_TERMS], scale.to(tl.float64), c, C, T)
            found += a[None, :] * value + b[None, :]
    mask = inside[:, None] & (c < C)[None, :]
    tl.store(total + p[:, None] * C + c[None, :], found, mask=mask)
