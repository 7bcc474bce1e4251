"""The tables and the figure of ``benchmarks.speed.engines``, from the rows that it has kept."""

import re
from pathlib import Path

import numpy as np

from benchmarks.speed.worker import ENGINES
from benchmarks.speed.works import WORKS

JSON = Path(__file__).parents[1] / "figures" / "engines.json"
README = Path(__file__).parents[1] / "README.md"
OURS = "autocnn"
BEGIN, END = "<!-- written by benchmarks.speed.engines -->\n", "<!-- until here -->\n"


def ratio(row, engine, what="seconds"):
    """Return (ratio of medians, lower and upper quartile of single rounds) of ours to an engine."""
    ours, theirs = (np.asarray(row["engines"][k][what]) for k in (OURS, engine))
    return np.median(ours) / np.median(theirs), *np.percentile(ours / theirs, [25, 75])


def duration(seconds):
    """Return a time in words: 4.1 ms, 305 ms, 1.89 s."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def machine_text(found):
    """Return one line on a machine."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"{found['processor']}, {found['cores']} cores, {found['system']}; {versions}."


def text(name, row):
    """Return a row for the terminal: a line for each engine."""
    others = f"{row['others']:.0%} of the machine was taken by others"
    lines = [f"{name} ({row['took']:.0f} s, {others})"]
    for engine, one in row["engines"].items():
        line = f"  {engine:15} {duration(np.median(one['seconds'])):>8}"
        if OURS in row["engines"] and engine != OURS:
            line += "  ours / it {:.2f} ({:.2f} to {:.2f})".format(*ratio(row, engine))
        line += f"  {one['peak_mb'] or 0:.0f} MB, first answer {one['first']:.1f} s"
        line += f", cold {one['cold']:.1f} s" if "cold" in one else ""
        line += f", off by {max(one['off']):.0e}{', WRONG' if one['wrong'] else ''}"
        lines.append(line)
    lines += [f"  {engine:15} {why}" for engine, why in row["skipped"].items()]
    return "\n".join(lines)


def tables(rows):
    """Return the three tables as Markdown: time, peak memory, first answers."""
    engines = [e for e in ENGINES if any(e in row["engines"] for row in rows.values())]

    def time(row, engine):
        told = duration(np.median(row["engines"][engine]["seconds"]))
        if engine == OURS or OURS not in row["engines"]:
            return told
        return "{}; **{:.2f}** ({:.2f} to {:.2f})".format(told, *ratio(row, engine))

    def memory(row, engine):
        mb = row["engines"][engine]["peak_mb"]
        if mb is None:
            return ""
        ours = row["engines"].get(OURS, {}).get("peak_mb")
        return f"{mb:.0f} MB" + ("" if engine == OURS or not ours else f"; **{ours / mb:.2f}**")

    def first(row, engine):
        one = row["engines"][engine]
        return (
            f"{one['cold']:.1f} / {one['first']:.1f} s"
            if "cold" in one
            else f"{one['first']:.1f} s"
        )

    def table(cell, rows):
        lines = [["work", *engines], ["---"] * (len(engines) + 1)]
        for name, row in rows.items():
            cells = ["" if e not in row["engines"] else cell(row, e) for e in engines]
            wrong = [row["engines"].get(e, {}).get("wrong") for e in engines]
            cells = [f"{c} (wrong)" if w else c for c, w in zip(cells, wrong, strict=True)]
            lines.append([name, *cells])
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    cold = {name: row for name, row in rows.items() if WORKS[name].cold}
    return table(time, rows), table(memory, rows), table(first, cold)


def write(rows, json_path):
    """Write the figure beside the rows' file, and the tables into benchmarks/README.md if the rows
    are those of the repository.
    """
    figure(rows, json_path.with_suffix(".png"))
    if json_path.resolve() != JSON.resolve():
        return
    about = sorted({f"{machine_text(row['machine'])} {row['date']}." for row in rows.values()})
    others = max(row["others"] for row in rows.values())
    time, memory, first = tables(rows)
    skipped = {
        f"{e}: {why}" for r in rows.values() for e, why in r["skipped"].items() if "fail" in why
    }
    parts = [
        " ".join(about) + f" Other processes took at most {others:.0%} of the machine.",
        "Time of one call; **ours / theirs**, with the quartiles of single rounds:",
        time,
        f"![Time and memory of each engine in parts of autocnn's](figures/{json_path.stem}.png)",
        "Peak memory of the process, libraries included; **ours / theirs**:",
        memory,
        "From the start of a process to its first answer; of engines that keep caches, with empty "
        "ones / with those of an earlier run:",
        first,
        *sorted(skipped),
    ]
    text = README.read_text(encoding="utf-8")
    inside = BEGIN + "\n" + "\n\n".join(parts) + "\n\n" + END
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    found = re.sub(pattern, lambda _: inside, text, count=1, flags=re.DOTALL)
    README.write_text(found, encoding="utf-8")


def figure(rows, path):
    """Draw each engine's time and memory beside ours, a line for each work."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = {name: row for name, row in rows.items() if OURS in row["engines"]}
    engines = [e for e in ENGINES if e != OURS and any(e in r["engines"] for r in rows.values())]
    fig, axes = plt.subplots(
        1, 2, figsize=(12, 1.2 + 0.55 * len(rows)), sharey=True, layout="constrained"
    )
    for k, (engine, marker) in enumerate(zip(engines, "v^osDPX", strict=False)):
        points = [
            (i, 1 / np.array(ratio(row, engine)), row["engines"][engine]["peak_mb"], row)
            for i, row in enumerate(rows.values())
            if engine in row["engines"]
        ]
        for i, (middle, high, low), mb, row in points:
            y, style = i + (k - len(engines) / 2) * 0.09, {"color": f"C{k}", "marker": marker}
            label = engine if i == points[0][0] else None
            axes[0].plot([low, high], [y, y], color=f"C{k}", lw=1)
            axes[0].plot([middle], [y], ls="", label=label, **style)
            if mb:
                axes[1].plot([mb / row["engines"][OURS]["peak_mb"]], [y], ls="", **style)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].invert_yaxis()
    for axis, what in zip(axes, ("time", "peak memory"), strict=True):
        axis.axvline(1, color="black", lw=1)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axis.set(title=f"{what} / autocnn's", xlabel="right of 1: more than autocnn")
        axis.grid(alpha=0.3)
    fig.legend(loc="outside lower center", ncols=len(engines), frameon=False)
    fig.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(fig)
