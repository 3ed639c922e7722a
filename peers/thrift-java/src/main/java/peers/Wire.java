package peers;

import java.util.Map;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TCompactProtocol;
import org.apache.thrift.protocol.TProtocolFactory;
import org.apache.thrift.transport.TTransportFactory;
import org.apache.thrift.transport.layered.TFramedTransport;

/** The transports and protocols that client and server choose from, by name. */
final class Wire {
    static final Map<String, TTransportFactory> TRANSPORTS =
            Map.of("buffered", new TTransportFactory(), "framed", new TFramedTransport.Factory());
    static final Map<String, TProtocolFactory> PROTOCOLS =
            Map.of("binary", new TBinaryProtocol.Factory(), "compact", new TCompactProtocol.Factory());

    private Wire() {}
}
