#!/usr/bin/env python3
"""A listener of your own: it fires a run for each datagram that comes to a UDP port. Take it as the beginning of one for
MQTT, a webhook, a serial line: replace messages().

    python3 listen.py site.reading --port 5140 --param value

Each datagram becomes the parameter of one run. A run is asked for with a key of its own, and asked for again until the
principal has taken it: one that is away for a while, or is started anew, loses none, and none runs twice. What waits has
a bound (--most); what comes beyond it is dropped and counted, so that a flood does not fill the memory.
"""

import argparse
import queue
import socket
import sys
import threading
import time
import uuid

from cdktr import Client, Error, Unreachable


def messages(port):
    """Gives one text after the other, for ever."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    print("listening on port", sock.getsockname()[1], flush=True)
    while True:
        yield sock.recv(64 << 10).decode("utf-8", "replace").replace("\0", "").strip()


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("workflow")
    p.add_argument("--port", type=int, default=5140)
    p.add_argument("--param", default="message", help="the parameter that gets the text")
    p.add_argument("--principal", help="its endpoint; by default the socket of this box")
    p.add_argument("--credential", help="a file of cdktr authorize --new")
    p.add_argument("--most", type=int, default=1000, help="messages that wait for the principal at most")
    args = p.parse_args()
    waiting = queue.Queue(args.most)

    def receive():
        dropped = 0
        for text in messages(args.port):
            try:
                waiting.put_nowait((str(uuid.uuid4()), text))
            except queue.Full:
                dropped += 1
                print(f"{dropped} dropped: the principal does not take them fast enough", file=sys.stderr)

    threading.Thread(target=receive, daemon=True).start()
    with Client(args.principal, credential=args.credential) as c:
        while True:
            key, text = waiting.get()
            while True:
                try:
                    print(c.run(args.workflow, {args.param: text}, key=key), flush=True)
                    break
                except Unreachable as e:
                    print(e, file=sys.stderr)
                    time.sleep(1)
                except Error as e:
                    print(f"{e}: {text!r} started nothing", file=sys.stderr)
                    if not e.retry:
                        break
                    time.sleep(5)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
