"""The client of PyPI `thrift` on code that the Thrift compiler made."""

import importlib

from echo.ttypes import Person, Refused
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException
from thrift.transport.THeaderTransport import THeaderClientType, THeaderTransformID
from thrift.transport.TSocket import TSocket

from wire import PROTOCOLS, SUBPROTOCOLS, TRANSPORTS


class Api:
    person = Person
    refused = Refused
    application_exception = TApplicationException

    def __init__(self, _idl, limit_ms):
        self.limit_ms = limit_ms

    def connect(self, service, wire, port, multiplexed=False, compressed=False):
        transport_name, protocol_name = wire.split("-")
        socket = TSocket("127.0.0.1", port)
        socket.setTimeout(self.limit_ms)
        if transport_name == "header":
            kinds = (THeaderClientType.HEADERS,)
            protocol = THeaderProtocol(socket, kinds, SUBPROTOCOLS[protocol_name])
            protocol.trans.set_header(b"caller", b"peers")
            if compressed:
                protocol.trans.add_transform(THeaderTransformID.ZLIB)
            socket.open()
        else:
            transport = TRANSPORTS[transport_name]().getTransport(socket)
            protocol = PROTOCOLS[protocol_name]().getProtocol(transport)
            transport.open()
        if multiplexed:
            protocol = TMultiplexedProtocol(protocol, service)
        client = importlib.import_module(f"echo.{service}").Client(protocol)
        client.close = socket.close
        return client
