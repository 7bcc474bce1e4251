"""Correct dropout whose mask comes from Python's random module. Expected: agree."""

import random

import numpy as np

from autocnn import gradcheck


def dropout(x):
    mask = np.array([random.random() < 0.7 for _ in range(x.size)]).reshape(x.shape) / 0.7
    return x * mask, lambda dy: dy * mask


def run():
    return gradcheck.check(dropout, x=np.random.default_rng(0).normal(size=(3, 4)))


EXPECT = {"verdict": "agree", "codes": set()}
