"""Apache Thrift servers of every transport and protocol on free ports of 127.0.0.1.

usage: server.py GENERATED
Prints `port TRANSPORT-PROTOCOL N` for each, then `ready`; ends with its standard input.
"""

import os
import sys
import threading

sys.path.insert(0, sys.argv[1])

from echo import Echo, Shout  # noqa: E402
from echo.ttypes import Person, Refused  # noqa: E402
from thrift.protocol.THeaderProtocol import THeaderProtocolFactory  # noqa: E402
from thrift.server.TServer import TThreadedServer  # noqa: E402
from thrift.TMultiplexedProcessor import TMultiplexedProcessor  # noqa: E402
from thrift.transport.THeaderTransport import THeaderClientType  # noqa: E402
from thrift.transport.TSocket import TServerSocket  # noqa: E402
from thrift.transport.TTransport import TTransportFactoryBase  # noqa: E402

from wire import PROTOCOLS, SUBPROTOCOLS, TRANSPORTS, people  # noqa: E402


class Handler:
    def __init__(self):
        self.noted = []

    def echo(self, text):
        return text

    def person(self, person):
        person.age += 1
        return person

    def people(self, count):
        return people(Person, count)

    def flags(self, values):
        return values

    def blob(self, bytes):
        return bytes[::-1]

    def half(self, value):
        return value / 2

    def nothing(self):
        pass

    def refuse(self, reason):
        raise Refused(reason=reason, code=-7)

    def crash(self):
        raise ValueError("not declared")

    def note(self, text):
        self.noted.append(text)

    def notes(self, prefix):
        return [text for text in self.noted if text.startswith(prefix)]

    def unrouted(self):
        return "reached without a route"

    def shout(self, text):
        return text.upper()


def serve(name, processor, transports, protocols):
    listener = TServerSocket(host="127.0.0.1", port=0)
    listener.listen()
    print("port", name, listener.handle.getsockname()[1], flush=True)
    # `serve` calls it once more
    listener.listen = lambda: None
    server = TThreadedServer(processor, listener, transports, protocols, daemon=True)
    threading.Thread(target=server.serve, daemon=True).start()


def main():
    handler = Handler()
    processor = TMultiplexedProcessor()
    processor.registerDefault(Echo.Processor(handler))
    processor.registerProcessor("Echo", Echo.Processor(handler))
    processor.registerProcessor("Shout", Shout.Processor(handler))
    for protocol, factory in PROTOCOLS.items():
        for transport, transports in TRANSPORTS.items():
            serve(f"{transport}-{protocol}", processor, transports(), factory())
        header = THeaderProtocolFactory((THeaderClientType.HEADERS,), SUBPROTOCOLS[protocol])
        serve(f"header-{protocol}", processor, TTransportFactoryBase(), header)
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


main()
