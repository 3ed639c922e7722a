"""The transports and protocols that client and server choose from, by name."""

from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
from thrift.protocol.TCompactProtocol import TCompactProtocolFactory
from thrift.transport.THeaderTransport import THeaderSubprotocolID
from thrift.transport.TTransport import TBufferedTransportFactory, TFramedTransportFactory

TRANSPORTS = {"buffered": TBufferedTransportFactory, "framed": TFramedTransportFactory}
PROTOCOLS = {"binary": TBinaryProtocolFactory, "compact": TCompactProtocolFactory}
SUBPROTOCOLS = {"binary": THeaderSubprotocolID.BINARY, "compact": THeaderSubprotocolID.COMPACT}


def people(person, count):
    """What `Echo.people` answers, made of instances of the class `person`."""
    return [
        person(name=f"n{i} \u4e16\u754c", age=-i, tags=["t"] * i, scores={f"k{i}": 2**40 + i})
        for i in range(count)
    ]
