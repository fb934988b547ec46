"""How well a text is read on a colour, by the formula of the Web Content Accessibility Guidelines."""

import re
from itertools import pairwise

LEAST = 4.5
"""Of text in the size of a page's words."""


def channels(colour: str) -> list[float]:
    """Red, green and blue, from 0 to 255, of #rrggbb or rgb(...)."""
    if colour.startswith("#"):
        return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]


def luminance(colour: list[float]) -> float:
    """How light a colour is: 0 is black, 1 is white."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in colour)
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: list[float], b: list[float]) -> float:
    """From 1, the same, to 21, black on white."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def shades(scale, paper="#ffffff", opacity=1.0) -> list[list[float]]:
    """Many colours of a scale of colours from one end to the other, as they are seen on paper."""
    under = channels(paper)
    seen = []
    for (_, a), (_, b) in pairwise(scale):
        for k in range(101):
            own = [x + (y - x) * k / 100 for x, y in zip(channels(a), channels(b), strict=True)]
            seen.append([opacity * x + (1 - opacity) * y for x, y in zip(own, under, strict=True)])
    return seen


def least_contrast(ink: str, on: list[list[float]]) -> float:
    """Of ink on the colour on which it is read worst."""
    return min(contrast(channels(ink), one) for one in on)
