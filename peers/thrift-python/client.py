"""A Thrift client that prints what it sees: one JSON line {target, case, ok, detail} per case.

usage: client.py GENERATED IDL apache|thriftpy2 TARGET:TRANSPORT-PROTOCOL:PORT...
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, sys.argv[1])

from wire import people  # noqa: E402

LIMIT_MS = 5000
# TApplicationException: 1 unknown method, 6 internal error, 7 protocol error
KINDS = dict.fromkeys(
    [
        "cluster_not_found",
        "no_healthy_upstream",
        "connect_failure",
        "upstream_closed",
        "overflow",
        "timeout",
        "over_limit",
        "denied",
        "fault",
        "shed",
        "unspecified",
    ],
    6,
) | {"route_not_found": 1, "bad_request": 7, "bad_response": 7}


def main():
    _, _, idl, library, *ways = sys.argv
    api = __import__(f"{library}_api").Api(idl, LIMIT_MS)
    for way in ways:
        target, wire, port = way.split(":")
        for name, case in cases(api, wire, int(port), target).items():
            began = time.monotonic()
            try:
                ok, detail = case()
            except Exception as error:
                ok, detail = False, f"{type(error).__name__}: {error}"
            if time.monotonic() - began > LIMIT_MS / 1000:
                ok, detail = False, f"took {time.monotonic() - began:.1f} s: {detail}"
            line = {"target": target, "case": f"{wire} {name}", "ok": ok, "detail": detail}
            print(json.dumps(line), flush=True)


def cases(api, wire, port, target):
    echo = api.connect("Newer", wire, port)

    def equal(got, expected):
        return got == expected, repr(got)[:200]

    def raised(call, kind, *fields):
        try:
            return False, f"returned {call()!r}"
        except kind as error:
            return True, [getattr(error, field) for field in fields]

    def oneway():
        tag = f"{wire} {target} {time.time_ns()}"
        for i in range(3):
            echo.note(f"{tag} {i}")
        end = time.monotonic() + 3
        while len(notes := echo.notes(tag)) < 3 and time.monotonic() < end:
            time.sleep(0.02)
        return sorted(notes) == [f"{tag} {i}" for i in range(3)], len(notes)

    def concurrent():
        def calls(worker):
            client = api.connect("Echo", wire, port)
            texts = [f"{worker}-{i}" * (i % 7) for i in range(25)]
            wrong = [text for text in texts if client.echo(text) != text]
            client.close()
            return len(wrong)

        with ThreadPoolExecutor(8) as pool:
            wrong = sum(pool.map(calls, range(8)))
        return wrong == 0, wrong

    def multiplexed():
        shout = api.connect("Shout", wire, port, multiplexed=True)
        again = api.connect("Echo", wire, port, multiplexed=True)
        return equal([shout.shout("abc"), again.echo("def")], ["ABC", "def"])

    def after(kind, call):
        """An application exception must leave the connection usable."""
        ok, detail = raised(call, api.application_exception, kind)
        return (ok and echo.echo("still here") == "still here"), detail

    def unrouted():
        if target == "direct":
            return True, echo.unrouted()
        own = api.connect("Echo", wire, port)
        began = time.monotonic()
        ok, (kind, message) = raised(own.unrouted, api.application_exception, "type", "message")
        at_once = time.monotonic() - began < 1
        return ok and kind == 1 and bool(message) and at_once, [kind, message]

    def local_replies():
        """Every reason that our proxy may have to answer itself is an application exception of the right type."""
        if target != "ours":
            return True, None
        failing = api.connect("Failing", wire, port)
        seen = {}
        for reason in KINDS:
            ok, (kind, message) = raised(getattr(failing, f"fail_{reason}"), api.application_exception, "type", "message")
            seen[reason] = kind if ok and message else None
        return seen == KINDS, seen

    def compressed():
        if not wire.startswith("header"):
            return True, "no header"
        packed = api.connect("Echo", wire, port, compressed=True)
        return equal([packed.echo("x" * 50_000) == "x" * 50_000, packed.echo("")], [True, ""])

    person = api.person(name="Ann", age=41, tags=["a", ""], scores={"x": -1, "y": 2**60})
    older = api.person(name="Ann", age=42, tags=["a", ""], scores={"x": -1, "y": 2**60})
    text = "h\u00e9llo \u4e16\u754c \U0001f600"
    return {
        "string": lambda: equal(echo.echo(text), text),
        "empty": lambda: equal(echo.echo(""), ""),
        "long": lambda: (echo.echo("x" * 300_000) == "x" * 300_000, None),
        "struct": lambda: (echo.person(person) == older, None),
        "list": lambda: (echo.people(20) == people(api.person, 20), None),
        "bools": lambda: equal(echo.flags([True, False, False, True]), [True, False, False, True]),
        "binary": lambda: equal(echo.blob(bytes(range(256))), bytes(range(256))[::-1]),
        "double": lambda: equal(echo.half(-0.5), -0.25),
        "void": lambda: equal(echo.nothing(), None),
        "exception": lambda: raised(lambda: echo.refuse("no"), api.refused, "reason", "code"),
        "server error": lambda: after("type", echo.crash),
        "unknown method": lambda: after("type", echo.absent),
        "oneway": oneway,
        "concurrent": concurrent,
        "multiplexed": multiplexed,
        "compressed": compressed,
        "no route": unrouted,
        "local replies": local_replies,
    }


main()
