"""Mutations for the fuzzer: bytes and JSON, changed at random places by what programs tend to
stumble over.
"""

import json

INTS = (
    0,
    1,
    2,
    7,
    8,
    255,
    256,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**63 - 1,
    2**64 - 1,
)


def mutated(data, chance, most=4):
    """Change bytes at one to ``most`` random places: flip, overwrite, cut, repeat, insert, or
    write a notable number.
    """
    data = bytearray(data)
    for _ in range(chance.randint(1, most)):
        n = len(data)
        i, j = sorted((chance.randint(0, n), chance.randint(0, n)))
        match chance.randrange(7):
            case 0 if n:
                data[chance.randrange(n)] ^= 1 << chance.randrange(8)
            case 1 if n:
                data[chance.randrange(n)] = chance.choice((0, 1, 8, 127, 128, 255))
            case 2:
                del data[i : min(j, i + chance.choice((1, 4, 64, n)))]
            case 3:
                data[i:i] = data[i:j][:256]
            case 4:
                data[i:i] = chance.randbytes(chance.choice((1, 2, 8, 40)))
            case 5:
                size, order = chance.choice((1, 2, 4, 8)), chance.choice(("big", "little"))
                at = chance.choice((0, 4, 8, 12, i))
                data[at : at + size] = (chance.choice(INTS) % (1 << 8 * size)).to_bytes(size, order)
            case 6:
                del data[chance.randrange(n + 1) :]
    return bytes(data)


# stands for a list in a list in a list ..., which Python's own JSON writer refuses
DEEP = "brackets in brackets"
HOSTILE = (
    "", ".", "..", "../../escaped", "/etc/passwd", "a.b", "params", "params.0.w", "\0", "\n",
    "x" * 5000, "ü\u202e", "0", None, True, False, -1, 0, 1, 3.5, 1e308, 10**30, 2**31, 2**63, [],
    {}, [[]], [None], {"dict": None}, {"list": {}},
    {"list": [None]}, {"tuple": [None] * 50}, {"dict": {"a.b": None, "a": {"dict": {"b": None}}}},
)  # fmt: skip


def mutated_json(value, chance):
    """Change one random place of what JSON can say: replace it, drop it, rename a key or repeat
    an entry.
    """
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        match chance.randrange(6):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {
                    (str(chance.choice(HOSTILE)) if k == key else k): v for k, v in value.items()
                }
            case _:
                return value | {key: mutated_json(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        i = chance.randrange(len(value))
        match chance.randrange(5):
            case 0:
                return value[:i] + value[i + 1 :]
            case 1:
                return value * chance.choice((2, 100))
            case _:
                return [*value[:i], mutated_json(value[i], chance), *value[i + 1 :]]
    if chance.random() < 0.02:
        return DEEP
    return chance.choice(HOSTILE)


def dumped(value):
    """JSON as bytes, with every ``DEEP`` written out, also in JSON that is a string within JSON."""
    text, brackets = json.dumps(value), "[" * 5000 + "]" * 5000
    return text.replace(f'"{DEEP}"', brackets).replace(f'\\"{DEEP}\\"', brackets).encode()
