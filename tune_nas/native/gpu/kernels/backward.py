"""Kernels of the backward pass. See `parts` for the names.

`gs` are gradients of the normalized `ys`; the first three rows of `coefficients` (5, C) turn them
into gradients of the ys themselves.
"""

import triton
import triton.language as tl

from tune_nas.native.gpu.kernels.parts import (
    active_at,
    affine,
    coefficients_of,
    dense_weight,
    gradient_at,
    pick,
    place_of,
    values_at,
)


@triton.jit(do_not_specialize=["n_pixels", "height", "width", "out_height", "out_width"])
def separable_middle(
    gs, ys, coefficients, xs, normals, depthwises, denses, middles, partial,
    n_pixels, height, width, out_height, out_width,
    N: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, STRIDE: tl.constexpr, TAPS: tl.constexpr,
    BEFORE: tl.constexpr, OF_WEIGHTS: tl.constexpr,
    DO: tl.constexpr, DT: tl.constexpr, WO: tl.constexpr, WI: tl.constexpr,
):  # fmt: skip
    """Compute the gradient between depthwise and pointwise convolution, and of both weights.

    Grid: programs × chains. `partial` is (chains, programs, C · C + KERNEL · KERNEL · C), laid out
    as the weights are; TAPS is the power of two above KERNEL · KERNEL.
    """
    chain = tl.program_id(1)
    g, y, x = pick(gs, chain, N), pick(ys, chain, N), pick(xs, chain, N)
    T: tl.constexpr = y.dtype.element_ty
    BORDER: tl.constexpr = DILATION * (KERNEL // 2)
    middle = pick(middles, chain, N)
    c = tl.arange(0, BC)
    a, b, d = coefficients_of(pick(coefficients, chain, N), c, C, T)
    o, i = c[:, None], c[None, :]
    dense = dense_weight(pick(denses, chain, N), 0, o, i, C, WO, WI, 0)
    depthwise = pick(depthwises, chain, N)
    scale, shift = tl.zeros([BC], T), tl.zeros([BC], T)
    if BEFORE:
        scale, shift = affine(pick(normals, chain, N), 1.0, c, C, T)
    taps = tl.arange(0, TAPS)[:, None]
    of_taps, of_dense = tl.zeros([TAPS, BC], T), tl.zeros([BC, BC], T)
    for block in range(tl.program_id(0), tl.cdiv(n_pixels, BP), tl.num_programs(0)):
        p = block * BP + tl.arange(0, BP)
        known = p < n_pixels
        gradient = gradient_at(g, y, p, known, a, b, d, c, C)
        back = tl.dot(gradient, dense, input_precision="ieee", out_dtype=T)
        mask = known[:, None] & (c < C)[None, :]
        tl.store(middle + p[:, None] * C + c[None, :], back, mask=mask)
        if OF_WEIGHTS:
            row, column = place_of(p, out_height, out_width)
            image = p // (out_height * out_width) * height
            again = tl.zeros([BP, BC], T)
            for ky in range(KERNEL):
                for kx in tl.static_range(KERNEL):
                    r = row * STRIDE + ky * DILATION - BORDER
                    s = column * STRIDE + kx * DILATION - BORDER
                    inside = known & (r >= 0) & (r < height) & (s >= 0) & (s < width)
                    pixel = (image + r) * width + s
                    value = active_at(x, pixel, inside, scale, shift, c, C, BEFORE)
                    tap = ky * KERNEL + kx
                    again += value * tl.load(depthwise + c * DO + tap * DT, mask=c < C, other=0.0)
                    of_tap = tl.sum(value * back, 0)[None, :]
                    of_taps += tl.where(taps == tap, of_tap, 0.0)
            of_dense = tl.dot(
                tl.trans(gradient), again, of_dense, input_precision="ieee", out_dtype=T
            )
    if OF_WEIGHTS:
        COUNT: tl.constexpr = KERNEL * KERNEL
        partial += (chain * tl.num_programs(0) + tl.program_id(0)) * (C + COUNT) * C
        tl.store(partial + o * WO + i * WI, of_dense, mask=(o < C) & (i < C))
        mask = (taps < COUNT) & (i < C)
        tl.store(partial + C * C + i * DO + taps * DT, of_taps, mask=mask)


@triton.jit
def _hand_on(
    found, x, target, added, p, known, scale, shift, c, C: tl.constexpr, BEFORE: tl.constexpr
):
    """Write a gradient, behind the ReLU, to its target; return its sums alone and with x."""
    value = values_at(x, p, known, c, C)
    before = value
    if BEFORE:
        before = value * scale[None, :] + shift[None, :]
    found = tl.where(before <= 0, 0.0, found)
    one, along = tl.sum(found, 0).to(tl.float64), tl.sum(found * value, 0).to(tl.float64)
    to = target + p[:, None] * C + c[None, :]
    mask = known[:, None] & (c < C)[None, :]
    if added:
        found += tl.load(to, mask=mask, other=0.0)
    tl.store(to, found, mask=mask)
    return one, along


@triton.jit(do_not_specialize=["adds", "n_pixels", "height", "width", "out_height", "out_width"])
def separable_input(
    middles, xs, normals, depthwises, targets, partial,
    adds, n_pixels, height, width, out_height, out_width,
    N: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,
    KERNEL: tl.constexpr, DILATION: tl.constexpr, STRIDE: tl.constexpr,
    BEFORE: tl.constexpr, DO: tl.constexpr, DT: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of x (of norm(x) with BEFORE, with its sums by program).

    Grid: programs × chains. `n_pixels` are those of x. Bit i of `adds` says that chain i adds to
    its target instead of writing it. `partial` is (chains, programs, 2, C).
    """
    chain = tl.program_id(1)
    middle, x = pick(middles, chain, N), pick(xs, chain, N)
    T: tl.constexpr = x.dtype.element_ty
    BORDER: tl.constexpr = DILATION * (KERNEL // 2)
    depthwise, target = pick(depthwises, chain, N), pick(targets, chain, N)
    c = tl.arange(0, BC)
    scale, shift = tl.zeros([BC], T), tl.zeros([BC], T)
    if BEFORE:
        scale, shift = affine(pick(normals, chain, N), 1.0, c, C, T)
    added = (adds >> chain) & 1
    one, along = tl.zeros([BC], tl.float64), tl.zeros([BC], tl.float64)
    for block in range(tl.program_id(0), tl.cdiv(n_pixels, BP), tl.num_programs(0)):
        p = block * BP + tl.arange(0, BP)
        known = p < n_pixels
        row, column = place_of(p, height, width)
        image = p // (height * width) * out_height
        found = tl.zeros([BP, BC], T)
        for ky in range(KERNEL):
            for kx in tl.static_range(KERNEL):
                r, s = row + BORDER - ky * DILATION, column + BORDER - kx * DILATION
                inside = known & (r >= 0) & (s >= 0)
                if STRIDE > 1:
                    inside &= (r % STRIDE == 0) & (s % STRIDE == 0)
                    r //= STRIDE
                    s //= STRIDE
                inside &= (r < out_height) & (s < out_width)
                value = values_at(middle, (image + r) * out_width + s, inside, c, C)
                tap = ky * KERNEL + kx
                found += value * tl.load(depthwise + c * DO + tap * DT, mask=c < C, other=0.0)
        sums = _hand_on(found, x, target, added, p, known, scale, shift, c, C, BEFORE)
        one += sums[0]
        along += sums[1]
    if BEFORE:
        partial += (chain * tl.num_programs(0) + tl.program_id(0)) * 2 * C
        tl.store(partial + c, one, mask=c < C)
        tl.store(partial + C + c, along, mask=c < C)


@triton.jit(do_not_specialize=["adds", "n_pixels", "height", "width"])
def dense_input(
    gs, ys, coefficients, xs, normals, denses, targets, partial,
    adds, n_pixels, height, width,
    N: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr, KERNEL: tl.constexpr,
    BEFORE: tl.constexpr, WO: tl.constexpr, WI: tl.constexpr, WT: tl.constexpr,
):  # fmt: skip
    """Like `separable_input`, for a dense convolution alone, from the gradient of its output."""
    chain = tl.program_id(1)
    g, y, x = pick(gs, chain, N), pick(ys, chain, N), pick(xs, chain, N)
    T: tl.constexpr = y.dtype.element_ty
    dense, target = pick(denses, chain, N), pick(targets, chain, N)
    c = tl.arange(0, BC)
    a, b, d = coefficients_of(pick(coefficients, chain, N), c, C, T)
    scale, shift = tl.zeros([BC], T), tl.zeros([BC], T)
    if BEFORE:
        scale, shift = affine(pick(normals, chain, N), 1.0, c, C, T)
    added = (adds >> chain) & 1
    one, along = tl.zeros([BC], tl.float64), tl.zeros([BC], tl.float64)
    for block in range(tl.program_id(0), tl.cdiv(n_pixels, BP), tl.num_programs(0)):
        p = block * BP + tl.arange(0, BP)
        known = p < n_pixels
        row, column = place_of(p, height, width)
        found = tl.zeros([BP, BC], T)
        for ky in range(KERNEL):
            for kx in tl.static_range(KERNEL):
                down, right = KERNEL // 2 - ky, KERNEL // 2 - kx
                r, s = row + down, column + right
                inside = known & (r >= 0) & (r < height) & (s >= 0) & (s < width)
                gradient = gradient_at(g, y, p + down * width + right, inside, a, b, d, c, C)
                tap = ky * KERNEL + kx
                weight = dense_weight(dense, tap, c[:, None], c[None, :], C, WO, WI, WT)
                found = tl.dot(gradient, weight, found, input_precision="ieee", out_dtype=T)
        sums = _hand_on(found, x, target, added, p, known, scale, shift, c, C, BEFORE)
        one += sums[0]
        along += sums[1]
    if BEFORE:
        partial += (chain * tl.num_programs(0) + tl.program_id(0)) * 2 * C
        tl.store(partial + c, one, mask=c < C)
        tl.store(partial + C + c, along, mask=c < C)


@triton.jit(do_not_specialize=["n_pixels", "height", "width"])
def dense_weights(
    gs, ys, coefficients, xs, normals, partial, n_pixels, height, width,
    N: tl.constexpr, C: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr, KERNEL: tl.constexpr,
    BEFORE: tl.constexpr, WO: tl.constexpr, WI: tl.constexpr, WT: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of a dense weight by program.

    Grid: programs × taps × chains. `partial` is (chains, programs, weights), laid out as those.
    """
    tap, chain = tl.program_id(1), tl.program_id(2)
    g, y, x = pick(gs, chain, N), pick(ys, chain, N), pick(xs, chain, N)
    T: tl.constexpr = y.dtype.element_ty
    c = tl.arange(0, BC)
    a, b, d = coefficients_of(pick(coefficients, chain, N), c, C, T)
    scale, shift = tl.zeros([BC], T), tl.zeros([BC], T)
    if BEFORE:
        scale, shift = affine(pick(normals, chain, N), 1.0, c, C, T)
    down, right = tap // KERNEL - KERNEL // 2, tap % KERNEL - KERNEL // 2
    found = tl.zeros([BC, BC], T)
    for block in range(tl.program_id(0), tl.cdiv(n_pixels, BP), tl.num_programs(0)):
        p = block * BP + tl.arange(0, BP)
        known = p < n_pixels
        row, column = place_of(p, height, width)
        r, s = row + down, column + right
        inside = known & (r >= 0) & (r < height) & (s >= 0) & (s < width)
        gradient = gradient_at(g, y, p, known, a, b, d, c, C)
        value = active_at(x, p + down * width + right, inside, scale, shift, c, C, BEFORE)
        found = tl.dot(tl.trans(gradient), value, found, input_precision="ieee", out_dtype=T)
    o, i = c[:, None], c[None, :]
    COUNT: tl.constexpr = KERNEL * KERNEL
    partial += (chain * tl.num_programs(0) + tl.program_id(0)) * COUNT * C * C
    tl.store(partial + o * WO + i * WI + tap * WT, found, mask=(o < C) & (i < C))
