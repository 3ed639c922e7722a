package peers;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.thrift.TException;
import org.apache.thrift.TMultiplexedProcessor;
import org.apache.thrift.protocol.TProtocolFactory;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.TTransportFactory;
import org.example.echo.Echo;
import org.example.echo.Person;
import org.example.echo.Refused;
import org.example.echo.Shout;

/**
 * Servers of every transport and protocol on free ports of 127.0.0.1. Prints {@code port TRANSPORT-PROTOCOL N} for each,
 * then {@code ready}; ends with its standard input.
 */
public final class Server {
    public static void main(String[] args) throws Exception {
        Handler handler = new Handler();
        TMultiplexedProcessor processor = new TMultiplexedProcessor();
        processor.registerDefault(new Echo.Processor<>(handler));
        processor.registerProcessor("Echo", new Echo.Processor<>(handler));
        processor.registerProcessor("Shout", new Shout.Processor<>(handler));
        for (var protocol : Wire.PROTOCOLS.entrySet()) {
            for (var transport : Wire.TRANSPORTS.entrySet()) {
                int port = serve(processor, transport.getValue(), protocol.getValue());
                System.out.println("port " + transport.getKey() + "-" + protocol.getKey() + " " + port);
            }
        }
        System.out.println("ready");
        System.in.readAllBytes();
        System.exit(0);
    }

    private static int serve(TMultiplexedProcessor processor, TTransportFactory transport, TProtocolFactory protocol)
            throws Exception {
        TServerSocket socket = new TServerSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        var server = new TThreadPoolServer(new TThreadPoolServer.Args(socket)
                .processor(processor)
                .transportFactory(transport)
                .protocolFactory(protocol));
        Thread thread = new Thread(server::serve);
        thread.setDaemon(true);
        thread.start();
        return socket.getServerSocket().getLocalPort();
    }

    private static final class Handler implements Echo.Iface, Shout.Iface {
        private final List<String> noted = new CopyOnWriteArrayList<>();

        @Override
        public String echo(String text) {
            return text;
        }

        @Override
        public Person person(Person person) {
            return person.setAge(person.getAge() + 1);
        }

        @Override
        public List<Person> people(int count) {
            List<Person> people = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                people.add(new Person("n" + i + " \u4e16\u754c", -i, Collections.nCopies(i, "t"),
                        Map.of("k" + i, (1L << 40) + i)));
            }
            return people;
        }

        @Override
        public List<Boolean> flags(List<Boolean> values) {
            return values;
        }

        @Override
        public ByteBuffer blob(ByteBuffer bytes) {
            ByteBuffer reversed = ByteBuffer.allocate(bytes.remaining());
            for (int i = bytes.limit() - 1; i >= bytes.position(); i--) {
                reversed.put(bytes.get(i));
            }
            return reversed.flip();
        }

        @Override
        public double half(double value) {
            return value / 2;
        }

        @Override
        public void nothing() {}

        @Override
        public String refuse(String reason) throws Refused {
            throw new Refused(reason, -7);
        }

        @Override
        public String crash() throws TException {
            throw new TException("not declared");
        }

        @Override
        public void note(String text) {
            noted.add(text);
        }

        @Override
        public List<String> notes(String prefix) {
            return noted.stream().filter(text -> text.startsWith(prefix)).toList();
        }

        @Override
        public String unrouted() {
            return "reached without a route";
        }

        @Override
        public String shout(String text) {
            return text.toUpperCase();
        }
    }
}
