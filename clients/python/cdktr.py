#!/usr/bin/env python3
"""A client for cdktr's principal: one file, Python 3.9 or later, and pyzmq (apt install python3-zmq, or pip install pyzmq).

    from cdktr import Client
    with Client("ipc:///run/cdktr/cdktr.sock") as c:          # or Client(credential="ci.cred")
        run = c.run("etl.daily", {"day": "2026-01-31"}, wait=True)
        print(run["state"])

or as a program: python3 cdktr.py run etl.daily -p day=2026-01-31. The protocol is described in docs/protocol.md; what a
method returns are its JSON objects, as dicts. A Client belongs to one thread at a time.
"""

import argparse
import base64
import collections
import json
import os
import sys
import time
import uuid

import zmq
from zmq.utils.monitor import recv_monitor_message


class Error(Exception):
    """A request that was refused. code is one of the protocol's; retry says whether the same may work later."""

    def __init__(self, code, message, retry=False):
        super().__init__(message)
        self.code, self.retry = code, retry


class Unreachable(Error):
    """There is no principal, or it does not answer (code "unreachable"), or it does not know our key ("not_allowed")."""


class _Lost(Exception):
    """The connection is gone, and what was asked over it is without an answer."""


Message = collections.namedtuple("Message", "topic body dropped")
Message.__doc__ = """What subscribe() gives. dropped counts the messages lost before this one, -1: an unknown number."""


def default_endpoint(environ=os.environ):
    """The socket of this box's principal, where cdktr itself looks for it."""
    if environ.get("CDKTR_PRINCIPAL"):
        return environ["CDKTR_PRINCIPAL"]
    paths = [environ.get("CDKTR_SOCKET")]
    if not paths[0]:
        paths = [environ[name] + "/cdktr.sock" for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR") if environ.get(name)]
        paths.append("/run/cdktr/cdktr.sock")
        paths.append(os.path.join(environ.get("CDKTR_STATE") or os.path.expanduser("~/.local/state/cdktr"), "cdktr.sock"))
    return "ipc://" + next((p for p in paths if os.path.exists(p)), paths[0])


def read_credential(path):
    """The file that `cdktr authorize --new` printed, as a dict: endpoint, server-key, public-key, secret-key..."""
    values = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            name, sign, value = line.partition("=")
            if sign and not line.lstrip().startswith("#"):
                values[name.strip()] = value.strip().strip('"')
    for name in ("server-key", "public-key", "secret-key"):
        if len(values.get(name, "")) != 40:
            raise ValueError("%s: no %s of 40 characters" % (path, name))
    return values


def _left(deadline):
    """Milliseconds until then, as poll wants them; None is for ever."""
    return None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000))


class _Link:
    """One socket, and its monitor, which knows whether it is connected."""

    def __init__(self, context, kind, endpoint, credential):
        self.endpoint, self.up, self.been, self.why = endpoint, False, False, ""
        self.socket = context.socket(kind)
        self.socket.linger = 0
        if endpoint.startswith("tcp:"):  # elsewhere a peer that is gone is seen
            self.socket.heartbeat_ivl, self.socket.heartbeat_timeout = 5000, 10000
            # libzmq 4.3.4 aborts when a heartbeat is due while a queue is full that nobody reads: this one never is.
            self.socket.rcvhwm = 0
        self.socket.reconnect_ivl, self.socket.reconnect_ivl_max = 100, 2000
        if credential:
            self.socket.curve_serverkey = credential["server-key"].encode()
            self.socket.curve_publickey = credential["public-key"].encode()
            self.socket.curve_secretkey = credential["secret-key"].encode()
        self.monitor = self.socket.get_monitor_socket()
        self.poller = zmq.Poller()
        self.poller.register(self.monitor, zmq.POLLIN)
        if kind != zmq.PUSH:
            self.poller.register(self.socket, zmq.POLLIN)
        self.socket.connect(endpoint)

    def wait(self, deadline):
        """Wakes for a message (True), or because the connection came or went (False). None: the deadline is over."""
        while True:
            ready = dict(self.poller.poll(_left(deadline)))
            if self.socket in ready:
                return True  # first what came, then that no more comes
            if not ready:
                return None
            if self._changed():
                return False

    def connected(self, deadline, want=True):
        """Waits until the connection is there, or is gone. False: the deadline is over."""
        while self.monitor.poll(0):
            self._changed()
        while self.up != want:
            if not self.monitor.poll(_left(deadline)):
                return False
            self._changed()
        return True

    def _changed(self):
        """Takes one event of the monitor. True when the connection came or went."""
        event, was = recv_monitor_message(self.monitor)["event"], self.up
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise Unreachable("not_allowed", "the principal at %s does not know our key: authorize it there" % self.endpoint)
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.up = self.been = True
        elif event == zmq.EVENT_DISCONNECTED:
            self.up = False
        elif event in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):
            self.why = " (it ends the handshake: does it want a credential, or another one?)"
        return self.up != was

    def silent(self):
        why = "" if self.been else self.why
        return Unreachable("unreachable", "the principal at %s does not answer%s" % (self.endpoint, why), True)

    def close(self, linger=0):
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(linger)


class Client:
    """A client of the principal at an endpoint: ipc://PATH, or tcp://HOST:PORT with a credential file, which mostly names
    it. timeout, in seconds, is how long an answer may take that has nothing to wait for; a principal that goes away
    while something is waited for may be away for patience seconds, and is then asked again."""

    def __init__(self, endpoint=None, credential=None, timeout=10.0, patience=60.0):
        self.credential = read_credential(credential) if credential else None
        self.endpoint = endpoint or (self.credential or {}).get("endpoint") or default_endpoint()
        if not self.endpoint.startswith(("ipc://", "tcp://")):
            raise ValueError("endpoint %r: want ipc://PATH or tcp://HOST:PORT" % self.endpoint)
        self.timeout, self.patience = timeout, max(patience, timeout)
        self._context = zmq.Context()
        self._link = self._pusher = None
        self._number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends all connections. What was pushed is handed over first, for timeout seconds at most."""
        if self._link:
            self._link.close()
        if self._pusher:
            self._pusher.close(int(self.timeout * 1000))
        self._link = self._pusher = None
        self._context.destroy(int(self.timeout * 1000))

    # Requests with one answer.

    def ping(self):
        """{"version", "seq"} of the principal; seq is the number of its newest event."""
        reply = self._ask({"op": "ping"})
        return {"version": reply["version"], "seq": reply.get("seq", 0)}

    def run(self, workflow, params=None, key=None, wait=False):
        """Starts a run. Returns its id once the principal has it on disk; with wait the run as it ended. The key makes a
        repetition harmless: without one the client makes its own, for when the connection breaks."""
        request = {"op": "run", "workflow": workflow, "key": key or "py-" + uuid.uuid4().hex}
        if params:
            request["params"] = {name: str(value) for name, value in params.items()}
        run = self._ask(request)["run"]
        return self.wait(run) if wait else run

    def wait(self, run):
        """Waits for the end of a run, and returns it. A principal that restarts meanwhile is asked again."""
        return self._ask({"op": "wait", "run": run}, wait=True)["runs"][0]

    def ps(self, all=False, workflow=None, state=None, since=None, n=None):
        """Runs, newest first: the active ones, or all; at most n of them (None: every one)."""
        request = {"op": "ps", "all": all, "workflow": workflow, "state": state, "since": since}
        return self._pages(request, "runs", n)

    def ls(self, pattern=None, n=None):
        """Workflows whose id matches."""
        return self._pages({"op": "ls", "pattern": pattern}, "workflows", n)

    def show(self, workflow=None, run=None):
        """A run; or a workflow, with its definition under "spec"."""
        reply = self._ask({"op": "show", "workflow": workflow, "run": run})
        return reply["runs"][0] if run else dict(reply["workflows"][0], spec=reply.get("spec"))

    def agents(self):
        """Agents, and how many runs each has."""
        return self._ask({"op": "agents"}).get("agents", [])

    def cancel(self, run, force=False):
        """Tells a run to stop; it may take a while. An Error "conflict" says that it has ended already."""
        self._ask({"op": "cancel", "run": run, "force": force}, again=False)

    def retry(self, run, all=False):
        """Runs again, under the same id, what did not succeed, or all of it."""
        self._ask({"op": "retry", "run": run, "all": all}, again=False)

    def pause(self, workflow=None, all=False):
        """Stops the schedule of a workflow, or of all."""
        self._ask({"op": "pause", "workflow": workflow, "all": all})

    def resume(self, workflow=None, all=False):
        """Starts it again. Returns a remark of the principal's, mostly ""."""
        return self._ask({"op": "resume", "workflow": workflow, "all": all}).get("note", "")

    # Answers in parts: iterators. Each has a connection of its own, which ends with it.

    def follow(self, run):
        """A run as it goes: ("line", line), ("task", task) when one has changed, and at last ("run", run). Nothing comes
        twice or is left out, also when the principal restarts meanwhile."""
        number, tasks = 0, {}
        for reply in self._stream({"op": "wait", "run": run, "follow": True}):
            if "line" in reply and reply["line"]["i"] > number:
                number = reply["line"]["i"]
                yield "line", _line(reply["line"])
            for task in reply.get("tasks", ()):
                if tasks.get(task["task"]) != task:
                    tasks[task["task"]] = task
                    yield "task", task
            if "runs" in reply:
                yield "run", reply["runs"][0]

    def logs(self, run=None, workflow=None, task=None, stream=None, grep=None, since=None, last=None, follow=False):
        """Output of a run, or of the newest run of a workflow, line by line; stream is "out", "err" or "cdktr"."""
        number = 0
        stream = {"out": "o", "err": "e", "cdktr": "c"}.get(stream, stream)
        request = {"op": "logs", "run": run, "workflow": workflow, "task": task, "stream": stream, "grep": grep, "since": since,
                   "last": last, "follow": follow}
        for reply in self._stream(request):
            if "line" in reply and reply["line"]["i"] > number:
                number = reply["line"]["i"]
                request["run"], request["workflow"] = reply["line"]["r"], None  # what is asked again is asked of the same run
                yield _line(reply["line"])

    def events(self, seq=1, follow=False, since=None):
        """The audit trail from a number on, oldest first; with follow it goes on for ever, and misses nothing."""
        request = {"op": "events", "seq": seq, "follow": follow, "since": since}
        for reply in self._stream(request):
            for event in reply.get("events", ()):
                request["seq"] = event["seq"] + 1
                yield event
            request["seq"] = max(request["seq"], reply.get("seq", 0))

    def subscribe(self, topics=("event.", "log.")):
        """Messages as they happen, by topic prefix: event.WORKFLOW.RUN, log.WORKFLOW.RUN.TASK. Who is slow loses some:
        see Message.dropped. It goes on for ever, and begins once the principal is there."""
        link = _Link(self._context, zmq.SUB, self.endpoint, self.credential)
        try:
            for topic in [topics] if isinstance(topics, str) else topics:
                link.socket.subscribe(topic)
            been, lost, deadline = False, 0, time.monotonic() + self.timeout
            while True:
                woke = link.wait(deadline)
                if woke is None:
                    raise link.silent()
                if not woke:
                    lost = -1 if been else 0
                    been = been or link.up
                    deadline = None if link.up else time.monotonic() + self.patience
                    continue
                topic, body = link.socket.recv_multipart()
                body = json.loads(body)
                dropped = body.pop("dropped", 0)
                yield Message(topic.decode(), body, lost or dropped)
                lost = 0
        finally:
            link.close()

    def push(self, workflow, params=None, key=None):
        """Starts a run without waiting for an answer, over a PUSH socket. Nobody says whether it was refused; close()
        sees to it that it is handed over."""
        if not self._pusher:
            link = _Link(self._context, zmq.PUSH, self.endpoint, self.credential)
            try:
                if not link.connected(time.monotonic() + self.timeout):
                    raise link.silent()
            except Error:
                link.close()
                raise
            link.socket.sndtimeo = int(self.timeout * 1000)
            self._pusher = link
        request = {"v": 1, "workflow": workflow, "params": {name: str(value) for name, value in (params or {}).items()}}
        request["key"] = key or "py-" + uuid.uuid4().hex
        try:
            self._pusher.socket.send(json.dumps(request).encode())
        except zmq.Again:
            raise Unreachable("unreachable", "the principal at %s takes nothing" % self.endpoint, True) from None

    # How it is done.

    def _pages(self, request, rows, n):
        found = []
        while True:
            reply = self._ask(dict(request, n=n - len(found) if n else 500))
            found += reply.get(rows, [])
            if not reply.get("next") or n and len(found) >= n:
                return found
            request["after"] = reply["next"]

    def _ask(self, request, wait=False, again=True):
        """One request, its last reply. again says that asking twice does no harm."""
        if not self._link:
            self._link = _Link(self._context, zmq.DEALER, self.endpoint, self.credential)
        try:
            while True:
                try:
                    for reply in self._replies(self._link, request, wait):
                        pass
                    return reply
                except _Lost:
                    if not again:
                        raise Unreachable("unreachable", "the principal went away before it answered") from None
        except Error as e:
            if isinstance(e, Unreachable):  # what is under way must not be carried out later
                self._link.close()
                self._link = None
            raise

    def _stream(self, request):
        """One request, all its replies. After a break the request is made again as it is by then."""
        link = _Link(self._context, zmq.DEALER, self.endpoint, self.credential)
        try:
            while True:
                try:
                    yield from self._replies(link, request, True)
                    return
                except _Lost:
                    pass
        finally:
            link.close()

    def _replies(self, link, request, wait):
        """Sends a request and yields its replies. With wait only the first contact has a deadline."""
        self._number += 1
        number = str(self._number)
        if not link.connected(time.monotonic() + (self.patience if wait and link.been else self.timeout)):
            raise link.silent()
        deadline = None if wait else time.monotonic() + self.timeout
        fields = {name: value for name, value in request.items() if value is not None and value is not False}
        link.socket.send(json.dumps(dict(fields, v=1, id=number)).encode())
        while True:
            woke = link.wait(deadline)
            if woke is None:
                raise link.silent()
            if not woke:
                if not link.up:
                    raise _Lost
                continue
            reply = json.loads(link.socket.recv_multipart()[-1])
            if reply.get("id") != number:
                continue  # to what was given up
            error = reply.get("error")
            if error and error["code"] == "stopping" and wait:
                link.connected(time.monotonic() + self.patience, False)  # it says so before it goes
                raise _Lost
            if error:
                raise Error(error["code"], error["message"], error.get("retry", False))
            yield reply
            if not reply.get("more"):
                return


def _line(line):
    """A line of output in the form of `cdktr logs --json`, which is that of subscriptions, and its number i."""
    raw = base64.b64decode(line["b"]) if "b" in line else None
    text = raw.decode("utf-8", "replace") if raw is not None else line.get("m", "")
    made = {"t": line["t"], "run": line["r"], "i": line["i"], "task": line["k"], "attempt": line["n"],
            "stream": {"o": "out", "e": "err", "c": "cdktr"}.get(line["s"], line["s"]), "line": text}
    if raw is not None:
        made["bytes"] = line["b"]
    return made


# The program.

WELL = ("succeeded", "skipped")  # the states of a run that needs nobody
EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_NOT_ALLOWED, EXIT_REFUSED = 1, 2, 3, 4, 5


def _pair(text):
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError("want NAME=VALUE")
    return name, value


def _parser():
    parser = argparse.ArgumentParser(description="Talk to cdktr's principal. Output is JSON, an object a line.")
    parser.add_argument("--principal", metavar="ENDPOINT", help="ipc://PATH or tcp://HOST:PORT")
    parser.add_argument("--credential", metavar="FILE", default=os.environ.get("CDKTR_CREDENTIAL") or None)
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("ping")
    verbs.add_parser("agents")
    verbs.add_parser("ls").add_argument("pattern", nargs="?")
    ps = verbs.add_parser("ps")
    ps.add_argument("--all", action="store_true")
    ps.add_argument("--workflow")
    run = verbs.add_parser("run", help="start a run and wait for its end; its output goes to standard output")
    run.add_argument("workflow")
    run.add_argument("-p", dest="params", action="append", type=_pair, default=[], metavar="NAME=VALUE")
    run.add_argument("--key")
    run.add_argument("--detach", action="store_true", help="do not wait: print the id of the run")
    for verb in ("show", "wait", "logs", "cancel", "retry"):
        verbs.add_parser(verb).add_argument("run")
    for verb in ("pause", "resume"):
        verbs.add_parser(verb).add_argument("workflow")
    events = verbs.add_parser("events")
    events.add_argument("--seq", type=int, default=1)
    events.add_argument("--follow", action="store_true")
    return parser


def _show(rows):
    for row in rows:
        print(json.dumps(row), flush=True)


def _run(client, args):
    run = client.run(args.workflow, dict(args.params), args.key)
    if args.detach:
        print(run)
        return 0
    for kind, item in client.follow(run):
        if kind == "line":
            print(item["line"], file=sys.stdout if item["stream"] == "out" else sys.stderr, flush=True)
    print("run %s %s" % (run, item["state"]), file=sys.stderr)
    return 0 if item["state"] in WELL else EXIT_FAILED


def _carry_out(client, args):
    if args.verb == "run":
        return _run(client, args)
    if args.verb == "logs":
        for line in client.logs(args.run, follow=True):
            print(line["line"], flush=True)
    elif args.verb == "ls":
        _show(client.ls(args.pattern))
    elif args.verb == "ps":
        _show(client.ps(args.all, args.workflow))
    elif args.verb == "agents":
        _show(client.agents())
    elif args.verb == "events":
        _show(client.events(args.seq, args.follow))
    elif args.verb == "ping":
        _show([client.ping()])
    elif args.verb in ("pause", "resume"):
        getattr(client, args.verb)(args.workflow)
    elif args.verb == "show":
        _show([client.show(run=args.run)])
    else:
        answer = getattr(client, args.verb)(args.run)
        if answer:
            _show([answer])
            return 0 if answer["state"] in WELL else EXIT_FAILED
    return 0


def main(argv=None):
    args = _parser().parse_args(argv)
    try:
        with Client(args.principal, args.credential, args.timeout) as client:
            return _carry_out(client, args)
    except Unreachable as e:
        print("cdktr.py: %s" % e, file=sys.stderr)
        return EXIT_NOT_ALLOWED if e.code == "not_allowed" else EXIT_UNREACHABLE
    except Error as e:
        print("cdktr.py: %s" % e, file=sys.stderr)
        return {"invalid": EXIT_USAGE, "not_allowed": EXIT_NOT_ALLOWED}.get(e.code, EXIT_REFUSED)
    except (OSError, ValueError, zmq.ZMQError) as e:
        print("cdktr.py: %s" % e, file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
