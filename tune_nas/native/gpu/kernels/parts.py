"""Common parts of the Triton kernels. Importing this module imports triton.

In all kernels C is the number of channels and BC the next power of two, at least 16 (required by a
dot product); BP is the number of pixels that a program processes at a time; T the type of the
values. The values of a normalization are float64 by channel: `normal` is mean, inverse of the
deviation, the weight of a pixel in its statistics (1 / pixels; 0 for the running ones), learned
scale and shift (1 and 0 if nothing is learned).
"""

import triton
import triton.language as tl


@triton.jit
def pick(pointers, i, N: tl.constexpr):
    """Return pointers[i] of a tuple of N. Everything here starts at a multiple of 16 bytes."""
    found = pointers[0]
    for k in tl.static_range(1, N):
        found = tl.where(i == k, pointers[k], found)
    return tl.multiple_of(found, 16)


@triton.jit
def affine(normal, weight, c, C: tl.constexpr, T: tl.constexpr):
    """Return scale and shift (BC,) of weight · norm(y) = scale · y + shift."""
    mean = tl.load(normal + c, mask=c < C, other=0.0)
    scale = weight * tl.load(normal + C + c, mask=c < C, other=0.0)
    scale *= tl.load(normal + 3 * C + c, mask=c < C, other=0.0)
    shift = weight * tl.load(normal + 4 * C + c, mask=c < C, other=0.0)
    return scale.to(T), (shift - scale * mean).to(T)


@triton.jit
def through_norm(one, along, normal, weight, c, C: tl.constexpr):
    """Return the effect of weight · norm(y) on a gradient g: a · g + b · y + d, by channel.

    `one` and `along` are the sums of g and of g · y; also returned is that of g · normed y, before
    scale and shift.
    """
    mean = tl.load(normal + c, mask=c < C, other=0.0)
    inverse = tl.load(normal + C + c, mask=c < C, other=0.0)
    share = tl.load(normal + 2 * C + c, mask=c < C, other=0.0)
    normed = inverse * (along - mean * one)
    a = weight * inverse * tl.load(normal + 3 * C + c, mask=c < C, other=0.0)
    b = -a * inverse * normed * share
    return a, b, -a * one * share - b * mean, normed


@triton.jit
def values_at(x, pixel, inside, c, C: tl.constexpr):
    """Return x (BP, BC) at pixels; zeros outside."""
    mask = inside[:, None] & (c < C)[None, :]
    return tl.load(x + pixel[:, None] * C + c[None, :], mask=mask, other=0.0)


@triton.jit
def active_at(x, pixel, inside, scale, shift, c, C: tl.constexpr, BEFORE: tl.constexpr):
    """Return ReLU of x, or of scale · x + shift, at pixels; zeros outside."""
    value = values_at(x, pixel, inside, c, C)
    if BEFORE:
        value = tl.where(inside[:, None], value * scale[None, :] + shift[None, :], 0.0)
    return tl.where(value <= 0, 0.0, value)


@triton.jit
def gradient_at(g, y, pixel, inside, a, b, d, c, C: tl.constexpr):
    """Return a · g + b · y + d at pixels; zeros outside."""
    found = a[None, :] * values_at(g, pixel, inside, c, C) + d[None, :]
    found += b[None, :] * values_at(y, pixel, inside, c, C)
    return tl.where(inside[:, None], found, 0.0)


@triton.jit
def coefficients_of(coefficients, c, C: tl.constexpr, T: tl.constexpr):
    """Return a, b and d as written by `finish_sums`."""
    a = tl.load(coefficients + c, mask=c < C, other=0.0).to(T)
    b = tl.load(coefficients + C + c, mask=c < C, other=0.0).to(T)
    d = tl.load(coefficients + 2 * C + c, mask=c < C, other=0.0).to(T)
    return a, b, d


@triton.jit
def dense_weight(weight, tap, o, i, C: tl.constexpr, WO: tl.constexpr, WI: tl.constexpr,
                 WT: tl.constexpr):  # fmt: skip
    """Return a tap of a dense weight, whose strides are WO, WI, WT, at outputs o and inputs i."""
    return tl.load(weight + o * WO + i * WI + tap * WT, mask=(o < C) & (i < C), other=0.0)


@triton.jit
def place_of(p, height, width):
    """Return the row and the column of pixels that are counted over all images."""
    return p // width % height, p % width
