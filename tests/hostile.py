"""Hostile input at every door: what is answered, what is refused, and nothing else.

    python tests/hostile.py [INPUTS] [--seed S] [--doors DOOR ...] [--all] [--jobs J]

Each door draws an input (random bytes and values, and mutations of valid ones), knocks, and says
what happened: "answered", "refused" (an `XorMiError`; at the command line one line and exit status
2), or what must not be: another exception, an answer that a second way does not give, more than 5
s of computing or 60 s of waiting, or a file changed that was only to be read. One table at the end; exit status 1 if anything must
not be."""

import argparse
import contextlib
import io
import json
import random
import signal
import struct
import sys
import tempfile
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import torch
from hostile_analyses import DOORS_OF_ANALYSES
from hostile_brought import DOORS_OF_NETWORKS
from hostile_values import ODD, Wrong, fingerprint, hostile_json, mutated, odd

from xor_mi import (
    census,
    cli,
    compare,
    geometry,
    handmade,
    identify_circuit,
    margins,
    patch,
    patch_sweep,
    train_population,
)
from xor_mi import model as model_room
from xor_mi.errors import XorMiError
from xor_mi.interventions import Site
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.population import read_census, run_census, write_census
from xor_mi.testing import compare_records, read_record, record_of, write_record
from xor_mi.training import TrainConfig
from xor_mi.truth import GATES, BooleanFunction

PACKAGE = Path(model_room.__file__).parent.parent
HANG = 5.0
"""The seconds of computing that an answer may take; a machine that is busy does not change them."""
WAIT = 60.0
"""The seconds by the clock after which an answer is late even without computing."""


def door_config(rng: random.Random, _: Path) -> None:
    """Settings of a model."""
    names = [field.name for field in fields(HookedMLPConfig)]
    settings = {name: odd(rng) for name in rng.sample(names, rng.randrange(1, 4))}
    if settings.get("device") == "cuda:7":  # may be there
        settings = {"act_fn": odd(rng)}
    model = HookedMLP(HookedMLPConfig(**settings))
    if tuple(model(torch.zeros(1, model.cfg.d_in)).shape) != (1, model.cfg.d_out):
        raise Wrong(settings)


def door_folder(rng: random.Random, folder: Path) -> None:
    """A saved network, damaged."""
    handmade.textbook_xor().save_pretrained(folder)
    file = folder / rng.choice(["config.json", "model.safetensors"])
    data, choice = file.read_bytes(), rng.random()
    if file.suffix == ".json" and choice < 0.5:
        content = json.loads(data)
        content[rng.choice([*content, "new"])] = rng.choice(
            [value for value in ODD if isinstance(value, (int, float, str, list, type(None)))]
        )
        file.write_text(json.dumps(content), encoding="utf-8")
    elif file.suffix != ".json" and choice < 0.2:
        file.write_bytes(struct.pack("<Q", rng.choice([2**62, 2**33, 5])) + data[8:])
    elif file.suffix != ".json" and choice < 0.4:
        start = len(data) - 36
        data = (
            data[:start]
            + struct.pack("<f", rng.choice([float("nan"), float("inf"), 1e38]))
            + data[start + 4 :]
        )
        file.write_bytes(data)
    elif file.suffix == ".json" and choice < 0.7:
        file.write_bytes(hostile_json(data, rng))
    elif choice < 0.45:
        file.unlink()
    else:
        file.write_bytes(mutated(data, rng))
    before = fingerprint(folder)
    try:
        model = HookedMLP.from_pretrained(folder)
        if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
            raise Wrong("weights that are not finite were loaded")
    finally:
        if fingerprint(folder) != before:
            raise Wrong("loading changed the folder")


def door_bits(rng: random.Random, _: Path) -> None:
    """Inputs of a model."""
    model = handmade.textbook_xor()
    kind = rng.random()
    if kind < 0.5:
        value = odd(rng)
    else:
        shape = [rng.choice([0, 1, 2, 3]) for _ in range(rng.randrange(4))]
        dtype = rng.choice(
            [
                torch.float32,
                torch.float64,
                torch.int64,
                torch.bool,
                torch.uint8,
                torch.bfloat16,
                torch.complex64,
                torch.int8,
            ]
        )
        value = torch.tensor(
            np.array(
                [rng.choice([0, 1, 1, 0, 2, 0.5, -1]) for _ in range(int(np.prod(shape)))]
            ).reshape(shape)
        ).to(dtype)
        value = value.numpy() if kind > 0.75 and dtype != torch.bfloat16 else value
    copy = value.clone() if isinstance(value, torch.Tensor) else None
    call = rng.choice(
        [
            model,
            lambda x: compare(model, x, "01"),
            lambda x: patch(model, x, "11", "h0.0"),
            lambda x: geometry.path(model, x, [1, 1]),
        ]
    )
    found = call(value)
    if copy is not None and not torch.equal(copy, value):
        raise Wrong("the caller's tensor was changed")
    if call is model and isinstance(value, torch.Tensor):
        x = value.reshape(-1, 2).double()
        by_hand = x.sum(1).clamp(min=0) - 2 * (x.sum(1) - 1).clamp(min=0)
        if not torch.allclose(found.flatten().double(), by_hand, atol=0.02):
            raise Wrong(value)


def door_hooks(rng: random.Random, _: Path) -> None:
    """Names of hooks, filters and places."""
    model = handmade.textbook_xor()
    name = odd(rng)
    rows = model.rows()
    calls: list[Callable[[], Any]] = [
        lambda: model.run_with_cache(rows, names_filter=name),
        lambda: model.run_with_hooks(rows, fwd_hooks=[(name, lambda value, hook: value)]),
        lambda: patch(model, "01", "11", name),
        lambda: patch_sweep(model, sites=[name]),
        lambda: patch_sweep(model, sites=[Site(name, rng.choice([(0,), (5,), (), (-1,)]))]),
        lambda: model.place(name),
        lambda: identify_circuit(model).units_acting_as(name),
    ]
    rng.choice(calls)()
    if any(hook.fwd_hooks for hook in model.hook_dict.values()):
        raise Wrong("hooks were left behind")


def door_formula(rng: random.Random, _: Path) -> None:
    """Formulas and gate names."""
    tokens = [
        "x0",
        "x1",
        "x2",
        "a",
        "b",
        "&",
        "|",
        "^",
        "~",
        "(",
        ")",
        ">",
        ">=",
        "==",
        ",",
        "AND",
        "XOR(",
        "NOT",
        " ",
        "1",
        "0",
        "TRUE",
        "__import__",
    ]
    text = (
        odd(rng)
        if rng.random() < 0.2
        else "".join(rng.choice(tokens) for _ in range(rng.randrange(1, 9)))
    )
    if rng.random() < 0.2:
        text = rng.choice(list(GATES)) + rng.choice(["", " ", "x", "\n", "!"])
    function = rng.choice(
        [BooleanFunction.from_formula, BooleanFunction.of, BooleanFunction.named]
    )(text)
    if not isinstance(text, str):
        raise Wrong(f"{text!r} was read as a formula")
    again = BooleanFunction.from_formula(
        ", ".join(one.formula for one in function.outputs), n_inputs=function.n_inputs
    )
    if again.tables != function.tables:
        raise Wrong(text)
    if "x" in text and set(text) <= set("x012&|^~() ") and "," not in text and ")(" not in text:
        for row, bit in zip(function.rows(), function.bits, strict=True):
            if (
                eval(text, {"__builtins__": {}}, {f"x{i}": value for i, value in enumerate(row)})
                & 1
                != bit
            ):
                raise Wrong(text)


def door_weights(rng: random.Random, _: Path) -> None:
    """Hand-made weights, edits, conditions, planes."""
    model = handmade.textbook_xor()
    value = odd(rng)
    calls: list[Callable[[], Any]] = [
        lambda: handmade.edit(
            model, {value if isinstance(value, (str, int)) else "fc1.weight": odd(rng)}
        ),
        lambda: handmade.edit(model, {"fc1.weight[0, 1]": value}),
        lambda: margins.conditions(model, value),
        lambda: margins.slack_to_flip(model, value),
        lambda: handmade.from_gates(value, odd(rng)),
        lambda: handmade.from_netlist(value),
        lambda: handmade.from_formula(value),
        lambda: geometry.regions(model, bounds=value),
        lambda: geometry.boundary(model, bounds=value),
        lambda: HookedMLP.from_weights(value),
        lambda: HookedMLP.from_module(value),
        lambda: HookedMLP.from_sklearn(value),
        lambda: HookedMLP.from_keras(value, act_fn="relu"),
        lambda: HookedMLP.from_weights([(value, odd(rng)), ([[1, 1]], [0])]),
        lambda: identify_circuit(model, value),
    ]
    before = [parameter.clone() for parameter in model.parameters()]
    rng.choice(calls)()
    if not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)):
        raise Wrong("the model was changed")


def door_cli(rng: random.Random, folder: Path) -> None:
    """The command line: status 0 or 2, and at 2 one line."""
    saved = folder / "saved"
    handmade.textbook_xor().save_pretrained(saved)
    words = [
        "tour", "identify", "search", "census", "--seed", "--hidden", "--out", "--networks", "--target", "--depth", "--jobs", "--act",
        "--steps", "--shard", "--help", str(saved), str(folder / "new"), "1", "2", "0", "-1", "3,3", "99", "x", "XOR", "AND", "relu",
        "nope", "", "\x00", "é", "1e9",
    ]  # fmt: skip
    arguments = [rng.choice(words) for _ in range(rng.randrange(5))]
    if {"tour", "census"} & set(arguments[:1]):  # small enough to be run many times
        arguments += ["--networks", rng.choice(["0", "1", "-5", "x"]), "--out", str(folder / "out")]
        arguments += ["--steps", "20", "--jobs", "1"] if arguments[0] == "census" else []
    before = fingerprint(saved)
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(folder),
        mock.patch("sys.argv", ["xor-mi", *arguments]),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
    if status not in (0, 2) or "Traceback" in err.getvalue():
        raise Wrong(f"{arguments}: status {status}: {err.getvalue()[-300:]}")
    if (
        "search" not in arguments
        and str(saved) not in arguments[3:]
        and fingerprint(saved) != before
    ):
        raise Wrong(f"{arguments} changed {saved}")
    if status == 2:
        said = [line for line in err.getvalue().splitlines() if line.startswith("xor-mi: ")]
        if len(said) != 1:
            raise Wrong(f"{arguments}: {err.getvalue()[-300:]!r}")
        raise XorMiError(said[0])


def door_baseline(rng: random.Random, folder: Path) -> None:
    """A stored circuit, damaged."""
    file = folder / "net.circuit.json"
    write_record(RECORD, file)
    choice = rng.random()
    if choice < 0.3:
        file.write_bytes(hostile_json(file.read_bytes(), rng))
    elif choice < 0.6:
        content = json.loads(file.read_text(encoding="utf-8"))
        place = rng.choice(list(content))
        content[place] = rng.choice(
            [value for value in ODD if isinstance(value, (int, float, str, list, type(None)))]
        )
        file.write_text(json.dumps(content), encoding="utf-8")
    else:
        file.write_bytes(mutated(file.read_bytes(), rng))
    before = file.read_bytes()
    try:
        # a record that is read can also be compared, and written as it is
        record = read_record(file)
        compare_records(record, RECORD)
        compare_records(RECORD, record)
        write_record(record, folder / "again.circuit.json")
        if read_record(folder / "again.circuit.json") != record:
            raise Wrong("another record came back")
    finally:
        if file.read_bytes() != before:
            raise Wrong("reading changed the baseline")


def door_plan(rng: random.Random, folder: Path) -> None:
    """A census whose plan is damaged."""
    file = folder / "_plan.json"
    file.write_bytes(hostile_json(PLAN, rng) if rng.random() < 0.6 else mutated(PLAN, rng))
    small_census(folder)


def small_census(folder: Path) -> Path:
    """One network of one step."""
    config = TrainConfig(max_steps=1)
    return run_census("XOR", 1, directory=folder, config=config, n_jobs=1, progress=False)


def door_engine(rng: random.Random, folder: Path) -> None:
    """What trains, by a name that may not exist, of networks that it may not train."""
    engine: Any = rng.choice(["torch", "numba", None, np.array(["torch", "numba"]), odd(rng)])
    config: Any = rng.choice([TrainConfig(max_steps=1), TrainConfig(max_steps=1, act_fn="gelu")])
    asked: Any = {"engine": engine, "config": config, "progress": False}
    if rng.random() < 0.7:
        found = train_population("XOR", 2, **asked)
        if len(found) != 2 or found.engine not in ("torch", "numba"):
            raise Wrong(f"trained by {found.engine}")
    else:
        run_census("XOR", 1, directory=folder, n_jobs=1, **asked)


def door_parquet(rng: random.Random, folder: Path) -> None:
    """A stored census, damaged."""
    file = folder / "networks.parquet"
    file.write_bytes(PARQUET if rng.random() < 0.1 else mutated(PARQUET, rng))
    before = file.read_bytes()
    try:
        found = read_census(
            rng.choice([file, folder]), columns=rng.choice([None, ["solved"], ["nothing"]])
        )
        if not isinstance(found, pd.DataFrame):
            raise Wrong("no frame")
    finally:
        if file.read_bytes() != before:
            raise Wrong("reading changed the file")


DOORS: dict[str, Callable[[random.Random, Path], None]] = (
    {
        name.removeprefix("door_"): door
        for name, door in list(globals().items())
        if name.startswith("door_")
    }
    | DOORS_OF_NETWORKS
    | DOORS_OF_ANALYSES
)
RECORD = record_of(handmade.textbook_xor())
with tempfile.TemporaryDirectory() as _folder:
    PARQUET = write_census(
        census(train_population("XOR", 5, config=TrainConfig(max_steps=50))),
        Path(_folder) / "networks.parquet",
    ).read_bytes()
with tempfile.TemporaryDirectory() as _folder:
    PLAN = (small_census(Path(_folder)) / "_plan.json").read_bytes()


ONE_IN = {"report": 50, "playground": 10, "findings": 2}
"""Doors that answer in seconds are given one of so many inputs, unless all are asked for."""

OUTCOMES = ("answered", "refused", "must not be")
AT_ONCE = 50
"""So many inputs are one piece of work for a process."""


def inputs_of(name: str, n: int) -> int:
    """How many inputs a door is given where an ordinary one is given n."""
    return -(-n // ONE_IN.get(name, 1))


class _Late(TimeoutError):
    """An alarm; the clocks of alarms are coarser than those that are read."""


def _late(*_: object) -> None:
    raise _Late(f"no answer within {HANG} s of computing, or {WAIT} s of waiting")


def knock(name: str, seed: int) -> str:
    """One input at one door: "answered", "refused", or what must not be."""
    rng = random.Random(f"{name} {seed}")
    computed, waited = process_time(), perf_counter()
    # Windows has no such alarms: there a hang is noticed by a person
    is_main = threading.current_thread() is threading.main_thread()
    alarmed = is_main and hasattr(signal, "SIGALRM")
    if alarmed:
        before = [signal.signal(one, _late) for one in (signal.SIGPROF, signal.SIGALRM)]
        signal.setitimer(signal.ITIMER_PROF, HANG)
        signal.setitimer(signal.ITIMER_REAL, WAIT)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            DOORS[name](rng, Path(folder))
            outcome = "answered"
        except XorMiError:
            outcome = "refused"
        except _Late:
            outcome = "hung"
        except Exception as error:
            frames = [
                frame
                for frame in traceback.extract_tb(error.__traceback__)
                if Path(frame.filename).is_relative_to(PACKAGE)
            ]
            where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
            outcome = f"{type(error).__name__}{where}: {str(error)[:160]}"
        finally:
            if alarmed:
                for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
                    signal.setitimer(timer, 0)
                for one, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
                    signal.signal(one, handler)
    computed, waited = process_time() - computed, perf_counter() - waited
    hung = outcome == "hung" or computed > HANG or waited > WAIT
    return f"hung: {computed:.1f} s of computing in {waited:.1f} s" if hung else outcome


class Knocked(NamedTuple):
    """What some inputs at one door came to.

    Attributes:
        outcomes: "answered", "refused" or "must not be" -> how often.
        examples: what must not be -> the first seed with it.
    """

    outcomes: Counter[str]
    examples: dict[str, int]
    seconds: float = 0.0


def knocked(name: str, seeds: range) -> Knocked:
    """Some inputs at one door, one after the other."""
    torch.set_num_threads(1)
    found, start = Knocked(Counter(), {}), perf_counter()
    for seed in seeds:
        outcome = knock(name, seed)
        kind = outcome if outcome in ("answered", "refused") else "must not be"
        found.outcomes[kind] += 1
        if kind == "must not be":
            found.examples.setdefault(outcome, seed)
    return found._replace(seconds=perf_counter() - start)


def together(parts: Iterable[Knocked]) -> Knocked:
    """Several parts of one door, in order, as one."""
    whole = Knocked(Counter(), {})
    for part in parts:
        whole.outcomes.update(part.outcomes)
        for text, seed in part.examples.items():
            whole.examples.setdefault(text, seed)
        whole = whole._replace(seconds=whole.seconds + part.seconds)
    return whole


def line_of(name: str, found: Knocked) -> str:
    """One door as a line of the table, and under it what must not be."""
    counts = ", ".join(f"{found.outcomes[kind]:6} {kind}" for kind in OUTCOMES)
    lines = [f"{name:10} {found.outcomes.total():6} inputs: {counts} ({found.seconds:.0f} s)"]
    lines += [f"    seed {seed}: {text}" for text, seed in list(found.examples.items())[:12]]
    return "\n".join(lines)


def main() -> None:
    """Knock at every door and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("inputs", type=int, nargs="?", default=1300, help="per door")
    parser.add_argument("--seed", type=int, default=0, help="of the first input")
    parser.add_argument("--doors", nargs="+", default=list(DOORS), choices=list(DOORS))
    parser.add_argument("--all", action="store_true", help="slow doors get as many as the others")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    asked = parser.parse_args()
    is_wrong = False
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        parts: dict[str, list[Future[Knocked]]] = {}
        for name in asked.doors:
            n = asked.inputs if asked.all else inputs_of(name, asked.inputs)
            starts = range(asked.seed, asked.seed + n, AT_ONCE)
            parts[name] = [
                pool.submit(knocked, name, range(k, min(k + AT_ONCE, asked.seed + n)))
                for k in starts
            ]
        for name, futures in parts.items():
            found = together(future.result() for future in futures)
            is_wrong |= found.outcomes["must not be"] > 0
            print(line_of(name, found), flush=True)
    sys.exit(int(is_wrong))


if __name__ == "__main__":
    main()
