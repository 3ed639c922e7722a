"""The client of PyPI `thriftpy2`, an implementation of its own that reads the IDL at run time."""

import thriftpy2
from thriftpy2.protocol import TBinaryProtocolFactory, TCompactProtocolFactory, TMultiplexedProtocolFactory
from thriftpy2.rpc import make_client
from thriftpy2.thrift import TApplicationException
from thriftpy2.transport import TBufferedTransportFactory, TFramedTransportFactory

TRANSPORTS = {"buffered": TBufferedTransportFactory, "framed": TFramedTransportFactory}
PROTOCOLS = {"binary": TBinaryProtocolFactory, "compact": TCompactProtocolFactory}


class Api:
    application_exception = TApplicationException

    def __init__(self, idl, limit_ms):
        self.services = thriftpy2.load(idl, module_name="echo_thrift")
        self.person = self.services.Person
        self.refused = self.services.Refused
        self.limit_ms = limit_ms

    def connect(self, service, wire, port, multiplexed=False):
        transport, protocol = wire.split("-")
        protocols = PROTOCOLS[protocol]()
        if multiplexed:
            protocols = TMultiplexedProtocolFactory(protocols, service)
        return make_client(
            getattr(self.services, service),
            "127.0.0.1",
            port,
            proto_factory=protocols,
            trans_factory=TRANSPORTS[transport](),
            timeout=self.limit_ms,
        )
