"""The service of upstream's samples on Apache Thrift, framed and binary.

usage: hello.py GENERATED serve            prints `port hello N`, then `ready`; ends with its standard input
       hello.py GENERATED call PORT COUNT  prints what each call got
       hello.py GENERATED wait PORT COUNT  calls on then, and prints how long after the first call one passed again
"""

import os
import sys
import threading
import time

sys.path.insert(0, sys.argv[1])

from echo import Greeter  # noqa: E402
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolFactory  # noqa: E402
from thrift.server.TServer import TThreadedServer  # noqa: E402
from thrift.Thrift import TApplicationException  # noqa: E402
from thrift.transport.TSocket import TServerSocket, TSocket  # noqa: E402
from thrift.transport.TTransport import TFramedTransport, TFramedTransportFactory  # noqa: E402

LIMIT_S = 60


class Handler:
    def sayHello(self, name):
        return f"Hello, {name}"


def serve():
    listener = TServerSocket(host="127.0.0.1", port=0)
    listener.listen()
    print("port hello", listener.handle.getsockname()[1], flush=True)
    # `serve` calls it once more
    listener.listen = lambda: None
    server = TThreadedServer(
        Greeter.Processor(Handler()), listener, TFramedTransportFactory(), TBinaryProtocolFactory(), daemon=True
    )
    threading.Thread(target=server.serve, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


def call(port, count, on):
    socket = TSocket("127.0.0.1", port)
    socket.setTimeout(5000)
    transport = TFramedTransport(socket)
    client = Greeter.Client(TBinaryProtocol(transport))
    transport.open()

    def outcome():
        try:
            return "reply" if client.sayHello("Ann") == "Hello, Ann" else "another reply"
        except TApplicationException as error:
            return f"exception {error.type}"

    began = time.monotonic()
    for _ in range(count):
        print(outcome(), flush=True)
    while on and time.monotonic() < began + LIMIT_S:
        time.sleep(0.1)
        if outcome() == "reply":
            print(f"reply after about {round((time.monotonic() - began) / 5) * 5} s", flush=True)
            break


if sys.argv[2] == "serve":
    serve()
else:
    call(int(sys.argv[3]), int(sys.argv[4]), on=sys.argv[2] == "wait")
